import APISupport
import Conductor
import Cryptography
import Domain
import HTTPTypes
import Store
import Wire

/// `/os-keypairs`. Source: Nova API reference, "Keypairs".
struct KeypairRoutes: Sendable {
  let nova: NovaAPI

  var endpoints: [Endpoint] {
    [
      Endpoint(.get, "/v2.1/os-keypairs", .authenticated, "Lists the caller's keypairs", handler: list),
      Endpoint(.post, "/v2.1/os-keypairs", .authenticated, "Imports a public key, or makes a pair", handler: create),
      Endpoint(.get, "/v2.1/os-keypairs/{keypair}", .authenticated, "Shows a keypair", handler: show),
      Endpoint(.delete, "/v2.1/os-keypairs/{keypair}", .authenticated, "Deletes a keypair", handler: delete),
    ]
  }

  /// The caller, or whom the administrator names (2.10).
  private func user(_ asked: String?, _ actor: Actor, _ version: Microversion, writes: Bool) throws -> String {
    guard let asked, version.minor >= 10, asked != actor.userID else { return actor.userID }
    guard writes ? actor.isSiteAdmin : actor.isSiteReader else {
      throw APIError.forbidden("Policy doesn't allow os_compute_api:os-keypairs to be performed for another user.")
    }
    return asked
  }
  private static func shown(_ keypair: Keypair, _ version: Microversion, isWhole: Bool) -> JSONObject {
    var object: JSONObject = [
      "name": .string(keypair.name), "public_key": .string(keypair.publicKey),
      "fingerprint": .string(keypair.fingerprint),
    ]
    if version.minor >= 2 { object["type"] = "ssh" }
    if isWhole {
      object["user_id"] = .string(keypair.userID)
      object["id"] = .int(keypair.number)
      object["created_at"] = .string(keypair.createdAt.iso8601)
      object["deleted"] = false
      for key in ["deleted_at", "updated_at"] { object[key] = .some(.null) }
    }
    return object
  }

  private func list(_ request: APIRequest) async throws -> APIResponse {
    let version = try nova.microversion(request)
    let user = try user(request.query["user_id"], try request.actor(), version, writes: false)
    let keypairs = try await nova.database.read { try KeypairStore.list(user: user, in: $0) }
    let page = version.minor >= 35 ? try Page(request.query) : try Page(QueryParameters(""))
    let (items, hasMore) = try page.cut(keypairs) { $0.name }
    var body: JSONObject = [
      "keypairs": .array(items.map { ["keypair": .object(Self.shown($0, version, isWhole: false))] })
    ]
    if hasMore, version.minor >= 35, let last = items.last {
      body["keypairs_links"] = Page.next(request, after: last.name)
    }
    return APIResponse(json: .object(body))
  }

  private func show(_ request: APIRequest) async throws -> APIResponse {
    let (version, name) = (try nova.microversion(request), try request.parameter("keypair"))
    let user = try user(request.query["user_id"], try request.actor(), version, writes: false)
    guard let keypair = try await nova.database.read({ try KeypairStore.get(name, user: user, in: $0) }) else {
      throw APIError.notFound("Keypair \(name.prefix(80)) not found for user \(user)")
    }
    return APIResponse(json: ["keypair": .object(Self.shown(keypair, version, isWhole: true))])
  }

  private func create(_ request: APIRequest) async throws -> APIResponse {
    let (actor, version) = (try request.actor(), try nova.microversion(request))
    let input = try await ComputeInput(request, "keypair")
    var known: Set<String> = ["name", "public_key"]
    if version.minor >= 2 { known.insert("type") }
    if version.minor >= 10 { known.insert("user_id") }
    try input.allow(known)
    let name = try input.required("name")
    guard
      name.utf8.allSatisfy({
        ComputeInput.isMetadataKey(String(UnicodeScalar($0))) || (version.minor >= 92 && ($0 == 0x40))
      }),
      name.first != " ", name.last != " "
    else {
      throw APIError.badRequest(
        "Keypair data is invalid: Keypair name contains unsafe characters: letters, digits, '-', '_', '.' and spaces are possible."
      )
    }
    guard try input.text("type") ?? "ssh" == "ssh" else {
      throw APIError.badRequest("Keypairs of type x509 are for Windows on virtual machines, and not offered: ssh is.")
    }
    let user = try user(try input.text("user_id"), actor, version, writes: true)
    var made: SSHKey?
    let line: String
    if input.value("public_key") != nil {
      line = try input.required("public_key", 1...65_536)
    } else {
      guard version.minor < 92 else { throw APIError.badRequest("'public_key' is a required property") }
      let key = SSHKey(comment: "Generated-by-Steelyard")
      made = key
      line = key.publicLine
    }
    guard let bytes = Keypair.bytes(of: line, decode: Base64.bytes) else {
      throw APIError.badRequest("Keypair data is invalid: failed to generate fingerprint")
    }
    let keypair = Keypair(
      userID: user, name: name, publicKey: line, fingerprint: SSHKey.fingerprint(bytes), createdAt: request.now)
    let limit = nova.quotas.keypairs
    try await nova.database.write { session in
      guard try KeypairStore.get(name, user: user, in: session) == nil else {
        throw APIError.conflict("Key pair '\(name)' already exists.")
      }
      guard try limit < 0 || KeypairStore.count(user: user, in: session) < limit else {
        throw APIError.forbidden("Quota exceeded, too many key pairs.")
      }
      try KeypairStore.insert(keypair, in: session)
    }
    var object = Self.shown(keypair, version, isWhole: false)
    object["user_id"] = .string(user)
    if let made { object["private_key"] = .string(made.privateText) }
    return APIResponse(version.minor >= 2 ? .created : .ok, json: ["keypair": .object(object)])
  }

  private func delete(_ request: APIRequest) async throws -> APIResponse {
    let (version, name) = (try nova.microversion(request), try request.parameter("keypair"))
    let user = try user(request.query["user_id"], try request.actor(), version, writes: true)
    try await nova.database.write { session in
      guard try KeypairStore.delete(name, user: user, in: session) else {
        throw APIError.notFound("Keypair \(name.prefix(80)) not found for user \(user)")
      }
    }
    return APIResponse(version.minor >= 2 ? .noContent : .accepted)
  }
}
