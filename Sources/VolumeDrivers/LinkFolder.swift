import Glibc

/// Symbolic links as small records: read and replaced at once, and kept over a power loss. All functions block.
struct LinkFolder: Sendable {
  let folder: String

  /// What a link says; nil when it is not there.
  subscript(link: String) -> String? {
    var buffer = [CChar](repeating: 0, count: 512)
    let count = readlink("\(folder)/\(link)", &buffer, buffer.count)
    return count > 0 ? String(decoding: buffer[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self) : nil
  }
  func set(_ link: String, to text: String) throws {
    let path = "\(folder)/\(link)"
    let (parent, name) = (Self.parent(of: path), path.split(separator: "/").last ?? "")
    let new = "\(parent)/.\(name)"
    unlink(new)
    guard symlink(text, new) == 0, rename(new, path) == 0 else { throw FileFailure("write \(path)") }
    try sync(parent)
  }
  func remove(_ link: String) throws {
    let path = "\(folder)/\(link)"
    guard unlink(path) == 0 || errno == ENOENT else { throw FileFailure("remove \(path)") }
    try sync(Self.parent(of: path))
  }
  private static func parent(of path: String) -> String {
    path.lastIndex(of: "/").map { String(path[..<$0]) } ?? "."
  }

  /// What was written to a file, or the names in a folder, survive a power loss.
  func sync(_ path: String) throws {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw FileFailure("open \(path)") }
    defer { close(descriptor) }
    guard fsync(descriptor) == 0 else { throw FileFailure("sync \(path)") }
  }
}
