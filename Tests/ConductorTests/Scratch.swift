/// Waits until `look` finds something, at most ten seconds.
func eventually<T>(_ look: () async throws -> T?) async throws -> T? {
  let deadline = ContinuousClock.now + .seconds(10)
  while ContinuousClock.now < deadline {
    if let found = try await look() { return found }
    try await Task.sleep(for: .milliseconds(5))
  }
  return nil
}
