import DriverInterfaces
import Glibc
import Processes
import Wire

/// The `qemu-storage-daemon` of one volume or snapshot: it opens the content and shows it as a raw file, through FUSE.
///
/// It outlives this server; one that starts finds it by its socket. Source: qemu-storage-daemon(1), QEMU QMP reference 7.2.
struct DiskDaemon: Sendable {
  /// Of the daemon alone.
  let folder: String
  /// Network namespace that it runs in, for content that is not on this machine.
  var namespace: String?

  struct State: Sendable, Equatable {
    /// The raw file. Its name differs with each start, so that who has the file of a dead daemon open is known.
    var disk: String
    /// QEMU's name for the node that takes what is written: ``DiskDaemon/nodeName(_:)``.
    var node: String
    /// Bytes.
    var size: Int
    var process: pid_t
  }

  private var socketPath: String { "\(folder)/qmp" }
  private static let exportPrefix = "disk."

  /// What the daemon has open; nil when it does not run.
  func observe() async throws -> State? {
    try await onThread("qmp") { try self.withConnection { try self.state($0) } }
  }

  /// Starts it when it does not run. What a dead one left of its mount is taken away first.
  /// - Parameter node: what it opens, QEMU's `BlockdevOptions` with a "node-name".
  func start(_ node: JSON, isWritable: Bool) async throws -> State {
    if let state = try await observe() {
      if try await isMounted(state.disk) { return state }
      try await end()
    }
    try await clear()
    guard mkdir(folder, 0o700) == 0 || errno == EEXIST else { throw FileFailure("make \(folder)") }
    let export = Self.exportPrefix + String(UInt32.random(in: .min ... .max), radix: 16)
    let disk = "\(folder)/\(export)"
    let descriptor = open(disk, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
    guard descriptor >= 0 else { throw FileFailure("make \(disk)") }
    close(descriptor)
    let fuse: JSON = [
      "type": "fuse", "id": .string(export), "node-name": node["node-name"] ?? .null, "mountpoint": .string(disk),
      "writable": .bool(isWritable),
    ]
    // Ends once the daemon has opened all and the file is there, or with the reason why not.
    try await runChecked(
      "qemu-storage-daemon",
      [
        "--daemonize", "--chardev", "socket,id=qmp,path=\(socketPath),server=on,wait=off", "--monitor", "chardev=qmp",
        "--blockdev", "\(node)", "--export", "\(fuse)",
      ], namespace: namespace)
    guard let state = try await observe() else { throw ControlError.notRunning }
    return state
  }

  /// Writes go to another node from now on, which is empty and stands on the top one. Also while the file is used.
  /// - Parameter overlay: as of ``start(_:isWritable:)``, without what is below it.
  func cover(with overlay: JSON) async throws {
    try await onThread("qmp") {
      let done: Void? = try self.withConnection { connection in
        let state = try self.state(connection)
        guard let name = overlay["node-name"]?.string, state.node != name else { return }
        try Self.cancelJobs(connection)
        // Opened by one that was cut short here: then it is there already.
        if try Self.nodes(connection)[name] == nil { try connection.call("blockdev-add", overlay) }
        try connection.call("blockdev-snapshot", ["node": .string(state.node), "overlay": .string(name)])
      }
      if done == nil { throw ControlError.notRunning }
    }
  }

  /// Grows the disk while it is used. Through the file: so the kernel, which remembers a file's size, knows of it at once.
  func resize(_ state: State, to size: Int) async throws {
    guard state.size <= size else { return }
    try await onThread("resize") {
      _ = try self.withConnection { try Self.cancelJobs($0) }
      guard truncate(state.disk, off_t(size)) == 0 else { throw FileFailure("grow \(state.disk)") }
    }
  }

  /// Begins to take the content of some layers into the one below them, and returns; the layer above them then stands on that one.
  /// A job that is cut short has changed nothing that can be seen: what it has copied is what the layers above it still hold.
  /// - Parameters:
  ///   - top: the highest of those that go.
  ///   - base: what takes their content.
  func merge(_ top: String, into base: String) async throws {
    try await onThread("qmp") {
      _ = try self.withConnection { connection in
        let state = try self.state(connection)
        guard try connection.call("query-block-jobs").array?.isEmpty ?? false else { return }
        let nodes = try Self.nodes(connection)
        func node(_ path: String) -> String? {
          let name = Self.nodeName(path.split(separator: "/").last.map { String($0) } ?? path)
          if nodes[name] != nil { return name }
          return nodes.first { $0.value["format"] == "qcow2" && $0.value["filename"]?.string == path }?.key
        }
        guard let top = node(top), let below = node(base), top != state.node else { return }
        try connection.call(
          "block-commit",
          [
            "job-id": "merge", "device": .string(state.node), "top-node": .string(top), "base-node": .string(below),
            "backing-file": JSON(base.split(separator: "/").last.map { String($0) }),
          ])
      }
    }
  }
  /// What lays another layer over the top, or grows it, does not wait for a merge.
  private static func cancelJobs(_ connection: QMPConnection) throws {
    for attempt in 0..<500 {
      let jobs = try connection.call("query-block-jobs").array ?? []
      if jobs.isEmpty { return }
      for job in jobs where attempt % 50 == 0 {
        // One that has just ended by itself is not found.
        _ = try? connection.call("block-job-cancel", ["device": job["device"] ?? .null])
      }
      usleep(10_000)
    }
    throw ControlError.refused("a merge of layers does not end")
  }

  /// Ends the daemon, if need be with SIGKILL, and takes its file away.
  func end() async throws {
    let folder = folder
    try await onThread("qmp") {
      var process: pid_t = -1
      do {
        let connection = try QMPConnection(socketPath, limit: .seconds(5))
        process = connection.process
        try connection.call("quit")
      } catch ControlError.notRunning {
        return
      } catch {
        if process <= 0 { process = (try? ControlSocket(socketPath, limit: .seconds(1)))?.peer ?? -1 }
        if process > 1 { kill(process, SIGKILL) }
      }
      for attempt in 0..<1000 {
        guard process > 1, kill(process, 0) == 0, !Self.isZombie(process) else { return }
        if attempt == 500 { kill(process, SIGKILL) }
        usleep(10_000)
      }
      throw ControlError.refused("process \(process), which serves \(folder), does not end")
    }
    try await clear()
  }

  // MARK: -

  /// What `body` does with the daemon, which may be done again; nil when it does not run.
  private func withConnection<T>(_ body: (QMPConnection) throws -> T) throws -> T? {
    for attempt in 0... {
      do {
        return try body(try QMPConnection(socketPath))
      } catch ControlError.notRunning {
        return nil
      } catch ControlError.lost where attempt < 10 {
        // It is about to be gone: a moment later nobody listens.
        usleep(20_000)
      }
    }
    return nil
  }
  private func state(_ connection: QMPConnection) throws -> State {
    let exports = try connection.call("query-block-exports").array ?? []
    guard let export = exports.first(where: { $0["id"]?.string?.hasPrefix(Self.exportPrefix) ?? false }),
      let id = export["id"]?.string, let node = export["node-name"]?.string,
      let size = try Self.nodes(connection)[node]?["virtual-size"]?.int
    else { throw ControlError.badReply("it exports nothing") }
    return State(disk: "\(folder)/\(id)", node: node, size: size, process: connection.process)
  }
  private static func nodes(_ connection: QMPConnection) throws -> [String: JSON] {
    var images: [String: JSON] = [:]
    for node in try connection.call("query-named-block-nodes", ["flat": true]).array ?? [] {
      if let name = node["node-name"]?.string { images[name] = node["image"] }
    }
    return images
  }
  /// Up to 31 bytes that begin with a letter. Not by file name: QEMU shows another one once a layer was laid over.
  static func nodeName(_ layer: String) -> String { "n-" + layer.prefix(29) }

  private func isMounted(_ path: String) async throws -> Bool {
    try await onThread("mounts") { Self.mounts().contains(path) }
  }
  /// Where something is mounted (proc(5), mountinfo), with blanks as they are.
  private static func mounts() -> Set<String> {
    guard let text = contents(of: "/proc/self/mountinfo") else { return [] }
    return Set(
      text.split(separator: "\n").compactMap { line in
        let words = line.split(separator: " ")
        return words.count > 4 ? String(words[4]) : nil
      })
  }
  private static func isZombie(_ process: pid_t) -> Bool {
    // "1234 (name) Z …"
    guard let text = contents(of: "/proc/\(process)/stat"), let end = text.lastIndex(of: ")") else { return true }
    return text[end...].dropFirst(2).first == "Z"
  }
  private static func contents(of path: String) -> String? {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return nil }
    defer { close(descriptor) }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 65536)
    while true {
      let count = read(descriptor, &chunk, chunk.count)
      if count <= 0 { break }
      bytes += chunk[..<count]
    }
    return String(decoding: bytes, as: UTF8.self)
  }

  /// Takes away what a daemon that does not run any more left: "Transport endpoint is not connected".
  private func clear() async throws {
    let mounts = try await onThread("mounts") { Self.mounts() }
    for name in fileNames(in: folder) {
      let path = "\(folder)/\(name)"
      if mounts.contains(path) { try await runChecked("umount", ["-l", path]) }
      guard unlink(path) == 0 || errno == ENOENT else { throw FileFailure("remove \(path)") }
    }
    rmdir(folder)
  }
}
