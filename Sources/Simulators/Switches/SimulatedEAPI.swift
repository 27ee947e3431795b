import Wire

/// Arista's Command API in front of a simulated switch: the commands that a network controller sends, and no others.
public struct SimulatedEAPI: SimulatedSwitchAPI {
  public let device: SimulatedSwitch
  public init(_ device: SimulatedSwitch) { self.device = device }

  private struct Refusal: Error { var words: String }
  /// Where the commands so far have led.
  private struct Place {
    var session: String?
    var isConfiguring = false
    var interface: String?
    /// Inside `router bgp`; and there inside a VLAN's instance.
    var isRouting = false
    var instance: Int?
  }

  public func answer(_ method: String, _ path: String, _ body: JSON?) async -> (Int, JSON) {
    guard method == "POST", path == "/command-api", body?["method"]?.string == "runCmds",
      let commands = body?["params"]?["cmds"]?.array
    else { return (404, .null) }
    var place = Place()
    var results: [JSON] = []
    for (index, entry) in commands.enumerated() {
      let command = entry.string ?? entry["cmd"]?.string ?? ""
      do {
        results.append(try await run(command, &place))
      } catch {
        let words = (error as? Refusal)?.words ?? "\(error)"
        let data = JSON.array(results + [["errors": [.string(words)]]])
        let message = "CLI command \(index + 1) of \(commands.count) '\(command)' failed: invalid command"
        return (
          200, ["jsonrpc": "2.0", "id": "1", "error": ["code": 1002, "message": .string(message), "data": data]]
        )
      }
    }
    // Leaving a session without a commit keeps it for later.
    return (200, ["jsonrpc": "2.0", "id": "1", "result": .array(results)])
  }

  private func run(_ command: String, _ place: inout Place) async throws -> JSON {
    let words = command.split(separator: " ").map { String($0) }
    switch command {
    case "enable", "end": return .emptyObject
    case "configure":
      place.isConfiguring = true
      return .emptyObject
    case "show configuration sessions":
      var all = JSONObject()
      for name in await device.trials { all[name] = ["state": "pendingCommitTimer"] }
      return ["sessions": .object(all)]
    case "show vxlan vni":
      var all = JSONObject()
      for (vlan, vni) in await device.running.vnis {
        all["\(vni)"] = ["vlan": .int(vlan), "dynamicVlan": false, "source": "static", "interfaces": .emptyObject]
      }
      // As routing has one.
      all["50001"] = ["vlan": 4090, "dynamicVlan": true, "source": "evpn", "interfaces": .emptyObject]
      return ["vxlanIntfs": ["Vxlan1": ["vniBindings": .object(all)]]]
    case "show bgp evpn instance":
      var all = JSONObject()
      let isDown = await device.faults.keepsVNIsDown
      for vlan in await device.running.instances where !isDown { all["VLAN \(vlan)"] = ["rd": "192.0.2.1:1"] }
      return ["bgpEvpnInstances": .object(all)]
    case "show interfaces switchport": return await switchports()
    case "show interfaces description": return await descriptions()
    case "show lldp neighbors detail":
      return [
        "lldpNeighbors": [
          "Ethernet1": [
            "lldpNeighborInfo": [
              [
                "chassisId": "5254.0077.0001", "systemName": "node-1",
                "neighborInterfaceInfo": ["interfaceId": "\"eno1\"", "interfaceId_v2": "eno1"],
              ]
            ]
          ]
        ]
      ]
    case "show mac address-table":
      return [
        "unicastTable": [
          "tableEntries": [["macAddress": "52:54:00:77:00:01", "interface": "Ethernet1", "vlanId": 101]]
        ]
      ]
    case "write memory":
      await device.save()
      return .emptyObject
    default: break
    }
    if words.starts(with: ["configure", "session"]), words.count >= 3 {
      switch words.dropFirst(3).first {
      case "commit"?:
        guard await device.confirm(words[2]) else { throw Refusal(words: "Cannot commit session \(words[2])") }
      case "abort"?: await device.abort(words[2])
      case nil:
        place.session = words[2]
        await device.setCandidate(words[2], device.running)
      default: throw Refusal(words: "Invalid input")
      }
      return .emptyObject
    }
    guard place.session != nil || place.isConfiguring else { throw Refusal(words: "Invalid input") }
    if words.starts(with: ["commit", "timer"]), let session = place.session {
      guard await device.trials.isEmpty else { throw Refusal(words: "Cannot commit: another commit timer is pending") }
      await device.commit(session, awaits: true)
      return .emptyObject
    }
    var state = await device.candidate(place.session ?? "")
    try await edit(&state, words, &place)
    if let session = place.session { await device.setCandidate(session, state) }
    return .emptyObject
  }

