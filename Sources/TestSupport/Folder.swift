import Glibc
import Processes

/// A folder of the test's own, removed with all that is in it.
/// - Parameter name: what its name tells of the test.
public func withFolder<T>(_ name: String, _ body: (String) async throws -> T) async throws -> T {
  var template = Array("/tmp/steelyard-\(name)-XXXXXX".utf8CString)
  guard mkdtemp(&template) != nil else { throw CommandError(program: "mkdtemp", reason: .notStarted(errno)) }
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
