/// A grub.cfg, parsed: as much of GRUB's language as the distributions' configurations use.
///
/// Source: GNU GRUB Manual 2.12, section 6 ("Writing full configuration files directly").
struct GRUBScript {
  /// A piece of a word: text, or the value of a variable, which is split at blanks where it is not quoted.
  enum Piece: Equatable {
    case text(String)
    case variable(String, isQuoted: Bool)
  }
  /// With its pieces and whether anything of it is quoted: then it is a word even when it is empty.
  struct Word: Equatable {
    var pieces: [Piece] = []
    var isQuoted = false
    /// The word, if it is written plainly.
    var plain: String? {
      guard !isQuoted, pieces.count == 1, case .text(let text)? = pieces.first else { return nil }
      return text
    }
  }
  indirect enum Statement {
    case command([Word])
    case condition([(test: [Statement], body: [Statement])], otherwise: [Statement])
    case function(String, [Statement])
    case entry([Word], [Statement], isSubmenu: Bool)
  }

  static let limit = 1 << 20
  private static let deepest = 32

  private enum Token: Equatable {
    case word(Word)
    case end
    case open, close
  }
  private var tokens: [Token] = []
  private var at = 0
  private(set) var statements: [Statement] = []

  /// - Throws: ``AgentError`` for what is not understood.
  init(_ text: String) throws {
    tokens = try Self.tokens(of: Array(text.utf8))
    statements = try block(until: [], depth: 0)
    guard at == tokens.count else { throw Self.unclear("a word is where none is expected") }
  }

  private static func unclear(_ what: String) -> AgentError {
    AgentError(.refused, "the configuration of GRUB is not understood: \(what)")
  }

  // MARK: Words

  private static func isName(_ byte: UInt8) -> Bool {
    byte == 0x5f || (0x30...0x39).contains(byte) || (0x41...0x5a).contains(byte) || (0x61...0x7a).contains(byte)
  }

  private static func tokens(of bytes: [UInt8]) throws -> [Token] {
    var tokens: [Token] = []
    var at = 0
    while at < bytes.count {
      switch bytes[at] {
      case 0x20, 0x09, 0x0d: at += 1
      case 0x0a, UInt8(ascii: ";"):
        tokens.append(.end)
        at += 1
      case UInt8(ascii: "#"): while at < bytes.count, bytes[at] != 0x0a { at += 1 }
      case UInt8(ascii: "{"):
        tokens.append(.open)
        at += 1
      case UInt8(ascii: "}"):
        tokens.append(.close)
        at += 1
      case UInt8(ascii: "|"), UInt8(ascii: "&"), UInt8(ascii: "<"), UInt8(ascii: ">"): throw unclear("it redirects")
      case UInt8(ascii: "\\") where at + 1 < bytes.count && bytes[at + 1] == 0x0a: at += 2
      default: tokens.append(.word(try word(bytes, &at)))
      }
    }
    return tokens
  }

  private static func word(_ bytes: [UInt8], _ at: inout Int) throws -> Word {
    var word = Word()
    var text: [UInt8] = []
    var quote: UInt8?
    func flush(_ word: inout Word, _ text: inout [UInt8]) {
      if !text.isEmpty { word.pieces.append(.text(String(decoding: text, as: UTF8.self))) }
      text = []
    }
    while at < bytes.count {
      let byte = bytes[at]
      if let open = quote {
        at += 1
        if byte == open {
          quote = nil
        } else if open == UInt8(ascii: "\""), byte == UInt8(ascii: "\\"), at < bytes.count,
          [UInt8(ascii: "$"), UInt8(ascii: "\""), UInt8(ascii: "\\"), 0x0a].contains(bytes[at])
        {
          if bytes[at] != 0x0a { text.append(bytes[at]) }
          at += 1
        } else if open == UInt8(ascii: "\""), byte == UInt8(ascii: "$"), let name = variable(bytes, &at) {
          flush(&word, &text)
          word.pieces.append(.variable(name, isQuoted: true))
        } else {
          text.append(byte)
        }
        continue
      }
      switch byte {
      case 0x20, 0x09, 0x0d, 0x0a, UInt8(ascii: ";"), UInt8(ascii: "{"), UInt8(ascii: "}"):
        flush(&word, &text)
        return word
      case UInt8(ascii: "|"), UInt8(ascii: "&"), UInt8(ascii: "<"), UInt8(ascii: ">"): throw unclear("it redirects")
      case UInt8(ascii: "'"), UInt8(ascii: "\""):
        quote = byte
        word.isQuoted = true
        at += 1
      case UInt8(ascii: "\\"):
        at += 1
        if at < bytes.count {
          if bytes[at] != 0x0a { text.append(bytes[at]) }
          at += 1
        }
      case UInt8(ascii: "$"):
        at += 1
        if let name = variable(bytes, &at) {
          flush(&word, &text)
          word.pieces.append(.variable(name, isQuoted: false))
        } else {
          text.append(byte)
        }
      default:
        text.append(byte)
        at += 1
      }
    }
    guard quote == nil else { throw unclear("a quotation has no end") }
    flush(&word, &text)
    return word
  }

