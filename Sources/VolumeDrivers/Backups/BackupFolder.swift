import Cryptography
import DriverInterfaces
import Glibc
import Processes
import Wire

/// Backups in a folder: PROJECT/pieces/XX/SHA256 holds a piece of 1 MiB, PROJECT/BACKUP.json lists the pieces of a backup in
/// order. The list is written last, and a piece under another name first, so that what is there is whole.
public final class BackupFolder: BackupInterface, Sendable {
  public static let pieceLength = 1 << 20
  private let folder: String
  /// One at a time: a removal must not take a piece that another backup is about to name.
  private let turns = Turns()
  private static let device = DriverError.Device.volumes("backups")

  /// - Parameter folder: made when it is not there; best on another disk than the volumes'.
  public init(folder: String) throws {
    self.folder = folder
    guard mkdir(folder, 0o700) == 0 || errno == EEXIST else { throw Self.failure("make the folder \(folder)") }
  }

  private static func failure(_ what: String) -> DriverError {
    let number = errno
    return DriverError(
      number == ENOSPC || number == EDQUOT ? .busy : .refused, device: device,
      detail: "cannot \(what): \(errorText(number))")
  }
  private static func checked(_ words: String...) throws {
    for word in words
    where word.isEmpty || !word.utf8.allSatisfy({ ($0 >= 48 && $0 <= 57) || ($0 >= 97 && $0 <= 122) || $0 == 0x2d }) {
      throw DriverError(.refused, device: device, detail: "\"\(word)\" is not an identifier")
    }
  }
  private func list(_ backup: String, _ project: String) -> String { "\(folder)/\(project)/\(backup).json" }
  private func piece(_ hash: Substring, _ project: String) -> String {
    "\(folder)/\(project)/pieces/\(hash.prefix(2))/\(hash)"
  }

