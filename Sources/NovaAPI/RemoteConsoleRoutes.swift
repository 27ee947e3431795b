import APISupport
import Conductor
import Cryptography
import Domain
import HTTPTypes
import Store
import Wire

/// `/servers/{server}/remote-consoles`. Source: Nova API reference, "Server consoles". A token opens one connection and dies with the
/// lease, as those of the lease API.
struct RemoteConsoleRoutes: Sendable {
  let nova: NovaAPI
  private static let life: Duration = .seconds(600)

  var endpoints: [Endpoint] {
    [
      Endpoint(
        .post, "/v2.1/servers/{server}/remote-consoles", .member("remote_consoles:create"),
        "A URL of a server's console", handler: create)
    ]
  }

  private func create(_ request: APIRequest) async throws -> APIResponse {
    let (actor, id) = (try request.actor(), try request.parameter("server"))
    try nova.microversion(request).require(6)
    let input = try await ComputeInput(request, "remote_console")
    try input.allow(["protocol", "type"])
    let (word, type) = (try input.required("protocol"), try input.required("type"))
    let url = try await url(id, actor, word, type, request)
    return APIResponse(json: [
      "remote_console": ["protocol": .string(word), "type": .string(type), "url": .string(url)]
    ])
  }

  /// - Throws: 400 for another kind of console than machines have, 404 where none is kept.
  func url(_ id: String, _ actor: Actor, _ word: String, _ type: String, _ request: APIRequest) async throws -> String {
    let known = [
      "vnc": ["novnc", "xvpvnc"], "spice": ["spice-html5", "spice-direct"], "rdp": ["rdp-html5"], "serial": ["serial"],
      "mks": ["webmks"],
    ]
    guard known[word]?.contains(type) == true else {
      throw APIError.badRequest(
        "Invalid input for field/attribute type: '\(type.prefix(40))' is none of \(word.prefix(40)).")
    }
    let conductor = nova.conductor
    let node = try await nova.database.read { session in
      let row = try Lookup.changeable(id, actor, session, evenLocked: true)
      guard row.condition.status != .build else { throw APIError.conflict("Instance \(id) is not ready") }
      return try conductor.machine(of: row.server, in: session)
    }
    guard word == "serial" else {
      throw APIError.badRequest("Unavailable console type \(type.prefix(40)): machines have serial consoles.")
    }
    do { _ = try await conductor.consoles(of: node) } catch let error as ConductorError {
      throw APIError.badRequest(error.description)
    }
    guard let place = nova.consoleURL else {
      // Without a proxy: the port that carries the console read-only.
      if !node.consoleEnabled { try await conductor.setConsole(enabled: true, node: node) }
      let now = try await nova.database.read { try NodeStore.get(node.uuid, in: $0) } ?? node
      guard let url = await conductor.consoleURL(now) else { throw APIError.notFound("The console is not open.") }
      return url
    }
    let token = Identifier.uuid()
    try await nova.database.write { session in
      // The server may have ended since.
      let row = try Lookup.changeable(id, actor, session, evenLocked: true)
      let node = try conductor.machine(of: row.server, in: session)
      try ConsoleTokenStore.insert(
        digest: Digest.sha256Hex(token), node: node.uuid, lease: node.leaseUUID, until: request.now + Self.life,
        in: session)
    }
    return "\(place)/?token=\(token)"
  }
}
