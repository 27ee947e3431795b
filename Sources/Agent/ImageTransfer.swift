import CLinux
import Glibc
import Wire

/// Something to fetch: where, how long and what its bytes must hash to.
struct ImageSource {
  var path: String
  /// Size of the raw form in bytes.
  var size: Int
  /// 64 lower-case hexadecimal digits.
  var sha256: String

  /// - Throws: ``AgentError`` when a member is missing or cannot be what it should.
  init(_ json: JSON, what: String) throws {
    guard let path = json["url"]?.string, HTTPConnection.isSafePath(path), path.hasPrefix("/agent/v1/") else {
      throw AgentError(.refused, "The url of the \(what) is not a path below /agent/v1/.")
    }
    guard let size = json["size_bytes"]?.int, size > 0, size < 1 << 50 else {
      throw AgentError(.refused, "The \(what) has no size.")
    }
    guard let digest = json["sha256"]?.string?.lowercased(), digest.utf8.count == 64,
      digest.utf8.allSatisfy({ (48...57).contains($0) || (97...102).contains($0) })
    else { throw AgentError(.refused, "The \(what) has no SHA-256, and nothing is written unverified.") }
    (self.path, self.size, sha256) = (path, size, digest)
  }
}

/// The headers between the pieces of an image in transfer: where the next piece belongs. They must ascend and stay
/// within the image, whoever sent them.
struct ExtentSequence {
  enum Step: Equatable { case extent(offset: Int, length: Int), end }

  let imageSize: Int
  private var position = 0

  init(imageSize: Int) { self.imageSize = imageSize }

  /// Reads one header of 16 bytes.
  mutating func next(_ header: [UInt8]) throws -> Step {
    guard header.count == 16, let offset = header.offset(0), let length = header.offset(8) else {
      throw AgentError(.refused, "The image's stream names a place that no disk has.")
    }
    if length == 0 {
      guard offset == imageSize else {
        throw AgentError(.refused, "The image's stream ends at byte \(offset) instead of \(imageSize).")
      }
      return .end
    }
    guard offset >= position else {
      throw AgentError(.refused, "The image's stream goes back from byte \(position) to \(offset).")
    }
    guard offset <= imageSize, length <= imageSize - offset else {
      throw AgentError(
        .refused, "The image's stream goes beyond its \(imageSize) bytes: \(length) bytes at byte \(offset).")
    }
    position = offset + length
    return .extent(offset: offset, length: length)
  }
}

extension Array<UInt8> {
  fileprivate func offset(_ at: Int) -> Int? { Int(exactly: little64(at)) }
}

/// Streams an image from the server to a disk, and does it again when the server goes away in the middle.
///
/// A transfer is taken up where it broke when the server names the body's version (`ETag`) and answers 206 to a
/// `Range` of the body as it is sent; else it starts from scratch, which is always right.
final class ImageTransfer {
  private let session: ServerSession
  private let source: ImageSource
  private let device: BlockDevice
  private let progress: (Int) throws -> Void
  private let connection: HTTPConnection

  private(set) var writer: ImageWriter
  private var sequence: ExtentSequence
  private var header: [UInt8] = []
  private var remaining = 0
  private var bodyPosition = 0
  private var version: String?
  private var hasResumed = false
  private var mayResume = true

  /// - Parameter progress: told the position in the raw form after each piece; throws to stop.
  init(
    _ source: ImageSource, to device: BlockDevice, session: ServerSession, progress: @escaping (Int) throws -> Void
  ) {
    self.source = source
    self.device = device
    self.session = session
    self.progress = progress
    connection = HTTPConnection(server: session.server)
    writer = ImageWriter(device: device, imageSize: source.size)
    sequence = ExtentSequence(imageSize: source.size)
  }

