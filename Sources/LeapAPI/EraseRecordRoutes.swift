import APISupport
import Cryptography
import Domain
import Store
import Wire

/// Signed records of what was erased. The routes are this server's own: upstream has none.
///
/// They are here and not below a node, because who left a machine does not see the node any more.
extension LeapAPI {
  var eraseRecordEndpoints: [Endpoint] {
    let readers = "who left the machine, who got it next, its owner, and administrators"
    return [
      Endpoint(
        .get, "/v1/erase-records", rule("erase_record:get_all", readers), "what was erased, the newest first",
        handler: eraseRecords),
      Endpoint(
        .get, "/v1/erase-records/{erase_record}", rule("erase_record:get", readers), "one erasure, signed",
        handler: eraseRecord),
    ]
  }

  /// 200 `{"erase_records": [{"uuid", "node_uuid", "lease_uuid", "began_at", "ended_at", "key_id"}]}`.
  private func eraseRecords(_ request: APIRequest) async throws -> APIResponse {
    try request.allowOnly(["node", "lease", "limit"])
    var filter = try filter(request)
    filter.node = request.query["node"]
    filter.lease = request.query["lease"]
    filter.limit = min(try request.pageLimit() ?? 1000, 1000)
    let records = try await database.read { [filter] in try EraseRecordStore.list(filter, in: $0) }
    return APIResponse(json: ["erase_records": .array(records.map { .object(shown($0)) })])
  }

  /// 200 with the above, `record` (the text of a JSON document, exactly as it was signed), `signature` (base64), `algorithm` and
  /// `public_key` (PEM). 404 for one that the caller may not see.
  private func eraseRecord(_ request: APIRequest) async throws -> APIResponse {
    try request.allowOnly([])
    let id = try request.parameter("erase_record")
    var filter = try filter(request)
    filter.uuid = id
    let key = try await database.signingKey().publicKey
    guard let record = try await database.read({ [filter] in try EraseRecordStore.list(filter, in: $0) }).first else {
      throw APIError.notFound("Erase record \(id) could not be found.")
    }
    var answer = shown(record)
    answer["record"] = .string(record.document)
    answer["algorithm"] = "Ed25519"
    answer["signature"] = .string(record.signature)
    answer["public_key"] = .string(key.pem)
    return APIResponse(json: .object(answer))
  }

  private func filter(_ request: APIRequest) throws -> EraseRecordStore.Filter {
    let actor = try request.actor()
    guard LeasePolicy.mayRead(actor) else { throw Refusal.rule("erase_record:get") }
    if LeasePolicy.isAdmin(actor) || actor.isSiteReader { return EraseRecordStore.Filter(.everything) }
    return EraseRecordStore.Filter(.project(actor.projectID ?? ""))
  }

  private func shown(_ record: EraseRecord) -> JSONObject {
    [
      "uuid": .string(record.uuid), "node_uuid": .string(record.nodeUUID), "lease_uuid": JSON(record.leaseUUID),
      "began_at": .string(record.time.start.iso8601Zulu), "ended_at": .string(record.time.end.iso8601Zulu),
      "key_id": .string(record.keyID),
    ]
  }
}
