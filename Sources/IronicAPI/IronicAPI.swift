import APISupport
import Conductor
import Domain
import DriverInterfaces
import HTTPTypes
import Store
import Wire

/// The Bare Metal service as Ironic's clients know it: wire types and routes, nothing else.
///
/// Source: Ironic API reference v1. Every answer is checked against Ironic 39.0.0 where this server does what that does.
///
/// Progress of long work is shown in documented fields: while a node is deployed `deploy_step`, while it is cleaned or
/// inspected `clean_step`, holds `{"step", "interface", "priority", "percent": 0-100, "remaining_seconds": int or null, "message"}`
/// (upstream's members plus ours), so that `openstack baremetal node show` tells the step, the percentage and the estimate.
/// Failures are sentences in `last_error`.
public struct IronicAPI: Sendable {
  let database: Database
  let conductor: Conductor
  /// The one conductor's name in `GET /v1/conductors` and in each node's `conductor`.
  let hostname: String
  let implementations: NodeView.Implementations
  /// Nodes in the longest page.
  let longestPage: Int

  /// - Parameter longestPage: nodes in the longest page of a list. Source: Ironic, `[api] max_limit`.
  public init(
    database: Database, conductor: Conductor, hostname: String = "steelyard", longestPage: Int = ListQuery.maximum
  ) {
    self.database = database
    self.conductor = conductor
    self.hostname = hostname
    self.longestPage = longestPage
    implementations = Dictionary(
      conductor.hardwareTypes.map { ($0.name, $0.interfaces.compactMapValues(\.first)) }, uniquingKeysWith: { $1 })
  }

  public var service: Service {
    Service(
      name: "ironic", type: "baremetal", prefix: "/baremetal", errorShape: .ironic, defaultVersion: "/v1",
      decorate: { try Microversion.decorate($0) },
      endpoints: versionEndpoints + nodeEndpoints + nodeStateEndpoints + nodeCaptureEndpoints + consoleLogEndpoints
        + nodeSensorEndpoints
        + nodePartEndpoints
        + nodeIndicatorEndpoints + nodeFirmwareEndpoints + nodeHardwareEndpoints
        + portEndpoints + portGroupEndpoints + volumeConnectorEndpoints + volumeTargetEndpoints + chassisEndpoints
        + shardEndpoints + allocationEndpoints + driverEndpoints + emptyEndpoints)
  }

  // MARK: Rules

  static let read = EndpointRule("baremetal:get", "anyone with a token; shows what the caller's project owns or leases")
  { _ in true }
  static let act = EndpointRule(
    "baremetal:act", "members of the node's owner or lessee project, and the site's administrator"
  ) { NodePolicy.isMember($0) }
  static let siteReader = EndpointRule("baremetal:site:get", "the site's administrator or a system reader") {
    $0.isSiteReader
  }
  static let siteAdmin = EndpointRule("baremetal:site:change", "the site's administrator") { $0.isSiteAdmin }

  // MARK: Finding with the policy

  /// The node of the path, as far as the caller may know of it.
  /// - Throws: 404 for a foreign node as for none, 403 when they see it and may not do this.
  func node(
    _ request: APIRequest, to action: NodePolicy.Action? = nil, in session: any Session
  ) throws -> Node {
    try node(named: nodeIdent(request), request.actor(), to: action, in: session)
  }
  /// The node's UUID or name in the path.
  /// - Throws: 400 for what cannot be either, 404 for a name before there were names.
  func nodeIdent(_ request: APIRequest) throws -> String {
    let ident = try ident(request, "node")
    // Names came with 1.5.
    guard try Identifier.isUUID(ident) || Microversion(request.headers).minor >= 5 else {
      throw APIError.notFound("Node \(ident) could not be found.")
    }
    return ident
  }
  func node(named ident: String, _ actor: Actor, to action: NodePolicy.Action? = nil, in session: any Session) throws
    -> Node
  {
    guard let node = try found(ident, { try NodeStore.find($0, in: session) }), NodePolicy.sees(node, actor) else {
      throw APIError.notFound("Node \(ident) could not be found.")
    }
    if let action { try require(action, node, actor) }
    return node
  }
  func require(_ action: NodePolicy.Action, _ node: Node, _ actor: Actor) throws {
    guard NodePolicy.allows(action, node, actor) else {
      throw APIError.forbidden("You are not authorized to perform the requested action: \(action.name).")
    }
  }
  /// Reads the node, then runs `body` outside of a transaction: for what talks to the machine's controller.
  func seen(_ request: APIRequest, to action: NodePolicy.Action? = nil) async throws -> Node {
    try await database.read { try node(request, to: action, in: $0) }
  }
  /// Has the machine's controller do something while the caller waits. What it says when it does not is for those only who
  /// see the site's devices; others read a sentence without them.
  func controlling<T: Sendable>(
    _ request: APIRequest, to action: NodePolicy.Action? = .use, _ body: (Node) async throws -> T
  ) async throws -> T {
    let node = try await seen(request, to: action)
    do { return try await body(node) } catch let error as DriverError {
      var answer = error.apiError
      answer.message = told(error.reason, node, try request.actor())
      throw answer
    }
  }
  /// The UUID in the path of what has no name.
  /// - Throws: 400 for what is none.
  func uuid(_ request: APIRequest, _ name: String) throws -> String {
    let text = try request.parameter(name)
    guard Identifier.isUUID(text) else { throw APIError.badRequest("Expected a UUID but received \(text.prefix(80)).") }
    return text
  }
  /// As much of a reason as the caller may read.
  func told(_ reason: Reason, _ node: Node, _ actor: Actor) -> String {
    NodePolicy.seesSite(NodePolicy.relation(actor, to: node)) ? reason.whole : reason.sentence
  }
  func requester(_ request: APIRequest) throws -> Requester {
    Requester(try request.actor(), requestID: request.requestID)
  }

  /// "http://host/baremetal/v1/nodes/x" and the same without the version: what upstream calls self and bookmark.
  func links(_ request: APIRequest, _ path: String) -> JSON {
    [
      ["href": .string("\(request.serviceURL)/v1/\(path)"), "rel": "self"],
      ["href": .string("\(request.serviceURL)/\(path)"), "rel": "bookmark"],
    ]
  }
  func write(_ links: [(String, String)], _ writer: inout JSONWriter) {
    writer.beginArray()
    for (href, relation) in links {
      writer.beginObject()
      writer.member("href", href)
      writer.member("rel", relation)
      writer.endObject()
    }
    writer.endArray()
  }
}

extension HTTPField.Name {
  static let ironicVersion = HTTPField.Name(known: "X-OpenStack-Ironic-API-Version")
  static let ironicMinimum = HTTPField.Name(known: "X-OpenStack-Ironic-API-Minimum-Version")
  static let ironicMaximum = HTTPField.Name(known: "X-OpenStack-Ironic-API-Maximum-Version")
}
