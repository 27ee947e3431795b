import Domain
import DriverInterfaces
import Store
import Wire

extension Conductor {
  /// Sends frames between two networks of a switch and notes what came of it in the report of every lease that has a port on one of them.
  ///
  /// - Parameters:
  ///   - first, second: their VLANs.
  /// - Throws: ``DriverError`` when the switch cannot be probed from this host.
  public func probeIsolation(between first: Int, and second: Int, on name: String) async throws -> IsolationProbe {
    let device = try parts.switches.switchNamed(name)
    guard let probing = device as? any IsolationProbing else {
      throw DriverError(
        .unsupported, device: .networkSwitch(name),
        detail: "this host cannot put ports of its own on a switch of this kind")
    }
    let probe = try await probing.probeIsolation(between: first, and: second)
    let now = clock()
    try await database.write { session in
      for intent in try SwitchPortStore.list(switch: name, in: session) {
        let carried = [intent.configuration.native].compactMap { $0 } + intent.configuration.tagged
        guard let vlan = carried.first(where: { $0 == first || $0 == second }) else { continue }
        // Which the other network was, and whose, is not for this lease's parties.
        let verdict = probe.isIsolated ? "none crossed" : "\(probe.crossed) crossed"
        try IsolationStore.note(
          .probe, at: intent.port, label: nil,
          [
            "vlan": .int(vlan), "sent": .int(probe.sent), "crossed": .int(probe.crossed),
            "result": .string(
              "\(probe.sent) frames of \(probe.lines.count) kinds between VLAN \(vlan) and another network: \(verdict)"),
          ], at: now, in: session)
        if !probe.isIsolated {
          try EventStore.append(
            "leak", port: intent.port,
            detail:
              "\(probe.crossed) of \(probe.sent) frames crossed between VLANs \(first) and \(second) on switch \(name)",
            at: now, in: session)
        }
      }
    }
    return probe
  }

  /// The switches of the site, for commands.
  public var switchNames: [String] { parts.switches.all.map(\.name) }
}
