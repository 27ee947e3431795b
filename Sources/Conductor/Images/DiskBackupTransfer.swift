import BlockMaps
import Cryptography
import Domain
import Store
import Wire
import Workflows

/// What agents send of disks that are backed up, and fetch of backups that are brought back (docs/agent-protocol.md).
extension Conductor {
  /// The backup that the agent of a node copies now.
  /// - Returns: nil when its workflow has no `back-up-disk` under way.
  private func copied(_ node: String, _ workflow: String) async throws -> DiskBackup? {
    try await database.read { session in
      guard let command = try AgentStore.pending(node: node, workflow: workflow, in: session),
        command.kind == "back-up-disk", let record = try WorkflowStore.get(workflow, in: session),
        let id = record.params["backup"]?.string, let backup = try DiskBackupStore.get(id, in: session),
        backup.status == .creating
      else { return nil }
      return backup
    }
  }

  /// The map of a disk that is backed up.
  /// - Returns: the blocks that the store lacks, none when the backup is whole; nil when this node's agent was not told to copy a disk.
  /// - Throws: ``ConductorError`` `.badRequest` for what is no map, `.conflict` when the project has no room for that much.
  public func agentBackupMap(_ bytes: [UInt8], node: String, workflow: String) async throws -> [Range<Int>]? {
    guard let backup = try await copied(node, workflow), let store = parts.backups else { return nil }
    let map: BlockMap
    do { map = try BlockMap(parsing: bytes) } catch { throw ConductorError(.badRequest, error.description) }
    guard map.size <= Self.largestBackedUpDisk else {
      throw ConductorError(.badRequest, "A disk of \(map.size) bytes is not taken.")
    }
    let digest = Digest.hex(Digest.sha256(bytes))
    let isWanted = try await database.write { session in
      guard var row = try DiskBackupStore.get(backup.uuid, in: session), row.status == .creating else { return false }
      row.size = map.size
      row.mapSHA256 = digest
      // What it was counted with before does not count twice.
      row.dataBytes = nil
      try DiskBackupStore.update(row, in: session)
      try Self.requireRoom(
        .backupGigabytes, adding: DiskBackup.gigabytes(map.dataBytes), project: row.projectID, in: session)
      row.dataBytes = map.dataBytes
      try DiskBackupStore.update(row, in: session)
      return true
    }
    guard isWanted else { return nil }
    // At hand for the blocks that come next.
    try await parts.captures.take(map: bytes, of: workflow)
    return try await store.ensureBackup(backup.uuid, project: backup.projectID, of: map)
  }

  /// Blocks of that disk, as whole frames. Each is kept only if the map names it.
  /// - Returns: false when this node's agent was not told to copy a disk.
  public func agentBackupBlocks(_ frames: [UInt8], node: String, workflow: String) async throws -> Bool {
    guard let backup = try await copied(node, workflow), let store = parts.backups else { return false }
    let bytes = try await parts.captures.readMap(workflow)
    for block in try await FileThread.shared.run({ try Self.blocks(frames, of: BlockMap(parsing: bytes)) }) {
      try await store.keepBlock(block, project: backup.projectID)
    }
    return true
  }
  private static func blocks(_ frames: [UInt8], of map: BlockMap) throws -> [[UInt8]] {
    let damaged = ConductorError(.badRequest, "These are not blocks of the disk whose map was sent.")
    let coder = BlockCoder()
    var blocks: [[UInt8]] = []
    try frames.withUnsafeBytes { bytes in
      var rest = bytes
      while !rest.isEmpty {
        guard rest.count > BlockCoder.headerLength else { throw damaged }
        let header = BlockCoder.Header(rest)
        rest = UnsafeRawBufferPointer(rebasing: rest[BlockCoder.headerLength...])
        var block: [UInt8]
        do {
          try header.check(against: map)
          guard header.storedLength <= rest.count else { throw damaged }
          block = [UInt8](repeating: 0, count: map.range(of: header.index).count)
          let stored = UnsafeRawBufferPointer(rebasing: rest[..<header.storedLength])
          try block.withUnsafeMutableBytes { try coder.decode(stored, into: $0) }
        } catch { throw damaged }
        guard let digest = map.digest(of: header.index), Digest.sha256(block).elementsEqual(digest) else {
          throw damaged
        }
        blocks.append(block)
        rest = UnsafeRawBufferPointer(rebasing: rest[header.storedLength...])
      }
    }
    return blocks
  }

  /// A backup as the agent that writes it sees it.
  public struct RestoredDisk: Sendable {
    public let map: BlockMap
    public let bytes: [UInt8]
    fileprivate let project: String
  }
  /// The backup that the running workflow of a node brings back; nil when it brings back none.
  public func restoredDisk(node: String, workflow: String) async throws -> RestoredDisk? {
    let prepared = try await database.read { session -> JSON? in
      guard let record = try WorkflowStore.get(workflow, in: session), record.kind == "restore-disk",
        record.subject == node, record.state.isOpen
      else { return nil }
      let events = try WorkflowStore.events(of: workflow, in: session)
      let data = events.last { $0.step == "prepare-restore" && $0.kind == .succeeded }?.data
      return data.flatMap { try? JSON(parsing: $0) }
    }
    guard let project = prepared?["project"]?.string else { return nil }
    let bytes = try await parts.captures.readMap(workflow)
    do { return RestoredDisk(map: try BlockMap(parsing: bytes), bytes: bytes, project: project) } catch {
      throw ConductorError(.conflict, error.description)
    }
  }
  /// The frame of one block; nothing for a zero block. What is not as long as the block is sent as it is: the agent's check finds it.
  public func frame(of index: Int, _ disk: RestoredDisk) async throws -> [UInt8] {
    guard let digest = disk.map.digest(of: index), let store = parts.backups else { return [] }
    let block = try await store.block(digest, project: disk.project).prefix(disk.map.range(of: index).count)
    return try await FileThread.shared.run {
      var frame = [UInt8](repeating: 0, count: BlockCoder.room(forBlockOf: block.count))
      let count = block.withUnsafeBytes { block in
        frame.withUnsafeMutableBytes { BlockCoder().encode(block, index: index, into: $0) }
      }
      return Array(frame[..<count])
    }
  }
}
