import Glibc
import Processes
import Synchronization
import Testing

@testable import Lab

/// A lab of a test's own: its folder, namespace and loopback addresses are nobody else's.
struct Room {
  let lab: Laboratory
  let number: Int

  private static let counter = Atomic<Int>(0)
  /// Where the programs are: built next to the test bundle.
  static let products: String = {
    var buffer = [CChar](repeating: 0, count: 4096)
    let count = readlink("/proc/self/exe", &buffer, buffer.count)
    let path = String(decoding: buffer.prefix(max(count, 0)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
    return path.split(separator: "/").dropLast().reduce("") { $0 + "/" + $1 }
  }()
  /// The project's folder, for its scripts.
  static let project = #filePath.split(separator: "/").dropLast(3).reduce("") { $0 + "/" + $1 }

  /// Makes a lab that is not up, and takes it down whatever happens.
  static func with(_ body: (Room) async throws -> Void) async throws {
    let serial = counter.add(1, ordering: .relaxed).newValue
    let name = "sylab\(getpid())-\(serial)"
    // 0 to 99 are for people and scripts.
    let room = Room(
      lab: Laboratory(folder: "/tmp/\(name)", namespace: name, program: "\(products)/steelyard"),
      number: 100 + (Int(getpid()) * 5 + serial) % 150)
    do {
      try await body(room)
    } catch {
      _ = try? await room.lab.down()
      throw error
    }
    try await room.lab.down()
  }

  /// Processes whose command line names the lab's folder, without this test and programs that only look.
  func processes() -> [String] {
    fileNames(in: "/proc").compactMap { name in
      guard let process = pid_t(name), process != getpid(), Files.isRunning(process, naming: lab.folder),
        let line = try? Files.read("/proc/\(name)/cmdline")
      else { return nil }
      return "\(name) " + line.replacing("\0", with: " ")
    }
  }
  var hasNamespace: Bool { Files.exists("/run/netns/\(lab.namespace)") }

  /// The tiny test system on a machine's disk.
  func install(marker: String, onMachine index: Int) async throws {
    let image = "\(lab.folder)/\(marker).raw"
    try await TinyImage.make(marker, at: image)
    try await runChecked(
      "qemu-img", ["convert", "-f", "raw", "-O", "qcow2", image, "\(lab.machineFolder(index))/disk.qcow2"])
  }

  func control(_ index: Int, _ arguments: String...) async throws -> String {
    let result = try await runChecked("\(lab.machineFolder(index))/control", arguments)
    return result.text.filter { $0 != "\n" }
  }
  func process(_ file: String) -> pid_t? { Files.process("\(lab.folder)/\(file)") }

  func ipmitool(_ machine: LabMachine, _ arguments: String...) async throws -> CommandResult {
    try await run(
      "ipmitool", Self.ipmiArguments(machine) + arguments,
      environment: ["IPMI_PASSWORD": Laboratory.controllerPassword])
  }
  static func ipmiArguments(_ machine: LabMachine) -> [String] {
    // -C 3: ipmi_sim does not list its cipher suites, and ipmitool would wait ten seconds for that.
    ["-I", "lanplus", "-C", "3", "-N", "1", "-R", "2", "-H", machine.controllerAddress, "-U", "admin", "-E"]
  }
}

enum TinyImage {
  static func make(_ marker: String, at path: String) async throws {
    let home = getenv("STEELYARD_CACHE").map { String(cString: $0) }
    let user = getenv("HOME").map { String(cString: $0) } ?? "/root"
    try await runChecked(
      "\(Room.project)/lab/mk-tiny-image", [path, marker, "\(home ?? "\(user)/.cache/steelyard")/lab"],
      timeout: .seconds(120))
  }
}

/// What a console has said so far.
actor Transcript {
  private(set) var text = ""
  func append(_ bytes: [UInt8]) { text += String(decoding: bytes, as: UTF8.self) }
}

func waitUntil(_ what: String, limit: Duration = .seconds(120), _ isSo: () async throws -> Bool) async throws {
  let end = ContinuousClock.now + limit
  while ContinuousClock.now < end {
    if try await isSo() { return }
    try await Task.sleep(for: .milliseconds(50))
  }
  Issue.record("not within \(limit): \(what)")
}
