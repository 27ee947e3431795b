import Glibc

/// Files that the agent leaves in the ramdisk for what comes after it; nobody else reads them.
enum RamdiskFile {
  /// - Throws: ``AgentError`` when it is not there afterwards.
  static func makeFolder(_ path: String) throws {
    guard mkdir(path, 0o700) == 0 || errno == EEXIST else {
      throw AgentError(.refused, "Cannot make \(path): \(errorText(errno)).")
    }
  }

  /// Writes a file anew, piece by piece; it is closed when this returns.
  static func write(to path: String, _ body: (_ piece: ([UInt8]) throws -> Void) throws -> Void) throws {
    let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
    guard descriptor >= 0 else { throw AgentError(.refused, "Cannot write \(path): \(errorText(errno)).") }
    defer { close(descriptor) }
    try body { bytes in
      var done = 0
      while done < bytes.count {
        let count = bytes.withUnsafeBytes {
          Glibc.write(descriptor, $0.baseAddress.map { $0 + done }, bytes.count - done)
        }
        if count < 0, errno == EINTR { continue }
        guard count > 0 else { throw AgentError(.refused, "Cannot write \(path): \(errorText(errno)).") }
        done += count
      }
    }
  }
}
