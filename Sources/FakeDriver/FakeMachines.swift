import Domain
import DriverInterfaces
import Glibc
import Processes
import Synchronization
import Wire

/// What a fake machine remembers. As new it is off and boots from wherever it likes.
struct FakeMachine: Sendable, Equatable {
  var power = Power.off
  var boot: BootOverride?
  /// The lamp of the system; the chassis' shows whether there is power.
  var lamp = Indicator.State.off
  /// By name.
  var bios: [String: String] = [:]
  var mode = BootMode.uefi
  var isSecureBoot = false
}

/// All fake machines, and the file that remembers them.
///
/// The file is a journal: a line of JSON for each change with all that is known of the machine, the last one counts. A change
/// has happened when its line is with the kernel, so it survives the end of the server, however it comes; like a real machine
/// a fake may be off after the host has lost power. A thread of its own writes, all lines that have come in meanwhile at once.
final class FakeMachines: Sendable {
  private struct Entry {
    var machine = FakeMachine()
    /// Counts changes; `written` is the last one in the file.
    var version = 0
    var written = 0
  }
  private struct Pending {
    var node: String
    var version: Int
    var continuation: CheckedContinuation<Void, any Error>
  }
  private struct State {
    var entries: [String: Entry] = [:]
    var pending: [Pending] = []
    var isWriting = false
    /// Lines in the file.
    var lines = 0
    var readers: [String: [Int: AsyncStream<String>.Continuation]] = [:]
    var nextReader = 0
  }
  private let state: Mutex<State>
  private let path: String?
  /// The journal is written anew when it has this many lines, and four times as many as there are machines.
  private let limit: Int

  /// - Throws: ``DriverError`` `.misconfigured` when the file cannot be read or written.
  init(file path: String?, limit: Int = 10_000) throws {
    self.path = path
    self.limit = limit
    var state = State()
    if let path {
      // Nothing is written yet but the empty file: another process may only want to look (`steelyard doctor`).
      try Self.append("", to: path)
      let (machines, lines) = try Self.read(path)
      state.entries = machines.mapValues { Entry(machine: $0) }
      state.lines = lines
    }
    self.state = Mutex(state)
  }

  func machine(_ node: String) -> FakeMachine { state.withLock { $0.entries[node]?.machine ?? FakeMachine() } }

  /// Changes a machine; returns when the change will survive the server.
  /// - Throws: ``DriverError`` `.busy` when it cannot be written (a full disk).
  func change(_ node: String, _ body: (inout FakeMachine) -> Void) async throws {
    let version: Int? = state.withLock { state in
      var entry = state.entries[node] ?? Entry()
      let before = entry.machine
      body(&entry.machine)
      if entry.machine != before {
        entry.version += 1
        for line in Self.lines(from: before, to: entry.machine) {
          for reader in (state.readers[node] ?? [:]).values { reader.yield("\(node): \(line)") }
        }
      }
      state.entries[node] = entry
      return entry.version == entry.written ? nil : entry.version
    }
    guard let version, path != nil else { return }
    try await withCheckedThrowingContinuation { continuation in
      let mustStart = state.withLock { state in
        state.pending.append(Pending(node: node, version: version, continuation: continuation))
        defer { state.isWriting = true }
        return !state.isWriting
      }
      if mustStart { startThread("fake-hardware") { self.writePending() } }
    }
  }

  /// A line on the machine's console for something that is not remembered.
  func say(_ line: String, of node: String) {
    state.withLock { state in for reader in (state.readers[node] ?? [:]).values { reader.yield("\(node): \(line)") } }
  }

  /// What happens to a machine, as lines of text, beginning with how it is.
  func follow(_ node: String) -> AsyncStream<String> {
    AsyncStream(bufferingPolicy: .bufferingNewest(512)) { continuation in
      let number = state.withLock { state in
        state.nextReader += 1
        state.readers[node, default: [:]][state.nextReader] = continuation
        continuation.yield("\(node): \((state.entries[node]?.machine ?? FakeMachine()).power.rawValue)")
        return state.nextReader
      }
      continuation.onTermination = { [weak self] _ in
        self?.state.withLock { state in
          state.readers[node]?[number] = nil
          if state.readers[node]?.isEmpty == true { state.readers[node] = nil }
        }
      }
    }
  }
  private static func lines(from before: FakeMachine, to after: FakeMachine) -> [String] {
    var lines: [String] = []
    if before.power != after.power { lines.append(after.power.rawValue) }
    if before.bios != after.bios { lines.append("\(after.bios.count) BIOS settings") }
    if before.mode != after.mode { lines.append("boot mode \(after.mode.rawValue)") }
    if before.isSecureBoot != after.isSecureBoot { lines.append("secure boot \(after.isSecureBoot ? "on" : "off")") }
    if before.lamp != after.lamp { lines.append("lamp \(after.lamp.rawValue)") }
    if before.boot != after.boot { lines.append("boots from \(after.boot?.device.rawValue ?? "what it has")") }
    return lines
  }

