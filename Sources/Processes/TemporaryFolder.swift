import Glibc

/// Makes an empty folder that nobody else can read, in `TMPDIR` or `/tmp`; whoever makes it removes it.
/// - Parameter name: what its name tells of its purpose.
/// - Throws: ``CommandError`` when it cannot be made.
public func makeTemporaryFolder(_ name: String) throws -> String {
  let parent = getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"
  var template = Array("\(parent)/steelyard-\(name)-XXXXXX".utf8CString)
  guard mkdtemp(&template) != nil else { throw CommandError(program: "mkdtemp", reason: .notStarted(errno)) }
  return String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
}
