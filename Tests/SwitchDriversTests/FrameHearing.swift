import TestSupport
import Testing

extension Frame {
  /// Sends the frame from one tap until all that are awaited have it; when none is, for three times as long as that takes.
  /// - Returns: what came with its mark, by tap.
  func heard(
    from sender: String, _ taps: [String: Tap], awaiting: Set<String>
  ) async throws -> [String: [Frame]] {
    var seen: [String: [Frame]] = [:]
    let tap = try #require(taps[sender])
    func listen() {
      for (name, tap) in taps where name != sender {
        let ours = tap.received().filter { $0.mark == mark }
        if !ours.isEmpty { seen[name, default: []] += ours }
      }
    }
    if awaiting.isEmpty {
      for _ in 0..<5 {
        tap.send(self)
        try await Task.sleep(for: .milliseconds(100))
        listen()
      }
    } else {
      // The first frames go away while the ends ask for each other's address.
      try await until("\(awaiting.sorted()) hear \(sender)") {
        tap.send(self)
        try await Task.sleep(for: .milliseconds(20))
        listen()
        return awaiting.isSubset(of: seen.keys)
      }
    }
    return seen
  }
}
