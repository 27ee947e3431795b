import APISupport
import Conductor
import Domain
import NIOCore
import Store
import Wire

/// The console's text through the API, an addition to Ironic's: read-only, and dead with the caller's right to the node.
extension IronicAPI {
  var consoleLogEndpoints: [Endpoint] {
    [
      Endpoint(
        .get, "/v1/nodes/{node}/console", Self.act, "The console's text since power-on; `follow=true` goes on live"
      ) {
        try await consoleText($0)
      }
    ]
  }

  /// GET /v1/nodes/{node}/console?follow=true&since=power-on|oldest|now → 200 `application/octet-stream`: bytes as the machine
  /// printed them (escape sequences and all). 400 when the node's hardware has no console.
  private func consoleText(_ request: APIRequest) async throws -> APIResponse {
    let node = try await seen(request, to: .use)
    let consoles = try await conductor.consoles(of: node)
    let start: ConsoleStart
    switch request.query["since"] ?? "power-on" {
    case "power-on": start = .powerOn
    case "oldest":
      // What is older than the last power-on may be an earlier tenant's.
      guard NodePolicy.relation(try request.actor(), to: node) != .lessee else {
        throw APIError.forbidden("A lessee sees the console since power-on: what is older may be another's.")
      }
      start = .oldest
    case "now": start = .now
    default: throw APIError.badRequest("since must be power-on, oldest or now.")
    }
    guard try request.query.bool("follow") == true else {
      let bytes = await consoles.text(node: node.uuid, since: start, limit: 1 << 20)
      return APIResponse(contentType: "application/octet-stream", length: bytes.count) { writer in
        try await writer.write(ByteBuffer(bytes: bytes))
      }
    }
    let uuid = node.uuid, actor = try request.actor(), database = database
    return APIResponse(contentType: "application/octet-stream", length: nil) { writer in
      for await bytes in consoles.follow(node: uuid, since: start) {
        // The stream is cut when the lease ends; whoever slips in between two cuts is caught here.
        let mayRead = try await database.read { session in
          guard let node = try NodeStore.get(uuid, in: session) else { return false }
          return NodePolicy.sees(node, actor) && NodePolicy.allows(.use, node, actor)
        }
        guard mayRead else { return }
        try await writer.write(ByteBuffer(bytes: bytes))
      }
    }
  }
}