  private func edit(_ state: inout SimulatedSwitch.State, _ words: [String], _ place: inout Place) async throws {
    if try overlay(&state, words, &place) { return }
    if words.count == 2, words[0] == "vlan" {
      guard let vlan = Int(words[1]), (1...4094).contains(vlan) else { throw Refusal(words: "Invalid input") }
      state.vlans.insert(vlan)
      place.interface = nil
      return
    }
    if words.count == 2, words[0] == "name", place.interface == nil { return }
    if words.count == 2, words[0] == "interface" {
      guard state.ports[words[1]] != nil else { throw Refusal(words: "Interface does not exist") }
      place.interface = words[1]
      return
    }
    guard let name = place.interface, var port = state.ports[name] else { throw Refusal(words: "Invalid input") }
    if await device.faults.refusedPort == name { throw Refusal(words: "Cannot configure \(name): hardware resource") }
    switch words.joined(separator: " ") {
    case "shutdown": port.isShut = true
    case "no shutdown": port.isShut = false
    case "switchport": if port.mode == .routed { port.mode = .access }
    case "switchport mode access": port.mode = .access
    case "switchport mode trunk": port.mode = .trunk
    case "no switchport access vlan": port.access = 1
    case "no switchport trunk native vlan": port.native = 1
    case "no switchport trunk allowed vlan": port.allowed = nil
    case "no description": port.description = ""
    default:
      let rest = words.last ?? ""
      if words.count == 4, words.starts(with: ["switchport", "access", "vlan"]), let vlan = Int(rest) {
        port.access = vlan
      } else if words.count == 5, words.starts(with: ["switchport", "trunk", "native", "vlan"]), let vlan = Int(rest) {
        port.native = vlan
      } else if words.count == 5, words.starts(with: ["switchport", "trunk", "allowed", "vlan"]),
        let list = VLANList.parse(rest)
      {
        port.allowed = list
      } else if words.count >= 2, words[0] == "description" {
        port.description = words.dropFirst().joined(separator: " ")
      } else {
        throw Refusal(words: "Invalid input (at token 0: '\(words.first ?? "")')")
      }
    }
    state.ports[name] = port
  }

  /// What the tunnel interface and BGP take.
  /// - Returns: whether the line was theirs.
  private func overlay(_ state: inout SimulatedSwitch.State, _ words: [String], _ place: inout Place) throws -> Bool {
    switch words.first {
    case "interface":
      (place.isRouting, place.instance) = (false, nil)
      guard words.count == 2, words[1] == "Vxlan1" else { return false }
      place.interface = words[1]
      return true
    case "router":
      guard words.count == 3, words[1] == "bgp", words[2] == "65001" else {
        throw Refusal(words: "BGP is already running with AS number 65001")
      }
      (place.isRouting, place.interface) = (true, nil)
      return true
    default: break
    }
    if place.interface == "Vxlan1" {
      let isNegated = words.first == "no", numbers = words.compactMap { Int($0) }
      guard words.filter({ Int($0) == nil && $0 != "no" }) == ["vxlan", "vlan", "vni"], numbers.count == 2 else {
        return false
      }
      if isNegated {
        if state.vnis[numbers[0]] == numbers[1] { state.vnis[numbers[0]] = nil }
      } else if let vni = state.vnis[numbers[0]] {
        throw Refusal(words: "VLAN \(numbers[0]) is already mapped to VNI \(vni)")
      } else if state.vnis.values.contains(numbers[1]) {
        throw Refusal(words: "VNI \(numbers[1]) is already mapped")
      } else {
        state.vnis[numbers[0]] = numbers[1]
      }
      return true
    }
    guard place.isRouting else { return false }
    switch words.prefix(2) {
    case ["no", "vlan"]:
      if let vlan = words.last.flatMap({ Int($0) }) { state.instances.remove(vlan) }
    case ["rd", "auto"], ["redistribute", "learned"]:
      guard place.instance != nil else { throw Refusal(words: "Invalid input") }
    case ["route-target", "both"]:
      // The route target names the VNI, wherever the VLAN has another number.
      guard let vlan = place.instance, words.last == "65001:\(state.vnis[vlan] ?? 0)" else {
        throw Refusal(words: "Invalid input")
      }
    default:
      guard words.first == "vlan", words.count == 2, let vlan = Int(words[1]) else { return false }
      place.instance = vlan
      state.instances.insert(vlan)
    }
    return true
  }

  private func switchports() async -> JSON {
    var all = JSONObject()
    for (name, port) in await device.running.ports {
      all[name] = [
        "enabled": .bool(port.mode != .routed),
        "switchportInfo": [
          "mode": .string(port.mode.rawValue), "accessVlanId": .int(port.access),
          "trunkingNativeVlanId": .int(port.native), "trunkAllowedVlans": .string(VLANList.text(port.allowed)),
        ],
      ]
    }
    return ["switchports": .object(all)]
  }
  private func descriptions() async -> JSON {
    var all = JSONObject()
    for (name, port) in await device.running.ports {
      all[name] = [
        "description": .string(port.description), "interfaceStatus": port.isShut ? "adminDown" : "up",
        "lineProtocolStatus": port.isShut ? "down" : "up",
      ]
    }
    return ["interfaceDescriptions": .object(all)]
  }
}
