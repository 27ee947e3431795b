import BlockMaps
import Glibc
import Wire

/// Reads a disk and sends what is not zero, block by block, and at the end the map of all of it (docs/agent-protocol.md, `read-disk`).
struct DiskReading {
  let device: BlockDevice
  /// Where to: "/agent/v1/capture/<workflow>".
  let path: String
  let session: ServerSession
  /// Told how many bytes were read; throws to stop.
  let progress: (Int) throws -> Void

  struct Outcome {
    var map: BlockMap
    var sentBytes: Int
  }

  func run() throws -> Outcome {
    let blockSize = BlockMap.blockSize(forDiskOf: device.size)
    var builder: BlockMap.Builder
    do { builder = try BlockMap.Builder(size: device.size, blockSize: blockSize) } catch {
      throw AgentError(.refused, error.description)
    }
    let sender = BlockSender(
      target: "\(path)?size=\(device.size)&block_size=\(blockSize)", blockSize: blockSize, session: session)
    let block = AlignedBuffer(byteCount: blockSize)
    let layout = try CapturedLayout(of: device)
    while !builder.isComplete {
      let index = builder.next
      let start = index * blockSize
      let bytes = UnsafeMutableRawBufferPointer(rebasing: block.bytes[..<min(blockSize, device.size - start)])
      try device.readBulk(into: bytes, at: start)
      layout.apply(to: bytes, at: start)
      if isZero(UnsafeRawBufferPointer(bytes)) {
        builder.addZeros()
      } else {
        var hash = SHA256()
        hash.update(UnsafeRawBufferPointer(bytes))
        builder.add(digest: hash.digest())
        try sender.add(UnsafeRawBufferPointer(bytes), index: index)
      }
      try progress(start + bytes.count)
    }
    // Also for a disk of zeros alone: the file is made with the first batch.
    try sender.finish(evenIfEmpty: true)
    let map = builder.map
    _ = try sender.post(map.bytes, to: path + "/map")
    return Outcome(map: map, sentBytes: sender.sentBytes)
  }
}
