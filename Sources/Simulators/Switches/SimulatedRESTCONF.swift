import Wire

/// OpenConfig interfaces over RESTCONF, in front of a simulated switch.
public struct SimulatedRESTCONF: SimulatedSwitchAPI {
  public let device: SimulatedSwitch
  public init(_ device: SimulatedSwitch) { self.device = device }

  private static func failure(_ status: Int, _ tag: String, _ words: String) -> (Int, JSON) {
    (
      status,
      [
        "ietf-restconf:errors": [
          "error": [["error-type": "application", "error-tag": .string(tag), "error-message": .string(words)]]
        ]
      ]
    )
  }

  public func answer(_ method: String, _ path: String, _ body: JSON?) async -> (Int, JSON) {
    let words = path.split(separator: "/").map { String($0) }
    guard words.count >= 3, words[0] == "restconf", words[1] == "data" else {
      return Self.failure(404, "invalid-value", "uri path not found")
    }
    if words[2] == "openconfig-network-instance:network-instances" {
      guard method == "PATCH", words.count == 5, words[4] == "vlans",
        let list = body?["openconfig-network-instance:vlans"]?["vlan"]?.array
      else { return Self.failure(400, "malformed-message", "vlans") }
      for entry in list {
        guard let vlan = entry["vlan-id"]?.int, (1...4094).contains(vlan) else {
          return Self.failure(400, "invalid-value", "vlan-id")
        }
      }
      return (204, .null)
    }
    guard words[2] == "openconfig-interfaces:interfaces" else {
      return Self.failure(404, "invalid-value", "uri path not found")
    }
    if words.count == 3, method == "GET" { return (200, await interfaces()) }
    guard words.count >= 5, words[3].hasPrefix("interface=") else {
      return Self.failure(400, "malformed-message", path)
    }
    let name = decoded(words[3].dropFirst(10))
    guard var port = await device.running.ports[name] else {
      return Self.failure(404, "invalid-value", "no such interface")
    }
    if await device.faults.refusedPort == name { return Self.failure(409, "operation-failed", "hardware resource") }
    if method == "PATCH", words[4] == "config", let config = body?["openconfig-interfaces:config"] {
      if let enabled = config["enabled"]?.bool { port.isShut = !enabled }
      if let text = config["description"]?.string { port.description = text }
    } else if method == "PUT",
      words.dropFirst(4) == ["openconfig-if-ethernet:ethernet", "openconfig-vlan:switched-vlan"],
      let config = body?["openconfig-vlan:switched-vlan"]?["config"]
    {
      port.mode = config["interface-mode"]?.string == "TRUNK" ? .trunk : .access
      port.access = config["access-vlan"]?.int ?? 1
      port.native = config["native-vlan"]?.int ?? 1
      port.allowed = (config["trunk-vlans"]?.array ?? []).compactMap(\.int)
    } else {
      return Self.failure(400, "malformed-message", path)
    }
    await device.change(name, port)
    return (204, .null)
  }

  private func interfaces() async -> JSON {
    var list: [JSON] = [
      ["name": "Loopback0", "config": ["name": "Loopback0", "type": "iana-if-type:softwareLoopback"]]
    ]
    for (name, port) in await device.running.ports.sorted(by: { $0.key < $1.key }) {
      var vlan: JSONObject = ["interface-mode": port.mode == .trunk ? "TRUNK" : "ACCESS"]
      if port.mode == .trunk {
        vlan["native-vlan"] = .int(port.native)
        vlan["trunk-vlans"] = .array((port.allowed ?? []).map { .int($0) })
      } else {
        vlan["access-vlan"] = .int(port.access)
      }
      list.append([
        "name": .string(name),
        "config": [
          "name": .string(name), "type": "iana-if-type:ethernetCsmacd", "enabled": .bool(!port.isShut),
          "description": .string(port.description),
        ],
        "openconfig-if-ethernet:ethernet": ["openconfig-vlan:switched-vlan": ["config": .object(vlan)]],
      ])
    }
    return ["openconfig-interfaces:interfaces": ["interface": .array(list)]]
  }
}

extension SimulatedSwitch {
  /// One port at once, without a candidate; such switches keep what is running.
  fileprivate func change(_ name: String, _ port: SimulatedSwitchPort) {
    var state = running
    state.ports[name] = port
    setCandidate("restconf", state)
    if state != running { commit("restconf", awaits: false) }
    save()
  }
}
