import Glibc
import Processes
import Testing

/// A folder of the test's own, removed with all that is in it.
func withFolder<T>(_ name: String, _ body: (String) async throws -> T) async throws -> T {
  var template = Array("/tmp/steelyard-\(name)-XXXXXX".utf8CString)
  _ = try #require(mkdtemp(&template))
  let folder = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
  do {
    let value = try await body(folder)
    _ = try await run("rm", ["-rf", folder])
    return value
  } catch {
    _ = try await run("rm", ["-rf", folder])
    throw error
  }
}

/// Waits until `look` finds something, at most ten seconds.
func eventually<T>(_ look: () async throws -> T?) async throws -> T? {
  let deadline = ContinuousClock.now + .seconds(10)
  while ContinuousClock.now < deadline {
    if let found = try await look() { return found }
    try await Task.sleep(for: .milliseconds(5))
  }
  return nil
}
