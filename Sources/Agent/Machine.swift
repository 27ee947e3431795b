import Glibc

/// The machine the agent runs on, by the paths where Linux shows it. Tests point them at a made-up tree.
public struct Machine: Sendable {
  public var sys = "/sys"
  public var proc = "/proc"
  public var dev = "/dev"
  public init(sys: String = "/sys", proc: String = "/proc", dev: String = "/dev") {
    self.sys = sys
    self.proc = proc
    self.dev = dev
  }

  /// The names in a directory, sorted; empty when it cannot be read.
  static func names(in path: String) -> [String] {
    guard let directory = opendir(path) else { return [] }
    defer { closedir(directory) }
    var names: [String] = []
    while let entry = readdir(directory) {
      let name = withUnsafePointer(to: &entry.pointee.d_name) { tuple in
        tuple.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
      }
      if name != ".", name != ".." { names.append(name) }
    }
    return names.sorted()
  }

  static func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }

  /// The first `limit` bytes of a file; nil when it cannot be read.
  static func bytes(of path: String, limit: Int = 65536) -> [UInt8]? {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return nil }
    defer { close(descriptor) }
    var bytes = [UInt8](repeating: 0, count: limit)
    var done = 0
    while done < limit {
      let count = bytes.withUnsafeMutableBytes {
        Glibc.read(descriptor, $0.baseAddress?.advanced(by: done), limit - done)
      }
      // sysfs answers with an error where there is nothing to tell (a NIC's speed while it is down).
      guard count >= 0 else { return done > 0 ? Array(bytes[..<done]) : nil }
      if count == 0 { break }
      done += count
    }
    return Array(bytes[..<done])
  }

  /// A file of one value as text, without control characters and outer spaces; nil when it is empty or missing.
  static func text(of path: String) -> String? {
    guard let bytes = bytes(of: path, limit: 4096) else { return nil }
    let text = trimmed(printable(String(decoding: bytes.filter { $0 != 0 }, as: UTF8.self), limit: 255))
    return text.isEmpty ? nil : text
  }

  static func number(of path: String) -> Int? { text(of: path).flatMap { Int($0) } }

  /// Where a symbolic link leads, resolved; nil when there is none.
  static func target(of path: String) -> String? {
    guard let resolved = realpath(path, nil) else { return nil }
    defer { free(resolved) }
    return String(cString: resolved)
  }
}
