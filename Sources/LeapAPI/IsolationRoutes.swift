import APISupport
import Conductor
import Cryptography
import Domain
import Store
import Wire

/// The isolation report of a lease. The route is this server's own: upstream has none.
extension LeapAPI {
  var isolationEndpoints: [Endpoint] {
    [
      Endpoint(
        .get, "/v1/leases/{lease}/isolation",
        rule("lease:get", "its owner, its lessee, and administrators"),
        "what the switch ports of a leased machine carried, signed", handler: isolationReport)
    ]
  }

  /// 200 with `report` (the text of a JSON document, exactly as it was signed), `signature` (base64), `algorithm`, `key_id` and
  /// `public_key` (PEM).
  ///
  /// Answers 404 for a lease that the caller may not see, 409 for something leased that is no machine.
  private func isolationReport(_ request: APIRequest) async throws -> APIResponse {
    let actor = try request.actor()
    try request.allowOnly([])
    guard LeasePolicy.mayRead(actor) else { throw Refusal.rule("lease:get") }
    let id = try request.parameter("lease")
    let key = try await database.signingKey()
    let report = try await database.read { session in
      let lease = try self.lease(id, actor, isLive: false, in: session)
      guard lease.isMachine else {
        throw APIError.conflict("Lease \(lease.uuid) is of a \(lease.resourceType), which is on no switch.")
      }
      return try IsolationReport.make(of: lease, at: request.now, in: session).description
    }
    return APIResponse(
      json: [
        "report": .string(report), "algorithm": "Ed25519",
        "signature": .string(Base64.text(key.signature(of: Array(report.utf8)))),
        "key_id": .string(key.publicKey.fingerprint), "public_key": .string(key.publicKey.pem),
      ])
  }
}