  public func ensureBackup(_ backup: String, project: String, of path: String) async throws -> Int {
    try Self.checked(backup, project)
    return try await turns.take(project) {
      try await onThread("backup") { try self.copy(path, backup, project) }
    }
  }
  private func copy(_ path: String, _ backup: String, _ project: String) throws -> Int {
    if let known = try pieces(backup, project) { return known.new }
    for name in [project, "\(project)/pieces"] {
      guard mkdir("\(folder)/\(name)", 0o700) == 0 || errno == EEXIST else { throw Self.failure("make \(name)") }
    }
    let source = open(path, O_RDONLY | O_CLOEXEC)
    guard source >= 0 else { throw Self.failure("read \(path)") }
    defer { close(source) }
    let size = Int(lseek(source, 0, SEEK_END))
    guard size >= 0 else { throw Self.failure("read \(path)") }
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: Self.pieceLength, alignment: 4096)
    defer { buffer.deallocate() }
    var (hashes, fresh, offset) = ([String](), 0, 0)
    while offset < size {
      let length = min(Self.pieceLength, size - offset)
      // SEEK_DATA: where the next bytes are that are not a hole; beyond the end there are none.
      let data = lseek(source, off_t(offset), 3)
      if (data < 0 && errno == ENXIO) || Int(data) >= offset + length {
        hashes.append("")
        offset += length
        continue
      }
      try Self.readAll(source, buffer, at: offset, length, path)
      let bytes = UnsafeRawBufferPointer(rebasing: buffer[..<length])
      if Self.isZero(bytes) {
        hashes.append("")
      } else {
        var digest = DigestStream(.sha256)
        digest.update(bytes)
        let hash = Digest.hex(digest.finish())
        hashes.append(hash)
        if try store(bytes, hash, project) { fresh += 1 }
      }
      offset += length
    }
    let json: JSON = ["size_bytes": .int(size), "new_pieces": .int(fresh), "pieces": JSON(hashes)]
    try Self.write(list(backup, project), Array(json.description.utf8))
    return fresh
  }
  private static func readAll(
    _ source: Int32, _ buffer: UnsafeMutableRawBufferPointer, at offset: Int, _ length: Int, _ path: String
  ) throws {
    var done = 0
    while done < length {
      let got = pread(source, buffer.baseAddress?.advanced(by: done), length - done, off_t(offset + done))
      if got < 0, errno == EINTR { continue }
      guard got > 0 else { throw failure("read \(path)") }
      done += got
    }
  }
  private static func isZero(_ bytes: UnsafeRawBufferPointer) -> Bool {
    guard let base = bytes.baseAddress, bytes.count > 1 else { return bytes.allSatisfy { $0 == 0 } }
    return bytes[0] == 0 && memcmp(base, base + 1, bytes.count - 1) == 0
  }
  /// - Returns: false when it was there.
  private func store(_ bytes: UnsafeRawBufferPointer, _ hash: String, _ project: String) throws -> Bool {
    let path = piece(hash[...], project)
    if access(path, F_OK) == 0 { return false }
    let parent = String(path.dropLast(hash.utf8.count + 1))
    guard mkdir(parent, 0o700) == 0 || errno == EEXIST else { throw Self.failure("make \(parent)") }
    try Self.write(path, bytes)
    return true
  }
  private static func write(_ path: String, _ bytes: [UInt8]) throws {
    try bytes.withUnsafeBytes { try write(path, $0) }
  }
  private static func write(_ path: String, _ bytes: UnsafeRawBufferPointer) throws {
    let temporary = "\(path).new"
    let descriptor = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
    guard descriptor >= 0 else { throw failure("write \(path)") }
    var done = 0
    while done < bytes.count {
      let count = Glibc.write(descriptor, bytes.baseAddress?.advanced(by: done), bytes.count - done)
      if count < 0, errno == EINTR { continue }
      guard count > 0 else { break }
      done += count
    }
    let isWritten = done == bytes.count && fsync(descriptor) == 0
    let error = isWritten ? nil : failure("write \(path)")
    close(descriptor)
    if let error {
      unlink(temporary)
      throw error
    }
    guard rename(temporary, path) == 0 else { throw failure("write \(path)") }
  }

  /// What a backup consists of; nil when its list is not there.
  private func pieces(_ backup: String, _ project: String) throws -> (size: Int, new: Int, hashes: [String])? {
    let path = list(backup, project)
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else {
      if errno == ENOENT { return nil }
      throw Self.failure("read \(path)")
    }
    defer { close(descriptor) }
    let length = Int(lseek(descriptor, 0, SEEK_END))
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: max(length, 1), alignment: 16)
    defer { buffer.deallocate() }
    try Self.readAll(descriptor, buffer, at: 0, length, path)
    guard let json = try? JSON.parse(Array(buffer[..<length])), let size = json["size_bytes"]?.int,
      let hashes = json["pieces"]?.array?.compactMap(\.string)
    else { throw DriverError(.refused, device: Self.device, detail: "the list of backup \(backup) is damaged") }
    return (size, json["new_pieces"]?.int ?? 0, hashes)
  }

  public func restore(_ backup: String, project: String, to path: String) async throws {
    try Self.checked(backup, project)
    try await turns.take(project) { try await onThread("restore") { try self.write(backup, project, to: path) } }
  }
  private func write(_ backup: String, _ project: String, to path: String) throws {
    guard let known = try pieces(backup, project) else {
      throw DriverError(.refused, device: Self.device, detail: "there is no backup \(backup)")
    }
    let target = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
    guard target >= 0 else { throw Self.failure("write \(path)") }
    defer { close(target) }
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: Self.pieceLength, alignment: 4096)
    defer { buffer.deallocate() }
    for (index, hash) in known.hashes.enumerated() where !hash.isEmpty {
      let offset = index * Self.pieceLength
      let length = min(Self.pieceLength, known.size - offset)
      let source = open(piece(hash[...], project), O_RDONLY | O_CLOEXEC)
      guard source >= 0 else { throw Self.failure("read a piece of backup \(backup)") }
      defer { close(source) }
      try Self.readAll(source, buffer, at: 0, length, "a piece of backup \(backup)")
      let bytes = UnsafeRawBufferPointer(rebasing: buffer[..<length])
      var digest = DigestStream(.sha256)
      digest.update(bytes)
      guard Digest.hex(digest.finish()) == hash else {
        throw DriverError(.refused, device: Self.device, detail: "a piece of backup \(backup) is not what was copied")
      }
      var done = 0
      while done < length {
        let count = pwrite(target, bytes.baseAddress?.advanced(by: done), length - done, off_t(offset + done))
        if count < 0, errno == EINTR { continue }
        guard count > 0 else { throw Self.failure("write \(path)") }
        done += count
      }
    }
    guard ftruncate(target, off_t(known.size)) == 0, fsync(target) == 0 else { throw Self.failure("write \(path)") }
  }

  public func removeBackup(_ backup: String, project: String) async throws {
    try Self.checked(backup, project)
    try await turns.take(project) { try await onThread("backup removal") { try self.remove(backup, project) } }
  }
  private func remove(_ backup: String, _ project: String) throws {
    guard unlink(list(backup, project)) == 0 || errno == ENOENT else { throw Self.failure("remove backup \(backup)") }
    var needed: Set<String> = []
    for other in fileNames(in: "\(folder)/\(project)") where other.hasSuffix(".json") {
      needed.formUnion(try pieces(String(other.dropLast(5)), project)?.hashes ?? [])
    }
    // Also the pieces of a backup that was cut short, which no list names.
    for prefix in fileNames(in: "\(folder)/\(project)/pieces") {
      let parent = "\(folder)/\(project)/pieces/\(prefix)"
      for name in fileNames(in: parent) where !needed.contains(name) { unlink("\(parent)/\(name)") }
    }
  }

  public func backups() async throws -> [String: String] {
    let folder = folder
    return try await onThread("backups") {
      var found: [String: String] = [:]
      for project in fileNames(in: folder) {
        for name in fileNames(in: "\(folder)/\(project)") where name.hasSuffix(".json") {
          found[String(name.dropLast(5))] = project
        }
      }
      return found
    }
  }
}
