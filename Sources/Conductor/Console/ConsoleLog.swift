import Glibc

/// What one machine has printed, in two files: the current one and the one before it. Only ``ConsoleThread`` touches it.
///
/// Places in it are counted in bytes from the start of the older file at the time of opening, and go on growing when the
/// files rotate; so a reader is nothing but a place, and needs no buffer of its own.
struct ConsoleLog {
  /// The oldest byte still there, the end, and where the machine was last powered on.
  private(set) var start = 0
  private(set) var end: Int
  private(set) var powerOn: Int

  private let path: String
  /// Bytes of one file.
  private let limit: Int
  private var current: OpenFile
  private var previous: OpenFile?
  /// Place of the current file's first byte.
  private var base: Int

  /// - Throws: ``ConsoleFileError``.
  init(path: String, limit: Int) throws {
    self.path = path
    self.limit = limit
    previous = access(path + ".1", F_OK) == 0 ? try OpenFile(path + ".1") : nil
    current = try OpenFile(path)
    base = previous?.size ?? 0
    end = base + current.size
    powerOn = 0
    powerOn = storedPowerOn()
  }

  mutating func append(_ bytes: [UInt8]) throws {
    if current.size > 0, current.size + bytes.count > limit { try rotate() }
    try current.append(bytes)
    end = base + current.size
  }

  /// "Since power-on" begins here from now on, also after a restart of the server.
  mutating func markPowerOn() {
    powerOn = end
    storePowerOn()
  }

  /// Bytes from a place on, at most `limit`; a place that has been rotated away counts as the oldest.
  /// - Returns: the bytes and the place after them.
  func read(from place: Int, limit: Int) -> (bytes: [UInt8], next: Int) {
    let place = min(max(place, start), end)
    let bytes =
      if let previous, place < base {
        previous.read(at: place - start, count: min(limit, base - place))
      } else {
        current.read(at: place - base, count: min(limit, end - place))
      }
    return (bytes, place + bytes.count)
  }

  private mutating func rotate() throws {
    let isMarkLost = powerOn < base
    // Before the old file's inode number is free to be given to the new one.
    if isMarkLost { unlink(markPath) }
    guard rename(path, path + ".1") == 0 else { throw ConsoleFileError(path: path, number: errno) }
    previous = current
    current = try OpenFile(path)
    start = base
    base = end
    powerOn = max(powerOn, start)
  }

  // The mark is kept as file and place in it, so that it means the same after any rotation.
  private var markPath: String { path + ".power-on" }

  private func storePowerOn() {
    guard let file = fopen(markPath, "we") else { return }
    fputs("\(current.inode) \(powerOn - base)\n", file)
    fclose(file)
  }

  private func storedPowerOn() -> Int {
    guard let file = fopen(markPath, "re") else { return start }
    defer { fclose(file) }
    var line = [CChar](repeating: 0, count: 64)
    guard fgets(&line, 64, file) != nil else { return start }
    let text = String(decoding: line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    let numbers = text.split(whereSeparator: \.isWhitespace).compactMap { Int($0) }
    guard numbers.count == 2, numbers[1] >= 0 else { return start }
    let first = numbers[0] == current.inode ? base : numbers[0] == previous?.inode ? start : nil
    return first.map { min($0 + numbers[1], end) } ?? start
  }
}

/// The console's log cannot be written.
struct ConsoleFileError: Error, CustomStringConvertible {
  let path: String
  let number: Int32
  var description: String {
    "\(path): \(String(cString: strerror(number)))"
      + (number == ENOSPC || number == EDQUOT ? "; free space on the server's disk" : "")
  }
}

/// One open file that only grows; closed with the object.
private final class OpenFile {
  private let descriptor: Int32
  private let path: String
  private(set) var size: Int
  let inode: Int

  init(_ path: String) throws {
    self.path = path
    // The log of a machine is its tenant's: nobody else on the host reads it.
    descriptor = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0o600)
    var information = stat()
    guard descriptor >= 0, fstat(descriptor, &information) == 0 else {
      throw ConsoleFileError(path: path, number: errno)
    }
    size = Int(information.st_size)
    inode = Int(information.st_ino)
  }
  deinit { close(descriptor) }

  func append(_ bytes: [UInt8]) throws {
    var rest = bytes[...]
    while !rest.isEmpty {
      let count = rest.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
      if count < 0, errno == EINTR { continue }
      guard count > 0 else { throw ConsoleFileError(path: path, number: errno) }
      size += count
      rest = rest.dropFirst(count)
    }
  }

  func read(at place: Int, count: Int) -> [UInt8] {
    guard count > 0 else { return [] }
    return [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
      initialized = max(0, pread(descriptor, buffer.baseAddress, count, off_t(place)))
    }
  }
}
