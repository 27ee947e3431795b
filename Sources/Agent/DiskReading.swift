import BlockMaps
import Glibc
import Wire

/// Reads a disk and sends what is not zero, block by block, and at the end the map of all of it (docs/agent-protocol.md, `read-disk`).
struct DiskReading {
  /// Bytes of packed blocks that are sent at once.
  static let batch = 8 << 20

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
    let target = "\(path)?size=\(device.size)&block_size=\(blockSize)"
    let connection = HTTPConnection(server: session.server)
    let coder = BlockCoder()
    let block = AlignedBuffer(byteCount: blockSize)
    var frame = [UInt8](repeating: 0, count: BlockCoder.room(forBlockOf: blockSize))
    var batch: [UInt8] = []
    batch.reserveCapacity(Self.batch + frame.count)
    var sent = 0
    let layout = try CapturedLayout(of: device)
    func send() throws {
      try post(batch, to: target, connection)
      sent += batch.count
      batch.removeAll(keepingCapacity: true)
    }
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
        let count = frame.withUnsafeMutableBytes {
          coder.encode(UnsafeRawBufferPointer(bytes), index: index, into: $0)
        }
        batch.append(contentsOf: frame[..<count])
        if batch.count >= Self.batch { try send() }
      }
      try progress(start + bytes.count)
    }
    // Also for a disk of zeros alone: the file is made with the first batch.
    if !batch.isEmpty || sent == 0 { try send() }
    let map = builder.map
    try post(map.bytes, to: path + "/map", connection)
    return Outcome(map: map, sentBytes: sent)
  }

  /// The same batch again, as long as the server is away: blocks have their places.
  private func post(_ body: [UInt8], to target: String, _ connection: HTTPConnection) throws {
    let headers = [("Authorization", "Bearer \(session.token)"), ("Content-Type", "application/octet-stream")]
    try session.persistently("send the disk") {
      let request = HTTPRequest(method: "POST", path: target, headers: headers, body: body)
      let response = try connection.send(request, timeout: session.timing.silence)
      try ServerSession.check(response.status, try connection.readWholeBody(limit: 65536))
    }
  }
}
