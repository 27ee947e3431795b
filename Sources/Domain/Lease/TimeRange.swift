import Wire

/// From `start` up to, but not including, `end`.
public struct TimeRange: Sendable, Hashable {
  public var start: Timestamp
  public var end: Timestamp

  public init(_ start: Timestamp, _ end: Timestamp) {
    self.start = start
    self.end = end
  }
  public var isValid: Bool { start < end }
  public var length: Duration { end - start }
  public func overlaps(_ other: TimeRange) -> Bool { start < other.end && other.start < end }
  public func contains(_ other: TimeRange) -> Bool { start <= other.start && other.end <= end }
  public func contains(_ time: Timestamp) -> Bool { start <= time && time < end }
}

/// The arithmetic of offers and leases.
public enum LeaseArithmetic {
  /// What is left of `span` from `now` on, without what is `taken` (in any order, may overlap and reach beyond the span).
  public static func availabilities(of span: TimeRange, taken: [TimeRange], now: Timestamp) -> [TimeRange] {
    var free: [TimeRange] = []
    var at = max(span.start, now)
    for range in taken.sorted(by: { ($0.start, $0.end) < ($1.start, $1.end) }) where range.isValid {
      if range.start >= span.end { break }
      if range.start > at { free.append(TimeRange(at, range.start)) }
      at = max(at, range.end)
    }
    if at < span.end { free.append(TimeRange(at, span.end)) }
    return free
  }

  /// When a lease ends that was asked for without an end: after the default length, but not after `limit` (the end of the
  /// parent lease or of the offer), not beyond the longest length, and, for a claim, not into the `next` lease.
  public static func defaultEnd(
    start: Timestamp, settings: LeaseSettings, longest: Duration? = nil, limit: Timestamp = .distantFuture,
    next: Timestamp? = nil
  ) -> Timestamp {
    let length = min(settings.defaultLength, longest ?? settings.defaultLength)
    // Beyond the calendar's end there is nothing.
    let end = start > .distantFuture - length ? .distantFuture : start + length
    return min(end, limit, next ?? .distantFuture)
  }

  /// When the parties of a lease are told next that it ends: the first of `notices` before its end that is after both its
  /// start and `now`.
  public static func nextNotice(for time: TimeRange, _ notices: [Duration], after now: Timestamp) -> Timestamp? {
    notices.map { time.end - $0 }.filter { $0 > now && $0 > time.start }.min()
  }

  /// The time that moving a lease's end adds to it; nil when it only gets shorter.
  public static func added(to time: TimeRange, endingAt end: Timestamp) -> TimeRange? {
    end > time.end ? TimeRange(time.end, end) : nil
  }
}
