import Domain
import DriverInterfaces
import Store
import Wire

extension Conductor {
  /// What the doctor finds on the switches: all are asked at once, so that one that does not answer costs its own time only.
  func examineSwitches() async throws -> [String] {
    let intents = try await database.read { try SwitchPortStore.list(in: $0) }
    let known = Dictionary(grouping: intents, by: \.port.switchName)
    let networks = try await database.read { session in
      try NetworkStore.list(in: session).map { (vlan: $0.vlan, name: "network \($0.name) (\($0.id))") }
    }
    var carried = Dictionary(networks.map { ($0.vlan, $0.name) }) { "\($0), \($1)" }
    carried[settings.provisioningVLAN] = "the provisioning network"
    let names = Set(known.keys).union(parts.switches.all.map(\.name)).sorted()
    let findings = await withTaskGroup(of: (String, [String]).self) { group in
      for name in names {
        group.addTask { [carried] in (name, await self.examine(name, known[name] ?? [], carried)) }
      }
      return await group.reduce(into: [String: [String]]()) { $0[$1.0] = $1.1 }
    }
    return names.flatMap { findings[$0] ?? [] } + (try await recentAlarms())
  }

  /// - Parameter carried: who is on a VLAN of this site, in words.
  private func examine(_ name: String, _ intents: [SwitchPortStore.Intent], _ carried: [Int: String]) async -> [String]
  {
    do {
      let device = try parts.switches.switchNamed(name)
      try await device.probe()
      let actual = try await device.listPorts()
      var findings = intents.filter { actual[$0.port.port] != $0.configuration }.map { intent in
        "\(intent.port) should carry \(intent.configuration == .quarantine ? "nothing (quarantine)" : intent.configuration.words) and carries \(actual[intent.port.port]?.words ?? "nothing: the switch has no such port")"
      }
      let ours = Set(intents.map(\.port.port))
      for (port, found) in actual.sorted(by: { $0.key < $1.key }) where !ours.contains(port) {
        let vlans = ([found.native].compactMap { $0 } + found.tagged).filter { carried[$0] != nil }
        guard let first = vlans.first, let whose = carried[first] else { continue }
        findings.append(
          "switch \(name) port \(port) is no machine's and carries \(vlans.count > 1 ? "\(vlans.count) VLANs of this site, such as " : "")VLAN \(first) of \(whose): take it off, or list the port among the switch's uplinks"
        )
      }
      return findings
    } catch {
      return ["switch \(name) cannot be read: \(error)"]
    }
  }

  /// What was set right, or did not answer, in the last day: somebody should know why.
  private func recentAlarms() async throws -> [String] {
    let since = clock() - .seconds(86_400)
    return try await database.read { session in
      var filter = EventStore.Filter()
      filter.after = since
      filter.type = "steelyard.switch_port.drift"
      let drifts = try EventStore.list(filter, in: session)
      var perPort: [String: (count: Int, last: LeaseEvent)] = [:]
      for event in drifts { perPort[event.objectUUID] = ((perPort[event.objectUUID]?.count ?? 0) + 1, event) }
      return perPort.values.sorted { $0.last.id < $1.last.id }.map { count, last in
        "\(last.detail ?? last.objectUUID) at \(last.at.iso8601Zulu)\(count > 1 ? ", the last of \(count) times in a day" : ""); it was set right: find out who changes it"
      }
    }
  }
}