  // MARK: The file

  /// On a thread of its own, until nothing is pending.
  private func writePending() {
    while true {
      let (batch, text) = state.withLock { state -> ([Pending], String) in
        let batch = state.pending
        state.pending = []
        if batch.isEmpty { state.isWriting = false }
        // A line that was cut short, by a full disk or the end of an earlier server, must not swallow the next.
        var text = "\n"
        for item in batch { text += Self.line(item.node, state.entries[item.node]?.machine ?? FakeMachine()) }
        return (batch, text)
      }
      guard !batch.isEmpty, let path else { return }
      let result = Result { try Self.append(text, to: path) }
      let snapshot = state.withLock { state -> [String: FakeMachine]? in
        if case .success = result {
          state.lines += batch.count
          for item in batch {
            let written = state.entries[item.node]?.written ?? 0
            state.entries[item.node]?.written = max(written, item.version)
          }
        }
        let isLong = state.lines > limit && state.lines > 4 * state.entries.count
        return isLong ? state.entries.mapValues(\.machine) : nil
      }
      for item in batch { item.continuation.resume(with: result) }
      if let snapshot, let lines = try? Self.rewrite(path, snapshot) { state.withLock { $0.lines = lines } }
    }
  }

  private static func line(_ node: String, _ machine: FakeMachine) -> String {
    var json: JSONObject = ["node": .string(node), "power": .string(machine.power.rawValue)]
    if let boot = machine.boot {
      json["boot"] = [
        "device": .string(boot.device.rawValue), "persistent": .bool(boot.persistent),
        "mode": JSON(boot.mode?.rawValue),
      ]
    }
    if !machine.bios.isEmpty {
      json["bios"] = .object(machine.bios.reduce(into: JSONObject()) { $0[$1.key] = .string($1.value) })
    }
    if machine.mode != .uefi { json["mode"] = .string(machine.mode.rawValue) }
    if machine.isSecureBoot { json["secure_boot"] = true }
    if machine.lamp != .off { json["lamp"] = .string(machine.lamp.rawValue) }
    return "\(JSON.object(json))\n"
  }

  private static func read(_ path: String) throws -> (machines: [String: FakeMachine], lines: Int) {
    guard let file = fopen(path, "re") else { throw unusable(path) }
    defer { fclose(file) }
    var machines: [String: FakeMachine] = [:]
    var lines = 0
    var buffer: UnsafeMutablePointer<CChar>?
    var capacity = 0
    defer { free(buffer) }
    while true {
      let count = getline(&buffer, &capacity, file)
      guard count > 0, let start = buffer else { return (machines, lines) }
      lines += 1
      // The last line may have been cut short, and a batch begins with an empty one.
      let bytes = UnsafeRawBufferPointer(start: start, count: count)
      guard let json = try? JSON.parse(bytes), let node = json["node"]?.string else { continue }
      var machine = FakeMachine()
      machine.power = json["power"]?.string.flatMap { Power(rawValue: $0) } ?? .off
      if let device = json["boot"]?["device"]?.string.flatMap({ BootDevice(rawValue: $0) }) {
        machine.boot = BootOverride(
          device, persistent: json["boot"]?["persistent"]?.bool ?? false,
          mode: json["boot"]?["mode"]?.string.flatMap { BootMode(rawValue: $0) })
      }
      machine.mode = json["mode"]?.string.flatMap { BootMode(rawValue: $0) } ?? .uefi
      machine.isSecureBoot = json["secure_boot"]?.bool ?? false
      machine.lamp = json["lamp"]?.string.flatMap { Indicator.State(rawValue: $0) } ?? .off
      for setting in json["bios"]?.object ?? [:] { machine.bios[setting.key] = setting.value.string }
      machines[node] = machine
    }
  }

  /// Writes the file whole, under another name first; machines that are as new need no line.
  /// - Returns: how many lines it has.
  private static func rewrite(_ path: String, _ machines: [String: FakeMachine]) throws -> Int {
    let kept = machines.filter { $0.value != FakeMachine() }
    let temporary = path + ".new"
    unlink(temporary)
    try append(kept.map { line($0.key, $0.value) }.joined(), to: temporary)
    guard rename(temporary, path) == 0 else { throw unusable(path) }
    return kept.count
  }

  private static func append(_ text: String, to path: String) throws {
    let descriptor = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0o600)
    guard descriptor >= 0 else { throw unusable(path) }
    defer { close(descriptor) }
    var rest = Array(text.utf8)[...]
    while !rest.isEmpty {
      let count = rest.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
      if count < 0, errno == EINTR { continue }
      guard count > 0 else { throw unusable(path) }
      rest = rest.dropFirst(count)
    }
  }

  private static func unusable(_ path: String) -> DriverError {
    DriverError(
      errno == ENOSPC ? .busy : .misconfigured, device: .controller("of fake-hardware"),
      detail: "\(path): \(errorText(errno))")
  }
}
