import APISupport
import BlockMaps
import Conductor
import NIOCore

/// What an agent sends of a disk that it backs up, and what it fetches of one that it brings back (docs/agent-protocol.md,
/// `back-up-disk` and "Blocks").
extension AgentAPI {
  /// Bytes of a map: a disk with 1 TiB of data in blocks of 512 KiB has 64 MiB.
  static let largestBackupMap = 66 << 20

  var diskBackupEndpoints: [Endpoint] {
    [
      Endpoint(.post, "/agent/v1/disk-backup/{workflow}/map", .open, "The map of the disk that is backed up") {
        request in
        let (node, workflow) = try await captured(request)
        let map = try await request.body(limit: Self.largestBackupMap)
        guard let lacking = try await conductor.agentBackupMap(map, node: node, workflow: workflow) else {
          throw Self.nothing
        }
        if lacking.isEmpty { return .noContent }
        let bytes = BlockRanges.bytes(lacking)
        return APIResponse(.ok, contentType: "application/octet-stream", length: bytes.count) { writer in
          try await writer.write(ByteBuffer(bytes: bytes))
        }
      },
      Endpoint(.post, "/agent/v1/disk-backup/{workflow}", .open, "Blocks of the disk that is backed up") { request in
        let (node, workflow) = try await captured(request)
        let frames = try await request.body(limit: Self.largestBatch)
        guard try await conductor.agentBackupBlocks(frames, node: node, workflow: workflow) else { throw Self.nothing }
        return .noContent
      },
      Endpoint(.get, "/agent/v1/disk-backup/{workflow}/map", .open, "The map of the backup to restore") { request in
        let bytes = try await restored(request).bytes
        return APIResponse(.ok, contentType: "application/octet-stream", length: bytes.count) { writer in
          try await writer.write(ByteBuffer(bytes: bytes))
        }
      },
      Endpoint(.post, "/agent/v1/disk-backup/{workflow}/blocks", .open, "Blocks of the backup to restore") { request in
        let disk = try await restored(request)
        let ranges: [Range<Int>]
        do {
          ranges = try BlockRanges.parse(try await request.body(limit: BlockRanges.most * 8), count: disk.map.count)
        } catch let error as BlockFormatError { throw APIError.badRequest(error.description) }
        return APIResponse(.ok, contentType: "application/octet-stream", length: nil) { writer in
          for range in ranges {
            for index in range where !disk.map.isZero(index) {
              try await writer.write(ByteBuffer(bytes: try await conductor.frame(of: index, disk)))
            }
          }
        }
      },
    ]
  }
  private static var nothing: APIError { .notFound("No disk of this machine is backed up or restored.") }

  private func restored(_ request: APIRequest) async throws -> Conductor.RestoredDisk {
    let (node, workflow) = try await captured(request)
    guard let disk = try await conductor.restoredDisk(node: node, workflow: workflow) else { throw Self.nothing }
    return disk
  }
}
