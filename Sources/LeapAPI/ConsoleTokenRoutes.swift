import APISupport
import Cryptography
import Domain
import HTTPTypes
import Store
import Wire

/// Tokens that open a node's serial console through the console proxy (``ConsoleProxy``). Source: design notes, compat-esi
/// §1.1, §1.2, §1.7. Unlike upstream's, a token opens one connection and dies with the lease.
extension LeapAPI {
  private static let defaultLife: Duration = .seconds(600)
  private static let longestLife: Duration = .seconds(86_400)

  var consoleTokenEndpoints: [Endpoint] {
    [
      Endpoint(
        .post, "/v1/console_auth_tokens", rule("console_auth_token:create", "whoever may use the node"),
        "a token for a node's console"
      ) { request in
        let actor = try request.actor()
        try request.allowOnly([])
        let input = try await LeapInput(
          request, "new_console_auth_token", accepted: ["node_uuid_or_name", "token_ttl"],
          readOnly: ["node_uuid", "token", "access_url"])
        let id = try input.required("node_uuid_or_name", limit: 255)
        let life = try input.seconds("token_ttl") ?? Self.defaultLife
        guard life > .zero, life <= Self.longestLife else {
          throw APIError.badRequest(
            "Invalid token_ttl: a number of seconds from 1 to \(Int(Self.longestLife.inSeconds)) is expected.")
        }
        let node = try await database.read { try consoleNode(id, actor, in: $0) }
        guard let consoleURL else {
          throw APIError.badRequest(
            "This site has no console proxy: use `openstack baremetal node console enable` or `steelyard console`.")
        }
        _ = try await conductor.consoles(of: node)
        let token = Identifier.uuid()
        try await database.write { session in
          // The lease may have ended since.
          let node = try consoleNode(id, actor, in: session)
          try ConsoleTokenStore.insert(
            digest: Digest.sha256Hex(token), node: node.uuid, lease: node.leaseUUID, until: request.now + life,
            in: session)
        }
        return APIResponse(
          .created,
          json: [
            "node_uuid": .string(node.uuid), "token": .string(token),
            "access_url": .string("\(consoleURL)/?token=\(token)"),
          ])
      },
      Endpoint(
        .delete, "/v1/console_auth_tokens/{node}",
        rule("console_auth_token:delete", "whoever may use the node"), "void a node's console tokens"
      ) { request in
        let actor = try request.actor()
        try request.allowOnly([])
        let id = try request.parameter("node")
        try await database.write { session in
          try ConsoleTokenStore.remove(node: try consoleNode(id, actor, in: session).uuid, in: session)
        }
        return APIResponse(json: .null)
      },
    ]
  }

  /// - Throws: 404 for a node that the caller may not see, 403 for one that it may not use.
  private func consoleNode(_ id: String, _ actor: Actor, in session: any Session) throws -> Node {
    guard let node = try NodeStore.find(id, in: session), NodePolicy.sees(node, actor) else {
      throw Refusal.missingResource(Lease.defaultResourceType, id)
    }
    guard NodePolicy.allows(.use, node, actor) else {
      throw Refusal.access(Lease.defaultResourceType, node.uuid)
    }
    return node
  }
}
