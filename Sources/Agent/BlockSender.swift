import BlockMaps
import Glibc

/// Packs blocks of a disk and sends them in batches (docs/agent-protocol.md, "Blocks").
final class BlockSender {
  /// Bytes of packed blocks that are sent at once.
  static let batch = 8 << 20

  /// Where batches go to: a path and its query.
  private let target: String
  private let session: ServerSession
  private let connection: HTTPConnection
  private let coder = BlockCoder()
  private var frame: [UInt8]
  private var batch: [UInt8] = []
  /// Bytes of blocks that were sent, packed.
  private(set) var sentBytes = 0

  /// - Parameter blockSize: in bytes; that of the largest block.
  init(target: String, blockSize: Int, session: ServerSession) {
    self.target = target
    self.session = session
    connection = HTTPConnection(server: session.server)
    frame = [UInt8](repeating: 0, count: BlockCoder.room(forBlockOf: blockSize))
    batch.reserveCapacity(Self.batch + frame.count)
  }

  func add(_ block: UnsafeRawBufferPointer, index: Int) throws {
    let count = frame.withUnsafeMutableBytes { coder.encode(block, index: index, into: $0) }
    batch.append(contentsOf: frame[..<count])
    if batch.count >= Self.batch { try send() }
  }
  /// Sends what is left.
  func finish(evenIfEmpty: Bool = false) throws {
    if !batch.isEmpty || (evenIfEmpty && sentBytes == 0) { try send() }
  }
  private func send() throws {
    _ = try post(batch, to: target, limit: 65536)
    sentBytes += batch.count
    batch.removeAll(keepingCapacity: true)
  }

  /// The same again, as long as the server is away: blocks have their places.
  /// - Parameter limit: bytes of the answer.
  /// - Returns: the answer's body.
  func post(_ body: [UInt8], to path: String, limit: Int = 65536) throws -> [UInt8] {
    let headers = [("Authorization", "Bearer \(session.token)"), ("Content-Type", "application/octet-stream")]
    return try session.persistently("send the disk") {
      let request = HTTPRequest(method: "POST", path: path, headers: headers, body: body)
      let response = try connection.send(request, timeout: session.timing.silence)
      let answer = try connection.readWholeBody(limit: max(limit, 65536))
      try ServerSession.check(response.status, answer)
      return answer
    }
  }
}
