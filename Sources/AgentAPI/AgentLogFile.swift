import Glibc
import NIOPosix

/// The logs that agents send, one file per node; the one before is kept beside it.
enum AgentLogFile {
  /// - Parameter node: a UUID of ours, so that the path is what it seems.
  static func keep(_ bytes: [UInt8], node: String, in folder: String, on threads: NIOThreadPool) async throws {
    try await threads.runIfActive {
      makeFolders(folder)
      let path = "\(folder)/\(node).log"
      rename(path, path + ".1")
      let descriptor = Glibc.open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0o600)
      guard descriptor >= 0 else { return }
      defer { close(descriptor) }
      var rest = bytes[...]
      while !rest.isEmpty {
        let count = rest.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
        // A full disk loses the log, not the machine's work.
        guard count > 0 else { return }
        rest = rest.dropFirst(count)
      }
    }
  }
  private static func makeFolders(_ path: String) {
    var built = ""
    for part in path.split(separator: "/", omittingEmptySubsequences: false) {
      built += part
      if !part.isEmpty { mkdir(built, 0o700) }
      built += "/"
    }
  }
}
