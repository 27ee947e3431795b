/// What a test waited for did not come.
public struct Late: Error {
  public let what: String
  public init(what: String) { self.what = what }
}

/// Waits for a condition, at most ten seconds.
/// - Throws: ``Late``, with what was waited for.
public func until(_ what: String, _ condition: () async throws -> Bool) async throws {
  let deadline = ContinuousClock.now + .seconds(10)
  while try await !condition() {
    guard ContinuousClock.now < deadline else { throw Late(what: what) }
    try await Task.sleep(for: .milliseconds(5))
  }
}
