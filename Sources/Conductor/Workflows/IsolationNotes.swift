import Domain
import DriverInterfaces
import Store
import Wire

// What goes into a lease's isolation report, written down in the transactions in which it becomes true. `IsolationStore.note` finds the lease
// that it belongs to; a machine that nobody leases leaves no records.

extension Parts {
  /// A port shall carry something else from now on; nothing is noted when it is wanted already.
  func noteChange(
    of port: Port, at place: SwitchPort, to wanted: PortConfiguration, _ mode: NetworkMode, label: String?,
    at now: Timestamp, in session: any Session
  ) throws {
    let before = try SwitchPortStore.get(place, in: session)?.configuration
    guard before != wanted else { return }
    var data: JSONObject = ["wanted": wanted.shown, "before": before?.shown ?? .null]
    switch mode {
    case _ where wanted == .quarantine: data["purpose"] = "quarantine"
    case .quarantine: data["purpose"] = "quarantine"
    case .provisioning: data["purpose"] = "provisioning"
    case .tenant:
      data["purpose"] = "tenant"
      let network = try port.carriedVIF.flatMap { try NetworkPortStore.get($0, in: session)?.networkID }
      data["network_id"] = JSON(network)
    }
    try IsolationStore.note(.change, at: place, label: label, data, at: now, in: session)
  }

  /// The switch was told, and showed what was wanted when it was read again.
  func noteReadBack(
    of place: SwitchPort, _ found: PortConfiguration, label: String?, at now: Timestamp, in session: any Session
  ) throws {
    try IsolationStore.note(.readBack, at: place, label: label, ["found": found.shown], at: now, in: session)
  }

  /// The switch could not be told, or shows something else than it was told. A party to the lease reads the sentence for everyone.
  func noteFailure(of ports: [String: PortConfiguration], on name: String, _ error: DriverError, label: String?)
    async throws
  {
    let now = clock()
    try await database.write { session in
      for (port, wanted) in ports {
        try IsolationStore.note(
          .failure, at: SwitchPort(switchName: name, port: port), label: label,
          ["wanted": wanted.shown, "reason": .string(error.reason.sentence)], at: now, in: session)
      }
    }
  }
}

/// What each wired port of a machine carries when it is handed over, or was taken back.
func noteState(
  _ kind: IsolationRecord.Kind, of node: String, label: String?, at now: Timestamp, in session: any Session
) throws {
  for port in try PortStore.list(node: node, in: session) {
    guard let place = port.switchPort, let intent = try SwitchPortStore.get(place, in: session) else { continue }
    try IsolationStore.note(
      kind, at: place, label: label,
      [
        "carries": intent.configuration.shown, "state": .string(intent.state.rawValue), "mac": .string(port.address),
      ], at: now, in: session)
  }
}
