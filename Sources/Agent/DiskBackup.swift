import BlockMaps
import Glibc
import Wire

/// Copies a disk as it is to the server's backup store: first the map of all of it, then the blocks that the store has not
/// (docs/agent-protocol.md, `back-up-disk`).
struct DiskBackup {
  let device: BlockDevice
  /// Where to: "/agent/v1/disk-backup/<workflow>".
  let path: String
  let session: ServerSession
  /// Told how much of the work is done, 0 to 1, and what is done; throws to stop.
  let progress: (Double, String) throws -> Void

  struct Outcome {
    var map: BlockMap
    var sentBytes: Int
  }

  func run() throws -> Outcome {
    let map = try readMap()
    let sender = BlockSender(target: path, blockSize: map.blockSize, session: session)
    // So many requests name all of its blocks, and a few more what was removed meanwhile with another backup.
    for _ in 0..<(map.dataCount / BlockRanges.most + 5) {
      let answer = try sender.post(map.bytes, to: path + "/map", limit: BlockRanges.most * 8)
      if answer.isEmpty { return Outcome(map: map, sentBytes: sender.sentBytes) }
      let lacking: [Range<Int>]
      do { lacking = try BlockRanges.parse(answer, count: map.count) } catch {
        throw AgentError(.refused, error.description)
      }
      try send(lacking, of: map, sender)
    }
    throw AgentError(
      .refused, "The server asks for the same blocks again and again: its backup store does not keep them.")
  }

  private func readMap() throws -> BlockMap {
    let blockSize = BlockMap.blockSize(forDiskOf: device.size)
    var builder: BlockMap.Builder
    do { builder = try BlockMap.Builder(size: device.size, blockSize: blockSize) } catch {
      throw AgentError(.refused, error.description)
    }
    let block = AlignedBuffer(byteCount: blockSize)
    while !builder.isComplete {
      let start = builder.next * blockSize
      let bytes = UnsafeMutableRawBufferPointer(rebasing: block.bytes[..<min(blockSize, device.size - start)])
      try device.readBulk(into: bytes, at: start)
      if isZero(UnsafeRawBufferPointer(bytes)) {
        builder.addZeros()
      } else {
        builder.add(digest: SHA256.of(UnsafeRawBufferPointer(bytes)))
      }
      try progress(0.5 * Double(start + bytes.count) / Double(device.size), "reading \(device.path)")
    }
    return builder.map
  }

  private func send(_ lacking: [Range<Int>], of map: BlockMap, _ sender: BlockSender) throws {
    let block = AlignedBuffer(byteCount: map.blockSize)
    let total = lacking.reduce(0) { $0 + $1.count }
    var done = 0
    for index in lacking.joined() where !map.isZero(index) {
      let range = map.range(of: index)
      let bytes = UnsafeMutableRawBufferPointer(rebasing: block.bytes[..<range.count])
      try device.readBulk(into: bytes, at: range.lowerBound)
      guard let digest = map.digest(of: index), SHA256.of(UnsafeRawBufferPointer(bytes)).elementsEqual(digest) else {
        throw AgentError(
          .refused,
          "The disk \(device.path) does not read the same twice, first at byte \(range.lowerBound). Replace the disk.")
      }
      try sender.add(UnsafeRawBufferPointer(bytes), index: index)
      done += 1
      try progress(0.5 + 0.5 * Double(done) / Double(total), "sending what the backup store has not")
    }
    try sender.finish()
  }
}
