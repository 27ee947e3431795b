import DriverInterfaces
import Glibc
import Processes
import Synchronization
import TestSupport
import Testing

@testable import VolumeDrivers

/// A network namespace with two portals, a real tgtd at each, a folder, and initiators that log in from there.
final class VolumeBench: Sendable {
  let folder: String
  let namespace: String
  let targets: TargetPaths
  static let portals = ["10.79.0.1:3260", "10.79.1.1:3260"]
  private static let count = Mutex(0)

  private init(folder: String, namespace: String?, sharesDaemon: Bool) throws {
    self.folder = folder
    let number = Self.count.withLock { count in
      count += 1
      return count
    }
    self.namespace = namespace ?? "vvol\(getpid())-\(number)"
    targets = try TargetPaths(
      .init(folder: "\(folder)/t", namespace: self.namespace, portals: Self.portals), sharesDaemon: sharesDaemon)
  }

  /// Gives a bench to `body`, takes everything away again, and looks that nothing is left.
  /// - Parameter namespace: one that is there and stays; nil makes one.
  static func with(
    in namespace: String? = nil, sharesDaemon: Bool = false, _ body: (VolumeBench) async throws -> Void
  ) async throws {
    try await withFolder("vol") { folder in
      let bench = try VolumeBench(folder: folder, namespace: namespace, sharesDaemon: sharesDaemon)
      if namespace == nil { try await runChecked("ip", ["netns", "add", bench.namespace]) }
      do {
        try await runChecked("ip", ["-n", bench.namespace, "link", "set", "lo", "up"])
        for portal in portals {
          let address = portal.prefix { $0 != ":" }
          try await runChecked("ip", ["-n", bench.namespace, "addr", "replace", "\(address)/24", "dev", "lo"])
        }
        try await body(bench)
      } catch {
        await bench.end(keepingNamespace: namespace != nil)
        throw error
      }
      await bench.end(keepingNamespace: namespace != nil)
      #expect(try await bench.leftovers() == [])
    }
  }

  /// The driver under test.
  func local(afterEffect: @escaping @Sendable (String) throws -> Void = { _ in }) throws -> LocalVolumes {
    try LocalVolumes(folder: "\(folder)/v", targets: targets, afterEffect: afterEffect)
  }

  private func end(keepingNamespace: Bool) async {
    do {
      try await local().stop()
      try await targets.stop()
    } catch { Issue.record("the end: \(error)") }
    if !keepingNamespace { _ = try? await run("ip", ["netns", "del", namespace]) }
  }

  /// Processes and mounts that have to do with the bench's folder.
  func leftovers() async throws -> [String] {
    let mounts = try await runChecked("cat", ["/proc/self/mountinfo"]).text.split(separator: "\n").filter {
      $0.contains(folder)
    }
    let processes = try await runChecked("ps", ["-eo", "pid,args"]).text.split(separator: "\n").filter {
      $0.contains(folder) && !$0.contains("ps -eo")
    }
    return (mounts + processes).map { String($0) }
  }

  func export(_ attachment: String, _ volume: String, initiator: String = "iqn.2026-11.org.steelyard:node-1")
    -> VolumeExport
  {
    VolumeExport(
      attachment: attachment, volume: volume, initiators: [initiator], userName: "user-\(attachment.prefix(8))",
      password: "secret-\(attachment.prefix(8))")
  }

  /// A session to an export, as a machine has it.
  func initiator(_ export: VolumeExport, portal: Int = 0) -> Initiator {
    Initiator(
      namespace: namespace, portal: Self.portals[portal], target: "iqn.2026-11.org.steelyard:\(export.attachment)",
      name: export.initiators.first ?? "iqn.2026-11.org.steelyard:nobody", userName: export.userName,
      password: export.password)
  }
}

/// Logs in with libiscsi.
struct Initiator: Sendable {
  var namespace: String
  var portal: String
  var target: String
  var name: String
  /// Empty: without CHAP.
  var userName: String
  var password: String

  var url: String {
    let user = userName.isEmpty ? "" : "\(userName)%\(password)@"
    return "iscsi://\(user)\(portal)/\(target)/1"
  }

  /// Runs commands of qemu-io(1) in one session.
  func io(_ commands: String...) async throws -> CommandResult { try await io(commands) }
  func io(_ commands: [String]) async throws -> CommandResult {
    var disk =
      "driver=raw,file.driver=iscsi,file.transport=tcp,file.portal=\(portal),file.target=\(target),file.lun=1,"
      + "file.initiator-name=\(name)"
    var arguments: [String] = []
    if !userName.isEmpty {
      disk += ",file.user=\(userName),file.password-secret=chap"
      arguments = ["--object", "secret,id=chap,data=\(password)"]
    }
    return try await run(
      "qemu-io", arguments + ["-n", "--image-opts", disk] + commands.flatMap { ["-c", $0] }, namespace: namespace)
  }
  /// Writes a byte over a range, "0 1M", and flushes.
  func write(_ byte: Int, _ range: String) async throws {
    let result = try await io("write -P \(byte) \(range)", "flush")
    guard result.status == 0 else { throw Refused(text: result.errorText + result.text) }
  }
  /// Whether the range holds this byte everywhere.
  func holds(_ byte: Int, _ range: String) async throws -> Bool {
    let result = try await io("read -P \(byte) \(range)")
    if result.text.contains("Pattern verification failed") { return false }
    guard result.status == 0, result.text.contains("bytes at offset") else {
      throw Refused(text: result.errorText + result.text)
    }
    return true
  }
  func canLogIn() async throws -> Bool {
    try await run("iscsi-readcapacity16", ["-i", name, url], namespace: namespace).status == 0
  }
  /// Bytes of the disk.
  func capacity() async throws -> Int? {
    let text = try await runChecked("iscsi-readcapacity16", ["-i", name, "-s", url], namespace: namespace).text
    return text.split(whereSeparator: \.isNewline).compactMap { Int($0) }.first
  }
  /// Targets that discovery shows to this initiator.
  func discovered() async throws -> String {
    try await run("iscsi-ls", ["-i", name, "iscsi://\(portal)"], namespace: namespace).text
  }

  struct Refused: Error, CustomStringConvertible {
    let text: String
    var description: String { text }
  }
}

/// A UUID of the test's own.
func newID() -> String {
  func digits(_ count: Int) -> String {
    String((0..<count).map { _ in "0123456789abcdef".randomElement() ?? "0" })
  }
  return [8, 4, 4, 4, 12].map { digits($0) }.joined(separator: "-")
}

let mebibyte = 1 << 20
let gibibyte = 1 << 30
