import Domain
import Wire

/// How far each webhook has been told what happened.
public enum WebhookStore {
  public struct Place: Sendable, Equatable {
    /// The last event that its receiver has taken, or that was given up.
    public var lastEventID: Int
    /// Failed attempts at the next one.
    public var attempt: Int
    public var tryAt: Timestamp
  }
  /// The place of a webhook; one that is new begins with what happens from now on.
  public static func place(of url: String, in session: any Session) throws -> Place {
    let found = try session.first("SELECT last_event_id, attempt, try_at FROM webhooks WHERE url = $1", [.text(url)]) {
      Place(lastEventID: $0.int(0), attempt: $0.int(1), tryAt: $0.time(2))
    }
    if let found { return found }
    let last = try EventStore.lastID(in: session)
    try session.execute("INSERT INTO webhooks (url, last_event_id) VALUES ($1, $2)", [.text(url), .int(last)])
    return Place(lastEventID: last, attempt: 0, tryAt: Timestamp(microseconds: 0))
  }
  /// Everything up to `event` was taken, is no business of this webhook's, or was given up.
  public static func advance(_ url: String, to event: Int, in session: any Session) throws {
    try session.execute(
      "UPDATE webhooks SET last_event_id = $1, attempt = 0, try_at = 0, last_error = NULL WHERE url = $2",
      [.int(event), .text(url)])
  }
  public static func failed(
    _ url: String, attempt: Int, tryAt: Timestamp, error: String, in session: any Session
  ) throws {
    try session.execute(
      "UPDATE webhooks SET attempt = $1, try_at = $2, last_error = $3 WHERE url = $4",
      [.int(attempt), Value(tryAt), .text(error), .text(url)])
  }
}