  /// Returns when the whole image is on the disk and its SHA-256 is right.
  /// - Throws: ``AgentError``; the disk then holds a part of an image.
  func run() throws {
    do { try transfer() } catch let error as AgentError where error.code == .refused && hasResumed {
      // Two halves that do not fit each other: an image that was replaced, or a server that counts otherwise.
      session.log.say("\(error) Starting the transfer over, without resuming.")
      mayResume = false
      startOver()
      try transfer()
    }
  }

  private func transfer() throws {
    var pause = session.timing.firstPause
    var failedSince: Double?
    while true {
      let before = bodyPosition
      do {
        try attempt()
        break
      } catch let error as AgentError where error.isTransient {
        let now = clinux_monotonic_seconds()
        if bodyPosition > before || failedSince == nil {
          failedSince = now
          pause = session.timing.firstPause
        }
        guard let failedSince, now - failedSince + pause <= session.timing.patience else {
          throw AgentError(error.code, "The transfer of the image broke off for good: \(error)")
        }
        session.log.say("the transfer broke at byte \(writer.position) of \(source.size): \(error)")
        connection.close()
        usleep(UInt32(pause * 1_000_000))
        pause = min(pause * 2, session.timing.longestPause)
      }
    }
    let digest = try writer.finish()
    guard digest == source.sha256 else {
      throw AgentError(
        .refused,
        "The image's SHA-256 is \(digest) instead of \(source.sha256): it was changed on the way or on the disk. Deploy "
          + "again; if it stays so, the disk or the network is broken.")
    }
  }

  private func startOver() {
    writer = ImageWriter(device: device, imageSize: source.size)
    sequence = ExtentSequence(imageSize: source.size)
    header = []
    remaining = 0
    bodyPosition = 0
    version = nil
    hasResumed = false
  }

  private func attempt() throws {
    var request = HTTPRequest(
      method: "GET", path: source.path,
      headers: [("Authorization", "Bearer \(session.token)"), ("X-Steelyard-Extents", "1")])
    if mayResume, bodyPosition > 0, let version {
      request.headers += [("Range", "bytes=\(bodyPosition)-"), ("If-Range", version)]
    }
    let response = try connection.send(request, timeout: session.timing.silence)
    switch response.status {
    case 206 where response.header("content-range")?.hasPrefix("bytes \(bodyPosition)-") == true:
      session.log.say("resuming at byte \(writer.position)")
      hasResumed = true
    case 200:
      if bodyPosition > 0 { session.log.say("starting over: the server does not resume this transfer") }
      startOver()
      version = response.header("etag").flatMap { $0.hasPrefix("\"") ? $0 : nil }
    case 206, 416:
      mayResume = false
      throw AgentError(.unreachable, "The server answered another range than the one asked for.")
    default:
      try ServerSession.check(response.status, try connection.readWholeBody(limit: 65536))
      throw AgentError(.refused, "The server answered \(response.status) instead of the image.")
    }
    while try step() {}
  }

  /// Takes in the next piece of the body; false at the end of the image.
  private func step() throws -> Bool {
    if remaining > 0 {
      let room = writer.room()
      let target = UnsafeMutableRawBufferPointer(rebasing: room[..<min(room.count, remaining)])
      let count = try connection.readBody(into: target)
      guard count > 0 else { throw truncated() }
      bodyPosition += count
      remaining -= count
      try writer.commit(count)
      try progress(writer.position)
      return true
    }
    var piece = [UInt8](repeating: 0, count: 16 - header.count)
    let count = try piece.withUnsafeMutableBytes { try connection.readBody(into: $0) }
    guard count > 0 else { throw truncated() }
    bodyPosition += count
    header += piece[..<count]
    guard header.count == 16 else { return true }
    let step = try sequence.next(header)
    header = []
    switch step {
    case .extent(let offset, let length):
      try writer.skip(to: offset)
      remaining = length
      return true
    case .end:
      return false
    }
  }

  private func truncated() -> AgentError {
    // Cleanly ended by the server, but short: a file that was cut. The next try may find it whole; a server that
    // keeps doing it exhausts the patience.
    AgentError(.unreachable, "The image's stream ended in the middle.")
  }
}
