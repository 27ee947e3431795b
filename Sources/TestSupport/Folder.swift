import Processes

/// A folder of the test's own, removed with all that is in it.
/// - Parameter name: what its name tells of the test.
public func withFolder<T>(_ name: String, _ body: (String) async throws -> T) async throws -> T {
  let folder = try makeTemporaryFolder(name)
  do {
    let value = try await body(folder)
    _ = try await run("rm", ["-rf", folder])
    return value
  } catch {
    _ = try await run("rm", ["-rf", folder])
    throw error
  }
}
