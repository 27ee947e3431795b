import APISupport
import Conductor

/// What an agent sends of a disk that it was told to read (docs/agent-protocol.md, `read-disk`).
extension AgentAPI {
  /// Bytes of one batch of blocks: what the server holds in memory of one capture.
  static let largestBatch = 24 << 20
  /// Bytes of a map: a disk of 512 GiB in blocks of 512 KiB has 32 MiB.
  static let largestMap = 33 << 20

  var captureEndpoints: [Endpoint] {
    [
      Endpoint(.post, "/agent/v1/capture/{workflow}", .open, "Blocks of the disk that is read") { request in
        let (node, workflow) = try await captured(request)
        let (size, blockSize) = (try request.query.int("size") ?? 0, try request.query.int("block_size") ?? 0)
        let frames = try await request.body(limit: Self.largestBatch)
        guard
          try await conductor.agentBlocks(frames, size: size, blockSize: blockSize, node: node, workflow: workflow)
        else { throw Self.unwanted }
        return .noContent
      },
      Endpoint(.post, "/agent/v1/capture/{workflow}/map", .open, "The map of the disk that was read") { request in
        let (node, workflow) = try await captured(request)
        let map = try await request.body(limit: Self.largestMap)
        guard try await conductor.agentMap(map, node: node, workflow: workflow) else { throw Self.unwanted }
        return .noContent
      },
    ]
  }
  static var unwanted: APIError { .notFound("No disk of this machine is being captured, or none so large.") }

  /// The caller's node and workflow, which must be the one in the path.
  func captured(_ request: APIRequest) async throws -> (node: String, workflow: String) {
    let holder = try await holder(request)
    guard try request.parameter("workflow") == holder.workflow else { throw Self.unwanted }
    return holder
  }
}
