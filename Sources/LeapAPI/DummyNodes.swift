import Glibc
import Wire

/// Resources that are files, for tests and rehearsals: ESI-Leap's `dummy_node`.
///
/// `<folder>/<id>` holds `{"project_owner_id", "resource_class", "properties"}`. They are only read; who leases one is in the
/// database. Off unless a folder is configured. Source: design notes, compat-esi §1.5 and §5.
struct DummyNodes: Sendable {
  let folder: String?
  private static let sizeLimit = 65_536

  /// The file of an id; nil when there is none, or the id is no plain file name.
  func read(_ id: String) -> JSONObject? {
    let isPlain = id.utf8.allSatisfy { byte in
      (byte >= 48 && byte <= 57) || (byte >= 65 && byte <= 90) || (byte >= 97 && byte <= 122) || byte == 95
        || byte == 45 || byte == 46
    }
    guard let folder, isPlain, !id.isEmpty, id.utf8.count <= 128, id.utf8.first != 46 else { return nil }
    // Not through a symbolic link, and not from what is no file.
    let descriptor = open("\(folder)/\(id)", O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK)
    guard descriptor >= 0 else { return nil }
    defer { close(descriptor) }
    var status = stat()
    guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG, status.st_size <= Self.sizeLimit else {
      return nil
    }
    var bytes = [UInt8](repeating: 0, count: Int(status.st_size))
    var filled = 0
    while filled < bytes.count {
      let count = bytes.withUnsafeMutableBytes {
        Glibc.read(descriptor, $0.baseAddress?.advanced(by: filled), $0.count - filled)
      }
      guard count > 0 else { return nil }
      filled += count
    }
    return (try? JSON.parse(bytes))?.object
  }
}
