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
    var isDone = false
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
