import Glibc
import Processes
import Wire

/// A disk of a few megabytes that can be filled: a tmpfs in a mount namespace of its own, so that nothing of it is left on
/// the host whatever happens to the test. Needs root.
public struct SmallDisk: Sendable {
  /// Where it is for everybody. SQLite follows every link of a path and so does not find it here: a program with a database
  /// runs inside (``run(_:_:timeout:)``).
  public let path: String
  /// Where it is for programs that run inside.
  public static let inside = "/mnt"
  private let process: String

  /// Gives `body` a disk and takes it away.
  public static func with<T: Sendable>(
    megabytes: Int, _ body: @escaping @Sendable (SmallDisk) async throws -> T
  ) async throws -> T {
    let note = "/tmp/steelyard-disk-\(Identifier.uuid())"
    defer { unlink(note) }
    return try await withThrowingTaskGroup(of: T?.self) { group in
      defer { group.cancelAll() }
      group.addTask {
        // It is the mount's only user: with its end, by cancellation, the disk is gone.
        let script =
          "mount -t tmpfs -o size=\(megabytes)m tmpfs \(inside) && echo $$ >\"$0.new\" && mv \"$0.new\" \"$0\" && exec sleep 900"
        let result = try await Processes.run(
          "unshare", ["--mount", "--propagation", "private", "sh", "-c", script, note], timeout: .seconds(900))
        throw CommandError(program: "unshare", reason: .failed(status: result.status, detail: result.lastErrorLine))
      }
      group.addTask {
        while true {
          if let number = read(note), !number.isEmpty {
            return try await body(SmallDisk(path: "/proc/\(number)/root\(inside)", process: number))
          }
          try await Task.sleep(for: .milliseconds(5))
        }
      }
      while let value = try await group.next() { if let value { return value } }
      throw CancellationError()
    }
  }

  /// The same in the mount namespace of the test, for what mounts parts of it elsewhere; a test that is killed leaves it.
  public static func withMounted<T: Sendable>(
    megabytes: Int, _ body: @escaping @Sendable (SmallDisk) async throws -> T
  ) async throws -> T {
    try await withFolder("disk") { folder in
      try await runChecked("mount", ["-t", "tmpfs", "-o", "size=\(megabytes)m", "tmpfs", folder])
      do {
        let value = try await body(SmallDisk(path: folder, process: "self"))
        try await runChecked("umount", ["--lazy", folder])
        return value
      } catch {
        try await runChecked("umount", ["--lazy", folder])
        throw error
      }
    }
  }

  private static func read(_ path: String) -> String? {
    guard let file = fopen(path, "re") else { return nil }
    defer { fclose(file) }
    var line = [CChar](repeating: 0, count: 32)
    guard fgets(&line, 32, file) != nil else { return nil }
    return String(decoding: line.prefix { $0 != 0 && $0 != 10 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  private var ballast: String { "\(path)/ballast" }

  /// Leaves no byte of it free.
  public func fill() throws {
    let descriptor = open(ballast, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o600)
    guard descriptor >= 0 else { throw CommandError(program: "fill", reason: .notStarted(errno)) }
    defer { close(descriptor) }
    for size in [1 << 20, 4096, 1] {
      let bytes = [UInt8](repeating: 0x5a, count: size)
      while write(descriptor, bytes, size) > 0 {}
    }
  }
  /// Takes back what ``fill()`` wrote.
  public func free() { unlink(ballast) }

  /// Bytes that are free.
  public var space: Int {
    var information = statvfs()
    guard statvfs(path, &information) == 0 else { return 0 }
    return Int(information.f_bavail) * Int(information.f_frsize)
  }
  /// Names in a folder of it, sorted; none when there is no such folder.
  public func names(in folder: String = "") -> [String] { fileNames(in: "\(path)/\(folder)") }
  /// The same with the hidden ones.
  public func allNames(in folder: String) -> [String] {
    guard let handle = opendir("\(path)/\(folder)") else { return [] }
    defer { closedir(handle) }
    var names: [String] = []
    while let entry = readdir(handle) {
      let name = withUnsafePointer(to: entry.pointee.d_name) {
        $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
      }
      if name != "." && name != ".." { names.append(name) }
    }
    return names.sorted()
  }

  /// Runs a program to its end where the disk is ``inside``.
  public func run(_ program: String, _ arguments: [String], timeout: Duration = .seconds(60)) async throws
    -> CommandResult
  {
    try await Processes.run("nsenter", ["--mount=/proc/\(process)/ns/mnt", program] + arguments, timeout: timeout)
  }
}
