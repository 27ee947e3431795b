import Glibc
import Synchronization
import Wire

/// What a simulator did, as JSON lines: tests read it to see what reached the hardware, and what did not.
///
/// Members: `time` (ISO 8601), `device`, `event` (`effect`, `lie`, `fault`, `session`, `refused`, `request`) and more
/// by event. Never a password or a token.
public final class EffectLog: Sendable {
  private struct State {
    var file: Int32
    var entries: [JSONObject] = []
  }
  private let state: Mutex<State>
  /// Entries kept in memory for tests in the same process.
  private static let limit = 10_000

  /// - Parameter path: appended to; nil keeps the log in memory only.
  /// - Throws: ``MachineError`` when the file cannot be opened.
  public init(path: String? = nil) throws {
    var file: Int32 = -1
    if let path {
      file = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o644)
      if file < 0 { throw MachineError("cannot write the log \(path): \(String(cString: strerror(errno)))") }
    }
    state = Mutex(State(file: file))
  }
  deinit { state.withLock { if $0.file >= 0 { close($0.file) } } }

  public var entries: [JSONObject] { state.withLock { $0.entries } }

  /// Entries of one event, optionally of one device.
  public func entries(_ event: String, device: String? = nil) -> [JSONObject] {
    entries.filter { $0["event"]?.string == event && (device == nil || $0["device"]?.string == device) }
  }

  func write(_ event: String, device: String, _ members: JSONObject) {
    var now = timespec()
    clock_gettime(CLOCK_REALTIME, &now)
    let time = Timestamp(microseconds: now.tv_sec * 1_000_000 + now.tv_nsec / 1000)
    var entry: JSONObject = [
      "time": .string(time.iso8601ZuluMicroseconds), "device": .string(device), "event": .string(event),
    ]
    for member in members { entry[member.key] = member.value }
    let line = Array((JSON.object(entry).description + "\n").utf8)
    state.withLock { state in
      if state.entries.count == Self.limit { state.entries.removeFirst(Self.limit / 10) }
      state.entries.append(entry)
      // One write(2) with O_APPEND: lines of several processes do not mix.
      if state.file >= 0 { _ = Glibc.write(state.file, line, line.count) }
    }
  }
}
