import DriverInterfaces
import Glibc
import Processes

/// Backups' parts as files. One is written under another name first, so that what is there is whole.
struct FolderObjects: BackupObjects {
  let folder: String

  /// - Parameter folder: made when it is not there.
  init(_ folder: String) throws {
    self.folder = folder
    guard mkdir(folder, 0o700) == 0 || errno == EEXIST else { throw Self.failure("make the folder \(folder)") }
  }

  private static func failure(_ what: String) -> DriverError {
    let number = errno
    return DriverError(
      number == ENOSPC || number == EDQUOT ? .busy : .refused, device: BackupPieces.device,
      detail: "cannot \(what): \(errorText(number))")
  }

  func has(_ name: String) async throws -> Bool {
    try await onThread("backup") { access("\(folder)/\(name)", F_OK) == 0 }
  }

  func get(_ name: String) async throws -> [UInt8]? {
    try await onThread("backup") {
      let path = "\(folder)/\(name)"
      let descriptor = open(path, O_RDONLY | O_CLOEXEC)
      guard descriptor >= 0 else {
        if errno == ENOENT { return nil }
        throw Self.failure("read \(path)")
      }
      defer { close(descriptor) }
      let length = Int(lseek(descriptor, 0, SEEK_END))
      guard length >= 0 else { throw Self.failure("read \(path)") }
      return try [UInt8](unsafeUninitializedCapacity: length) { buffer, count in
        while count < length {
          let got = pread(descriptor, buffer.baseAddress?.advanced(by: count), length - count, off_t(count))
          if got < 0, errno == EINTR { continue }
          guard got > 0 else { throw Self.failure("read \(path)") }
          count += got
        }
      }
    }
  }

  func put(_ name: String, _ bytes: [UInt8]) async throws {
    try await onThread("backup") {
      var parent = folder
      for part in name.split(separator: "/").dropLast() {
        parent += "/\(part)"
        guard mkdir(parent, 0o700) == 0 || errno == EEXIST else { throw Self.failure("make \(parent)") }
      }
      try bytes.withUnsafeBytes { try Self.write("\(folder)/\(name)", $0) }
    }
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

  func remove(_ name: String) async throws {
    try await onThread("backup") {
      guard unlink("\(folder)/\(name)") == 0 || errno == ENOENT else { throw Self.failure("remove \(name)") }
    }
  }

  func names(_ prefix: String, deep: Bool) async throws -> [String] {
    try await onThread("backups") { Self.names(folder, prefix, deep) }
  }
  private static func names(_ folder: String, _ prefix: String, _ deep: Bool) -> [String] {
    fileNames(in: "\(folder)/\(prefix)").flatMap { name -> [String] in
      var information = stat()
      guard lstat("\(folder)/\(prefix)\(name)", &information) == 0, information.st_mode & S_IFMT == S_IFDIR else {
        return [prefix + name]
      }
      return deep ? names(folder, "\(prefix)\(name)/", true) : ["\(prefix)\(name)/"]
    }
  }
}
