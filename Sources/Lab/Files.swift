import Glibc

/// Small files, and processes known by a file with their number.
enum Files {
  struct Failure: Error, CustomStringConvertible {
    let description: String
  }
  private static func failure(_ what: String, _ path: String) -> Failure {
    Failure(description: "cannot \(what) \(path): \(String(cString: strerror(errno)))")
  }

  static func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }

  static func makeFolder(_ path: String) throws {
    var made = ""
    for part in path.split(separator: "/", omittingEmptySubsequences: false) {
      made += part.isEmpty && made.isEmpty ? "/" : (made.hasSuffix("/") ? "" : "/") + part
      if made == "/" || exists(made) { continue }
      guard mkdir(made, 0o755) == 0 || errno == EEXIST else { throw failure("make", made) }
    }
  }

  static func read(_ path: String) throws -> String { String(decoding: try bytes(path), as: UTF8.self) }

  static func bytes(_ path: String) throws -> [UInt8] {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw failure("read", path) }
    defer { close(descriptor) }
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 1 << 16)
    while true {
      let count = Glibc.read(descriptor, &buffer, buffer.count)
      guard count >= 0 else { throw failure("read", path) }
      if count == 0 { return bytes }
      bytes += buffer.prefix(count)
    }
  }

  static func write(_ path: String, _ text: String, mode: mode_t = 0o644) throws {
    let descriptor = open(path + ".new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode)
    guard descriptor >= 0 else { throw failure("write", path) }
    let bytes = Array(text.utf8)
    let isWritten = Glibc.write(descriptor, bytes, bytes.count) == bytes.count
    fchmod(descriptor, mode)
    close(descriptor)
    guard isWritten, rename(path + ".new", path) == 0 else { throw failure("write", path) }
  }

  // MARK: Processes

  static func process(_ pidFile: String) -> pid_t? {
    (try? read(pidFile)).flatMap { pid_t($0.filter { $0.isNumber }) }.flatMap { $0 > 1 ? $0 : nil }
  }
  /// True when the process lives and its command line names `folder` or what is in it: a number may have gone to another.
  static func isRunning(_ pidFile: String, naming folder: String) -> Bool {
    guard let process = process(pidFile) else { return false }
    return isRunning(process, naming: folder)
  }
  static func isRunning(_ process: pid_t, naming folder: String) -> Bool {
    guard let line = try? read("/proc/\(process)/cmdline") else { return false }
    // (not a folder whose name only begins so)
    return line.split(separator: "\0").contains { $0.hasSuffix(folder) || $0.contains(folder + "/") }
  }
  /// Ends it: SIGTERM, after two seconds SIGKILL.
  static func end(_ pidFile: String, naming folder: String) async {
    defer { unlink(pidFile) }
    if let process = process(pidFile) { await end(process, naming: folder) }
  }
  static func end(_ process: pid_t, naming folder: String) async {
    if await ends(process, by: SIGTERM, naming: folder) { return }
    _ = await ends(process, by: SIGKILL, naming: folder)
  }
  private static func ends(_ process: pid_t, by signal: Int32, naming folder: String) async -> Bool {
    guard isRunning(process, naming: folder) else { return true }
    kill(process, signal)
    for _ in 0..<100 {
      if !isRunning(process, naming: folder) { return true }
      try? await Task.sleep(for: .milliseconds(20))
    }
    return false
  }
}