  /// The name behind a `$`, or nil when it is only that.
  private static func variable(_ bytes: [UInt8], _ at: inout Int) -> String? {
    var end = at
    let isBraced = at < bytes.count && bytes[at] == UInt8(ascii: "{")
    if isBraced { end += 1 }
    let start = end
    if end < bytes.count,
      [UInt8(ascii: "?"), UInt8(ascii: "#"), UInt8(ascii: "@"), UInt8(ascii: "*")].contains(bytes[end])
    {
      end += 1
    } else {
      while end < bytes.count, isName(bytes[end]) { end += 1 }
    }
    guard end > start else { return nil }
    let name = String(decoding: bytes[start..<end], as: UTF8.self)
    if isBraced {
      guard end < bytes.count, bytes[end] == UInt8(ascii: "}") else { return nil }
      end += 1
    }
    at = end
    return name
  }

  // MARK: Statements

  private var plainWord: String? {
    guard at < tokens.count, case .word(let word) = tokens[at] else { return nil }
    return word.plain
  }
  private mutating func skipEnds() { while at < tokens.count, tokens[at] == .end { at += 1 } }

  /// Statements up to one of the words, or a closing brace, neither of which is taken.
  private mutating func block(until ends: Set<String>, depth: Int) throws -> [Statement] {
    guard depth < Self.deepest else { throw Self.unclear("it is nested too deeply") }
    var found: [Statement] = []
    while true {
      skipEnds()
      guard at < tokens.count, tokens[at] != .close else { return found }
      if let word = plainWord, ends.contains(word) { return found }
      found.append(try statement(depth: depth))
    }
  }

  private mutating func statement(depth: Int) throws -> Statement {
    switch plainWord {
    case "if":
      at += 1
      return try condition(depth: depth)
    case "function":
      at += 1
      guard let name = plainWord else { throw Self.unclear("a function has no name") }
      at += 1
      return .function(name, try braces(depth: depth))
    case "menuentry", "submenu":
      let isSubmenu = plainWord == "submenu"
      at += 1
      let words = words()
      return .entry(words, try braces(depth: depth), isSubmenu: isSubmenu)
    case "for", "while", "until", "then", "elif", "else", "fi", "do", "done":
      throw Self.unclear("'\(plainWord ?? "")'")
    default:
      let words = words()
      guard !words.isEmpty else { throw Self.unclear("a brace is where none is expected") }
      return .command(words)
    }
  }

  private mutating func words() -> [Word] {
    var words: [Word] = []
    while at < tokens.count, case .word(let word) = tokens[at] {
      words.append(word)
      at += 1
    }
    return words
  }

  private mutating func braces(depth: Int) throws -> [Statement] {
    skipEnds()
    guard at < tokens.count, tokens[at] == .open else { throw Self.unclear("a brace is missing") }
    at += 1
    let body = try block(until: [], depth: depth + 1)
    guard at < tokens.count, tokens[at] == .close else { throw Self.unclear("a brace is not closed") }
    at += 1
    return body
  }

  private mutating func take(_ word: String) throws {
    guard plainWord == word else { throw Self.unclear("'\(word)' is missing") }
    at += 1
  }

  private mutating func condition(depth: Int) throws -> Statement {
    var branches: [(test: [Statement], body: [Statement])] = []
    while true {
      let test = try block(until: ["then"], depth: depth + 1)
      try take("then")
      branches.append((test, try block(until: ["elif", "else", "fi"], depth: depth + 1)))
      guard plainWord == "elif" else { break }
      at += 1
    }
    var otherwise: [Statement] = []
    if plainWord == "else" {
      at += 1
      otherwise = try block(until: ["fi"], depth: depth + 1)
    }
    try take("fi")
    return .condition(branches, otherwise: otherwise)
  }
}
