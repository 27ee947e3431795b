/// Files in the form in which the Linux kernel takes its first file system. Source: Linux, "initramfs buffer format" (newc).
///
/// An archive is whole sectors, so that another may follow it in the same memory.
struct FileArchive: Sendable {
  private var bytes: [UInt8] = []
  private var count = 0
  private var folders: Set<String> = []

  /// A file of root's that only root reads, and the folders above it where this archive does not have them yet.
  /// - Parameter path: "etc/name", less than 2 GiB of content.
  mutating func add(_ path: String, _ content: [UInt8]) {
    var sofar = ""
    for part in path.split(separator: "/").dropLast() {
      sofar += (sofar.isEmpty ? "" : "/") + part
      if folders.insert(sofar).inserted { append(sofar, mode: 0o040_755, []) }
    }
    append(path, mode: 0o100_600, content)
  }

  /// The archive as a whole.
  func finished() -> [UInt8] {
    var whole = self
    whole.append("TRAILER!!!", mode: 0, [])
    whole.pad(to: 512)
    return whole.bytes
  }

  private mutating func append(_ name: String, mode: Int, _ content: [UInt8]) {
    count += 1
    // ino, mode, uid, gid, nlink, mtime, filesize, four device numbers, namesize, check
    let fields = [count, mode, 0, 0, 1, 0, content.count, 0, 0, 0, 0, name.utf8.count + 1, 0]
    bytes += Array("070701".utf8)
    for field in fields {
      let digits = String(field, radix: 16)
      bytes += Array((String(repeating: "0", count: max(0, 8 - digits.count)) + digits).utf8)
    }
    bytes += Array(name.utf8) + [0]
    pad(to: 4)
    bytes += content
    pad(to: 4)
  }
  private mutating func pad(to size: Int) {
    while !bytes.count.isMultiple(of: size) { bytes.append(0) }
  }
}
