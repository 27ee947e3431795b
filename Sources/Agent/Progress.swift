import CLinux
import Glibc
import Synchronization
import Wire

/// Tells the server how far a command is, from a thread of its own: a server that is away must not hold up the work.
///
/// At most two messages a second, and at least one every heartbeat while a command runs, so that a long erasure is
/// not taken for a dead machine. Between commands the poll for the next one is the heartbeat.
final class Progress: Sendable {
  private struct State {
    var id: String?
    var percent = 0
    var message = ""
    var remainingSeconds: Int?
    var startedAt = 0.0
    var isDirty = false
    /// How far an erasure is on one disk, to go on there after an interruption.
    var place: JSON?
    var sessionIsOver = false
    var isStopped = false
  }
  private let state = Mutex(State())

  func begin(_ id: String) {
    state.withLock {
      $0.id = id
      $0.percent = 0
      $0.message = ""
      $0.place = nil
      $0.remainingSeconds = nil
      $0.startedAt = clinux_monotonic_seconds()
      $0.isDirty = false
    }
  }

  func end() { state.withLock { $0.id = nil } }
  func stop() { state.withLock { $0.isStopped = true } }

  /// Notes how far the command is; cheap enough for every megabyte.
  /// - Parameter fraction: 0 to 1 of the command's whole work; the remaining time is estimated from it.
  /// - Throws: ``AgentError`` `.sessionOver` once the server has said so: the work must stop.
  func update(_ fraction: Double, _ message: String) throws {
    let now = clinux_monotonic_seconds()
    let isOver = state.withLock { state in
      let percent = Int(max(0, min(fraction, 1)) * 100)
      state.isDirty = state.isDirty || percent != state.percent || message != state.message
      state.percent = percent
      state.message = message
      let spent = now - state.startedAt
      state.remainingSeconds = fraction > 0.01 && spent > 1 ? Int(spent * (1 - fraction) / fraction + 0.5) : nil
      return state.sessionIsOver
    }
    if isOver { throw AgentError(.sessionOver, "The server has ended the session.") }
  }

  /// Notes a place of an erasure; the server hears of the last one.
  func reached(_ place: JSON) {
    state.withLock {
      $0.place = place
      $0.isDirty = true
    }
  }

  /// - Parameters:
  ///   - session: what every call carries.
  ///   - heartbeat: seconds.
  func start(server: ServerAddress, session: String, heartbeat: Int) {
    startThread { [self] in
      let connection = HTTPConnection(server: server)
      var lastSent = 0.0
      while true {
        usleep(500_000)
        let now = clinux_monotonic_seconds()
        let due: (stop: Bool, body: JSON?) = state.withLock { state in
          guard let id = state.id, state.isDirty || now - lastSent >= Double(heartbeat) else {
            return (state.isStopped, nil)
          }
          state.isDirty = false
          return (
            state.isStopped,
            [
              "id": .string(id), "percent": .int(state.percent), "message": .string(state.message),
              "remaining_seconds": JSON(state.remainingSeconds), "erased": state.place ?? .null,
            ]
          )
        }
        if due.stop { return }
        guard let body = due.body else { continue }
        lastSent = now
        let request = HTTPRequest(
          method: "POST", path: "/agent/v1/progress", headers: ServerSession.headers(session),
          body: Array(body.description.utf8))
        // Progress that is not heard is no loss: the next one says more.
        guard let response = try? connection.send(request, timeout: 5) else { continue }
        _ = try? connection.readWholeBody(limit: 65536)
        if response.status == 401 { state.withLock { $0.sessionIsOver = true } }
      }
    }
  }
}
