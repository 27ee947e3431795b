/// GRUB's `test`: comparisons, files, and what joins them.
///
/// Source: GNU GRUB Manual 2.12, section 16.3.89.
struct GRUBTest {
  let value: Bool

  /// - Parameter exists: the file of a path, if there is one.
  /// - Throws: ``AgentError`` for a test that is not known.
  init(_ words: ArraySlice<String>, exists: (String) throws -> FileNode?) throws {
    var left = words
    value = try Self.either(&left, exists, depth: 0)
    guard left.isEmpty else { throw Self.unclear(words) }
  }

  private static func unclear(_ words: ArraySlice<String>) -> AgentError {
    AgentError(
      .refused,
      "the configuration of GRUB is not understood: the test '\(printable(words.joined(separator: " "), limit: 120))'")
  }

  private static func either(_ left: inout ArraySlice<String>, _ exists: (String) throws -> FileNode?, depth: Int)
    throws
    -> Bool
  {
    guard depth < 16 else { throw unclear(left) }
    var value = try both(&left, exists, depth: depth)
    while left.first == "-o" {
      left.removeFirst()
      let other = try both(&left, exists, depth: depth)
      value = value || other
    }
    return value
  }
  private static func both(_ left: inout ArraySlice<String>, _ exists: (String) throws -> FileNode?, depth: Int) throws
    -> Bool
  {
    var value = try single(&left, exists, depth: depth)
    while left.first == "-a" {
      left.removeFirst()
      let other = try single(&left, exists, depth: depth)
      value = value && other
    }
    return value
  }

  private static func single(_ left: inout ArraySlice<String>, _ exists: (String) throws -> FileNode?, depth: Int)
    throws
    -> Bool
  {
    guard let first = left.popFirst() else { return false }
    // Two words with an operator between them go before all else: `[ "$x" = "-s" ]`.
    if let name = left.first, let second = left.dropFirst().first, let result = try compare(first, name, second) {
      left = left.dropFirst(2)
      return result
    }
    if first == "!" { return try !single(&left, exists, depth: depth + 1) }
    if first == "(" {
      let value = try either(&left, exists, depth: depth + 1)
      guard left.popFirst() == ")" else { throw unclear(left) }
      return value
    }
    guard ["-n", "-z", "-d", "-e", "-f", "-s"].contains(first), let word = left.first, !["-a", "-o"].contains(word)
    else { return !first.isEmpty }
    left.removeFirst()
    switch first {
    case "-n": return !word.isEmpty
    case "-z": return word.isEmpty
    case "-d": return try exists(word)?.kind == .folder
    case "-e": return try exists(word) != nil
    case "-f": return try exists(word).map { $0.kind != .folder } ?? false
    default: return try exists(word).map { $0.size > 0 } ?? false
    }
  }

  /// Nil when it is no operator.
  private static func compare(_ a: String, _ name: String, _ b: String) throws -> Bool? {
    // As strtol reads them: what is no number is 0.
    func number(_ text: String) -> Int { Int(text) ?? 0 }
    switch name {
    case "=", "==": return a == b
    case "!=": return a != b
    case "<": return a < b
    case ">": return a > b
    case "-eq": return number(a) == number(b)
    case "-ne": return number(a) != number(b)
    case "-lt": return number(a) < number(b)
    case "-le": return number(a) <= number(b)
    case "-gt": return number(a) > number(b)
    case "-ge": return number(a) >= number(b)
    default: return nil
    }
  }
}
