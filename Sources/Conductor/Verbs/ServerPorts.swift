import Domain
import Store
import Wire
import Workflows

/// A network port that a server needs.
public struct PortOrder: Sendable, Equatable {
  public var networkID: String
  /// An address of the network's, as text; nil for any.
  public var fixedIP: String?
  /// Names or ids; none for the project's default.
  public var securityGroups: [String]
  public var name: String
  public init(networkID: String, fixedIP: String? = nil, securityGroups: [String] = [], name: String = "") {
    self.networkID = networkID
    self.fixedIP = fixedIP
    self.securityGroups = securityGroups
    self.name = name
  }
}

/// The networking service as servers use it: with the rights of whoever asks, and the checks that a port has there.
public protocol ServerNetworks: Sendable {
  /// Makes a port of the caller's project, in the caller's transaction.
  func makePort(_ order: PortOrder, for actor: Actor, at now: Timestamp, in session: any Session) throws -> NetworkPort
  /// The networks that the caller may put machines on without being told which: their project's own.
  func ownNetworks(_ actor: Actor, in session: any Session) throws -> [Network]
  /// A port that the caller may use.
  func port(_ id: String, for actor: Actor, in session: any Session) throws -> NetworkPort
  /// Changes the groups of a port (names or ids), or its addresses (objects of `subnet_id` and `ip_address`, as the service
  /// itself takes them); nil leaves them.
  func changePort(
    _ id: String, groups: [String]?, fixedIPs: [JSONObject]?, for actor: Actor, at now: Timestamp,
    in session: any Session
  ) throws
}

extension Conductor {
  /// Attaches a network port to a running server, in the caller's transaction; the switch follows by a workflow.
  public func attach(
    _ port: ServerPort, to server: Server, by requester: Requester, in session: any Session
  ) throws {
    var node = try machine(of: server, in: session)
    try attachVIF(networkPortID: port.portID, node: &node, by: requester, in: session)
    try NetworkPortStore.setDevice(server.id, owner: "compute:\(zone)", of: port.portID, at: clock(), in: session)
    try ServerStore.addPort(port, to: server.id, in: session)
    try record("attach_interface", server.id, node.reservation, by: requester, in: session)
  }
  /// Takes a network port off a running server: one that the server made goes when the switch was read back without it.
  public func detach(_ id: String, from server: Server, by requester: Requester, in session: any Session) throws {
    var node = try machine(of: server, in: session)
    try detachVIF(networkPortID: id, node: &node, by: requester, in: session)
    let known = try ServerStore.ports(of: server.id, in: session).first { $0.portID == id }
    try letGo(known ?? ServerPort(id, isMade: false), at: clock(), in: session)
    try record("detach_interface", server.id, node.reservation, by: requester, in: session)
  }

  /// A step of a workflow, for those who ask what became of what they asked for.
  public struct StepRecord: Sendable, Equatable {
    public var name: String
    public var startedAt: Timestamp
    public var endedAt: Timestamp?
    public var failure: String?
  }
  /// The steps of a workflow so far, in order; none when it is forgotten.
  public func steps(of workflow: String, in session: any Session) throws -> [StepRecord] {
    var steps: [StepRecord] = []
    for event in try WorkflowStore.events(of: workflow, in: session) {
      switch event.kind {
      case .started:
        // Tried again: one step, from the first time on.
        if steps.last?.name != event.step { steps.append(StepRecord(name: event.step, startedAt: event.at)) }
      case .succeeded:
        if let index = steps.lastIndex(where: { $0.name == event.step }) {
          steps[index].endedAt = event.at
          steps[index].failure = nil
        }
      case .failed:
        if let index = steps.lastIndex(where: { $0.name == event.step }) {
          steps[index].endedAt = event.at
          steps[index].failure = "The step failed."
        }
      default: break
      }
    }
    return steps
  }
}
