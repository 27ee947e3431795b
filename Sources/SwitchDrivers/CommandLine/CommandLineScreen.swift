/// What a switch's terminal shows, cut into replies. No I/O.
///
/// A reply ends with a prompt: a last line without an end that begins with the switch's name and ends with one of the
/// signs that prompts have. So text of the configuration that looks like a prompt is none.
struct CommandLineScreen: Sendable {
  enum Found: Equatable, Sendable {
    case reply(String)
    /// A last line that waits for a word: a password, a yes.
    case question(String)
    /// The pager: it wants a space.
    case page
  }
  private enum Escape { case none, began, sequence, text }
  /// Most bytes of one reply.
  static let limit = 16 << 20

  private var bytes: [UInt8] = []
  private var escape = Escape.none
  /// The name that prompts begin with; nil before the first one.
  private(set) var base: String?
  var isTooLong: Bool { bytes.count > Self.limit }

  /// Adds what came, without colours and cursor movements.
  mutating func take(_ more: some Sequence<UInt8>) {
    for byte in more {
      switch escape {
      case .began:
        escape = byte == UInt8(ascii: "[") ? .sequence : byte == UInt8(ascii: "]") ? .text : .none
      case .sequence: if (0x40...0x7e).contains(byte) { escape = .none }
      case .text: if byte == 7 || byte == UInt8(ascii: "\\") { escape = .none }
      case .none:
        switch byte {
        case 0x1b: escape = .began
        case 8: if bytes.last != 0x0a { _ = bytes.popLast() }
        case 0, 7, 0x0d: break
        default: bytes.append(byte)
        }
      }
    }
  }

  /// What the switch has said in whole, after which the screen is clean; nil when it is not done.
  /// - Parameter echo: the command as typed; the reply begins after it. Nil for what is not shown, and for the log-in.
  mutating func found(echo: String?) -> Found? {
    let start = (bytes.lastIndex(of: 0x0a) ?? -1) + 1
    let last = String(decoding: bytes[start...], as: UTF8.self)
    let line = last.drop { $0 == " " }
    let trimmed = Self.trimmed(line)
    if Self.isPager(trimmed) {
      bytes.removeSubrange(start...)
      return .page
    }
    if isPrompt(trimmed) {
      var text = String(decoding: bytes[..<start], as: UTF8.self)
      if let echo {
        guard let after = Self.text(text, after: echo) else { return nil }
        text = after
      }
      if base == nil { base = Self.base(of: trimmed) }
      bytes = []
      return .reply(text)
    }
    if Self.isQuestion(trimmed), echo.map({ !$0.hasPrefix(trimmed) }) ?? true {
      bytes = []
      return .question(String(trimmed))
    }
    return nil
  }

  private func isPrompt(_ line: Substring) -> Bool {
    guard let sign = line.last, ">#$%]".contains(sign), line.utf8.count < 200 else { return false }
    guard let base else { return !Self.base(of: line).isEmpty }
    return line.drop { "<[~*".contains($0) }.hasPrefix(base)
  }
  /// "nexus1(config-if)#" and "[~leaf-10GE1/0/1]" begin with the name that "nexus1#" and "<leaf>" have.
  private static func base(of line: Substring) -> String {
    String(line.drop { "<[~*".contains($0) }.prefix { !">#$%( ~]".contains($0) })
  }
  private static func text(_ text: String, after echo: String) -> String? {
    let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
    // Terminals shift or wrap long lines: the beginning is enough.
    let beginning = echo.prefix(16)
    guard let index = lines.firstIndex(where: { $0.contains(beginning) }) else { return nil }
    return lines[(index + 1)...].joined(separator: "\n")
  }
  private static func trimmed(_ line: Substring) -> Substring {
    var line = line
    while line.last == " " { line.removeLast() }
    return line
  }
  private static func isPager(_ line: Substring) -> Bool {
    let low = line.lowercased()
    return low.hasSuffix("--more--") || low.hasSuffix("more ----") || low.hasSuffix("more --->") || low == "(more)"
      || low.hasPrefix("lines ") && low.hasSuffix("q")
  }
  private static func isQuestion(_ line: Substring) -> Bool {
    let low = line.lowercased()
    return low.hasSuffix("assword:") || low.hasSuffix("?") || low.hasSuffix("[y/n]:") || low.hasSuffix("[y/n]")
      || low.hasSuffix("(y/n)") || low.hasSuffix("(y/n):") || low.hasSuffix("(y/n)[n]:") || low.hasSuffix("[y/n]?")
  }
}
