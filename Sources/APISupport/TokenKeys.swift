import Cryptography
import Glibc
import Synchronization
import Wire

/// The keys that seal tokens: the first seals, all of them open.
public struct TokenKeys: Sendable {
  private let boxes: [SecretBox]
  private let prefixes: [[UInt8]]

  /// - Parameter keys: of 32 bytes each, at least one.
  public init(_ keys: [[UInt8]]) {
    boxes = keys.map { SecretBox(key: $0) }
    prefixes = boxes.map { Array(Digest.sha256(Array($0.keyID.utf8)).prefix(4)) }
  }

  /// Reads the file, or makes one with a new key. One key of 64 hexadecimal digits a line, the newest first, with the second
  /// at which it was made; only its owner can read the file.
  /// - Throws: ``TokenKeyError`` when it cannot be read or written, holds something else, or others can read it.
  public static func fromFile(_ path: String) throws -> TokenKeys {
    var keys = try read(path)
    if keys.isEmpty {
      keys = [Line(key: randomBytes(32), madeAt: seconds())]
      try write(keys, to: path)
    }
    return TokenKeys(keys.map(\.key))
  }
  /// Puts a new key first. A key goes when no living token can be sealed with it any more: two days after another took
  /// its place. A running server takes the file up by itself.
  public static func rotate(_ path: String) throws {
    let old = try read(path)
    let now = seconds()
    var kept: [Line] = []
    var replacedAt = now
    for line in old {
      if now - replacedAt < 2 * 86_400 { kept.append(line) }
      replacedAt = line.madeAt
    }
    try write([Line(key: randomBytes(32), madeAt: now)] + kept, to: path)
  }

  private struct Line {
    var key: [UInt8]
    /// Seconds since 1970; files of older versions do not tell, so they count as new.
    var madeAt: Int
  }
  private static func seconds() -> Int {
    var time = timespec()
    clock_gettime(CLOCK_REALTIME, &time)
    return time.tv_sec
  }

  private static func read(_ path: String) throws -> [Line] {
    let descriptor = Glibc.open(path, O_RDONLY | O_CLOEXEC)
    if descriptor < 0 {
      if errno == ENOENT { return [] }
      throw TokenKeyError("cannot read \(path): \(String(cString: strerror(errno)))")
    }
    defer { Glibc.close(descriptor) }
    var status = stat()
    guard fstat(descriptor, &status) == 0, status.st_mode & 0o077 == 0 else {
      throw TokenKeyError("\(path) can be read by others: chmod 600 it")
    }
    var buffer = [UInt8](repeating: 0, count: 1 << 16)
    let count = Glibc.read(descriptor, &buffer, buffer.count)
    guard count >= 0 else { throw TokenKeyError("cannot read \(path): \(String(cString: strerror(errno)))") }
    return try buffer.prefix(count).split(separator: 10).map { line in
      let words = line.split(whereSeparator: { $0 <= 32 }).map { Array($0) }
      var key: [UInt8] = []
      let digits = words.first ?? []
      for index in stride(from: 0, to: digits.count - 1, by: 2) {
        if let byte = UInt8(String(decoding: digits[index...index + 1], as: UTF8.self), radix: 16) { key.append(byte) }
      }
      guard digits.count == 64, key.count == 32, words.count <= 2 else {
        throw TokenKeyError("\(path) must hold lines of 64 hexadecimal digits")
      }
      return Line(key: key, madeAt: words.count > 1 ? Int(String(decoding: words[1], as: UTF8.self)) ?? 0 : seconds())
    }
  }
  private static func write(_ keys: [Line], to path: String) throws {
    let text = Array(keys.map { "\(Digest.hex($0.key)) \($0.madeAt)\n" }.joined().utf8)
    let new = path + ".new"
    let descriptor = Glibc.open(new, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
    guard descriptor >= 0 else { throw TokenKeyError("cannot make \(new): \(String(cString: strerror(errno)))") }
    let written = Glibc.write(descriptor, text, text.count) == text.count && fsync(descriptor) == 0
    Glibc.close(descriptor)
    guard written, rename(new, path) == 0 else { throw TokenKeyError("cannot write \(path)") }
  }

  func seal(_ payload: [UInt8]) -> String {
    guard let box = boxes.first, let prefix = prefixes.first else { return "" }
    return Base64.urlText(prefix + box.seal(payload, context: "token"))
  }
  func open(_ text: String) -> [UInt8]? {
    guard let bytes = Base64.bytes(text), bytes.count > 32 else { return nil }
    for (box, prefix) in zip(boxes, prefixes) where bytes.starts(with: prefix) {
      if let payload = box.open(Array(bytes.dropFirst(4)), context: "token") { return payload }
    }
    return nil
  }
}

/// The key file of a running server: read again when it was changed, so that keys rotate while the server runs.
final class TokenKeyFile: Sendable {
  private let path: String?
  private let state: Mutex<State>

  private struct State {
    var keys: TokenKeys
    /// Inode and time of change of the file that was read.
    var stamp: [Int]
    var looked: ContinuousClock.Instant
  }

  /// - Parameter path: nil for keys that never change.
  init(_ keys: TokenKeys, path: String?) {
    self.path = path
    state = Mutex(State(keys: keys, stamp: path.map { Self.stamp($0) } ?? [], looked: .now))
  }

  private static func stamp(_ path: String) -> [Int] {
    var status = stat()
    guard stat(path, &status) == 0 else { return [] }
    return [Int(status.st_ino), status.st_mtim.tv_sec, status.st_mtim.tv_nsec]
  }

  /// The keys in force. Looks at the file at most once a second; one that cannot be read changes nothing.
  var current: TokenKeys {
    state.withLock { state in
      guard let path else { return state.keys }
      let now = ContinuousClock.now
      guard now - state.looked > .seconds(1) else { return state.keys }
      state.looked = now
      let stamp = Self.stamp(path)
      if stamp != state.stamp, !stamp.isEmpty, let keys = try? TokenKeys.fromFile(path) {
        state.stamp = stamp
        state.keys = keys
      }
      return state.keys
    }
  }
}

/// Why the token keys are of no use, in words for the operator.
public struct TokenKeyError: Error, Sendable, CustomStringConvertible {
  public var description: String
  init(_ description: String) { self.description = description }
}
