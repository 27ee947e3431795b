import DriverInterfaces
import Wire

/// Makes one node's parts as slow and as broken as its settings say.
struct FakeConduct: Sendable {
  let node: String
  let settings: FakeSettings

  /// A call that the caller waits for: the delay, then `body`, then the fault.
  ///
  /// A fault is thrown before `body`, except the one whose answer is lost.
  /// - Parameter patience: longer than that nobody waits; the call then does nothing.
  func call<T>(_ part: FakePart, patience: Duration? = nil, _ body: () async throws -> T) async throws -> T {
    if let range = settings.delays[part], range.upperBound > 0 {
      let delay = Duration.seconds(Double.random(in: range))
      try await Task.sleep(for: min(delay, patience ?? delay))
      if let patience, delay > patience {
        throw error(.unreachable, "not done within \(patience), as fake_\(part.rawValue)_delay asks")
      }
    }
    guard let fault = settings.faults[part], Double.random(in: 0..<1) < fault.share else { return try await body() }
    if fault.kind == .lost { _ = try await body() }
    throw error(fault.kind.code, fault.words)
  }

  /// Long work that is asked after again and again: everything about it follows from its name, so that it comes to the same
  /// each time.
  /// - Parameter times: how often the delay counts.
  /// - Returns: nil when it is done.
  func advance(_ part: FakePart, key: String, elapsed: Duration, times: Int = 1) throws -> WorkProgress? {
    if let range = settings.delays[part], range.upperBound > 0 {
      let share = Self.share(of: key, salt: "delay")
      let whole = (range.lowerBound + (range.upperBound - range.lowerBound) * share) * Double(times)
      let left = whole - elapsed.inSeconds
      if left > 0 { return .going(percent: Int(elapsed.inSeconds / whole * 100), remaining: .seconds(left)) }
    }
    if let fault = settings.faults[part], Self.share(of: key, salt: "fault") < fault.share {
      throw error(fault.kind.code, fault.words)
    }
    return nil
  }

  func error(_ code: DriverError.Code, _ words: String) -> DriverError {
    DriverError(code, device: .controller("of node \(node)"), detail: words)
  }

  /// A number from 0 up to 1 that the words decide (FNV-1a).
  static func share(of words: String, salt: String) -> Double {
    var hash: UInt64 = 0xcbf2_9ce4_8422_2325
    for byte in (words + salt).utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
    // The upper half is mixed better.
    return Double((hash ^ (hash >> 32)) & 0xffff_ffff) / 4_294_967_296
  }
}
