import Domain
import DriverInterfaces
import Store
import Wire
import Workflows

/// Where the machine's NICs are wired, by LLDP, against what is recorded (docs/decisions/0020).
///
/// Whatever boots the agent looks: inspection, cleaning at the end of a lease, deployment.
extension Parts {
  /// Compares what the agent heard with what is recorded, and names each difference: in the node's history, by an event, with
  /// the port. It stays there until a later look shows otherwise, or the administrator records another wiring.
  /// - Parameter interfaces: `[{"mac", "lldp": {…}}]`; one that heard nothing says nothing.
  func compareWiring(_ interfaces: [JSON], of uuid: String, at now: Timestamp, in session: any Session) throws {
    guard let node = try NodeStore.get(uuid, in: session), isWired(node) else { return }
    let names = Set(switches.all.map(\.name))
    for interface in interfaces {
      guard let mac = interface["mac"]?.string.flatMap({ MACAddress($0) }),
        let heard = HeardNeighbor(interface["lldp"]),
        var port = try PortStore.byAddress(mac.description, in: session), port.nodeUUID == uuid,
        let recorded = port.switchPort
      else { continue }
      let before = port.wiringProblem
      port.wiringProblem =
        heard.contradicts(recorded, switches: names)
        ? "NIC \(mac) is recorded on \(recorded) and hears \(heard.words) by LLDP" : nil
      guard port.wiringProblem != before else { continue }
      try PortStore.update(port, in: session)
      guard let problem = port.wiringProblem else {
        try NodeStore.addEvent(
          "NIC \(mac) is wired as recorded: \(recorded).", type: "wiring", of: uuid, at: now, in: session)
        continue
      }
      try tellWiring(problem, at: recorded, of: uuid, now, in: session)
    }
  }
  private func tellWiring(
    _ problem: String, at recorded: SwitchPort, of uuid: String, _ now: Timestamp, in session: any Session
  ) throws {
    try NodeStore.addEvent(
      "Wrong cabling: \(problem). \(Self.wiringAdvice)", type: "wiring", severity: "ERROR", of: uuid, at: now,
      in: session)
    try EventStore.append("miswired", port: recorded, detail: problem, at: now, in: session)
  }

  /// Records what a NIC without a recorded wiring heard, unless the switch port is recorded as another NIC's: then one of the two
  /// is cabled wrong, which is named instead.
  /// - Parameter link: a `local_link_connection`; empty when nothing was heard.
  func learnWiring(_ link: JSONObject, of port: inout Port, at now: Timestamp, in session: any Session) throws {
    port.localLinkConnection = link
    guard let place = port.switchPort else { return }
    guard let other = try PortStore.port(at: place, in: session), other.address != port.address else {
      port.wiringProblem = nil
      return
    }
    port.localLinkConnection = [:]
    let problem =
      "NIC \(port.address) hears \(place) by LLDP, which is recorded as that of NIC \(other.address) of node \(other.nodeUUID)"
    guard port.wiringProblem != problem else { return }
    port.wiringProblem = problem
    try tellWiring(problem, at: place, of: port.nodeUUID, now, in: session)
  }
  static let wiringAdvice =
    "Correct the cable, or record what is so; then inspect or clean the node again, or say that it is right (`openstack baremetal port set --local-link-connection`)."

  /// No tenant's network comes into force on switch ports that are, as far as is known, another machine's.
  func wiringCheck() -> Step {
    Step(
      "check-wiring", when: { needsAgent($0) && needsSwitches($0) },
      run: { context in
        let problem = try await database.read { try wiringProblem(of: context.subject, in: $0) }
        guard let problem else { return .done }
        throw DriverError(
          .misconfigured, device: .node(context.subject), detail: "wrong cabling: \(problem). \(Self.wiringAdvice)")
      })
  }
}

/// What the last look at a node's cables found wrong; nil when nothing.
func wiringProblem(of node: String, in session: any Session) throws -> String? {
  let problems = try PortStore.list(node: node, in: session).compactMap(\.wiringProblem)
  return problems.isEmpty ? nil : problems.joined(separator: "; ")
}
