/// One element of an XML document, as far as NETCONF needs it.
struct XMLElement: Sendable, Equatable {
  /// Without its prefix.
  var name: String
  /// The namespace's URI; empty for none.
  var namespace = ""
  /// The text that stands in it itself.
  var text = ""
  var children: [XMLElement] = []

  /// The first child of this name.
  subscript(_ name: String) -> XMLElement? { children.first { $0.name == name } }
  func all(_ name: String) -> [XMLElement] { children.filter { $0.name == name } }

  /// Text as it may stand in a document.
  static func escaped(_ text: String) -> String {
    var result = ""
    for character in text.unicodeScalars {
      switch character {
      case "&": result += "&amp;"
      case "<": result += "&lt;"
      case ">": result += "&gt;"
      case "\"": result += "&quot;"
      default:
        if character.value >= 32 || character == "\n" || character == "\t" { result.unicodeScalars.append(character) }
      }
    }
    return result
  }

  /// - Throws: ``XMLError`` for what is no document, has a document type or nests deeper than 64.
  static func parse(_ bytes: [UInt8]) throws(XMLError) -> XMLElement {
    var reader = XMLReader(bytes: bytes)
    return try reader.document()
  }
}

struct XMLError: Error, Equatable, CustomStringConvertible {
  var offset: Int
  var message: String
  var description: String { "invalid XML at byte \(offset): \(message)" }
}

private struct XMLReader {
  let bytes: [UInt8]
  var at = 0

  init(bytes: [UInt8]) { self.bytes = bytes }

  private func failure(_ message: String) -> XMLError { XMLError(offset: at, message: message) }
  private func isNext(_ text: StaticString) -> Bool {
    guard at + text.utf8CodeUnitCount <= bytes.count else { return false }
    for index in 0..<text.utf8CodeUnitCount where bytes[at + index] != text.utf8Start[index] { return false }
    return true
  }
  private mutating func skip(past end: StaticString) throws(XMLError) {
    while at < bytes.count {
      if isNext(end) {
        at += end.utf8CodeUnitCount
        return
      }
      at += 1
    }
    throw failure("cut short")
  }
  private mutating func skipSpace() {
    while at < bytes.count, [0x20, 0x0a, 0x0d, 0x09].contains(bytes[at]) { at += 1 }
  }

  mutating func document() throws(XMLError) -> XMLElement {
    while true {
      skipSpace()
      if isNext("<?") {
        try skip(past: "?>")
      } else if isNext("<!--") {
        try skip(past: "-->")
      } else {
        break
      }
    }
    let root = try element([:], depth: 0)
    while at < bytes.count {
      skipSpace()
      if isNext("<!--") { try skip(past: "-->") } else if at < bytes.count { throw failure("text after the document") }
    }
    return root
  }

  private mutating func name() throws(XMLError) -> String {
    let start = at
    while at < bytes.count, !" \n\r\t/>=<\"'&".utf8.contains(bytes[at]) { at += 1 }
    guard at > start else { throw failure("a name was expected") }
    return String(decoding: bytes[start..<at], as: UTF8.self)
  }

  private mutating func element(_ outer: [String: String], depth: Int) throws(XMLError) -> XMLElement {
    guard depth < 64 else { throw failure("nested deeper than 64") }
    guard isNext("<"), !isNext("<!"), !isNext("</") else { throw failure("an element was expected") }
    at += 1
    let qualified = try name()
    var spaces = outer
    var isEmpty = false
    while true {
      skipSpace()
      guard at < bytes.count else { throw failure("cut short") }
      if isNext("/>") {
        at += 2
        isEmpty = true
        break
      }
      if isNext(">") {
        at += 1
        break
      }
      let key = try name()
      skipSpace()
      guard isNext("=") else { throw failure("'=' was expected") }
      at += 1
      skipSpace()
      guard at < bytes.count, bytes[at] == 0x22 || bytes[at] == 0x27 else { throw failure("a quote was expected") }
      let quote = bytes[at]
      at += 1
      let value = try text { $0 == quote }
      at += 1
      if key == "xmlns" {
        spaces[""] = value
      } else if key.hasPrefix("xmlns:") {
        spaces[String(key.dropFirst(6))] = value
      }
    }
    let parts = qualified.split(separator: ":", maxSplits: 1)
    let prefix = parts.count == 2 ? String(parts[0]) : ""
    var result = XMLElement(name: String(parts.last ?? ""), namespace: spaces[prefix] ?? "")
    if isEmpty { return result }
    while true {
      guard at < bytes.count else { throw failure("<\(qualified)> has no end") }
      if isNext("</") {
        at += 2
        guard try name() == qualified else { throw failure("another end than </\(qualified)>") }
        skipSpace()
        guard isNext(">") else { throw failure("'>' was expected") }
        at += 1
        return result
      }
      if isNext("<!--") {
        try skip(past: "-->")
      } else if isNext("<![CDATA[") {
        at += 9
        let start = at
        try skip(past: "]]>")
        result.text += String(decoding: bytes[start..<(at - 3)], as: UTF8.self)
      } else if isNext("<?") {
        try skip(past: "?>")
      } else if isNext("<") {
        result.children.append(try element(spaces, depth: depth + 1))
      } else {
        result.text += try text { $0 == 0x3c }
      }
    }
  }

  private mutating func text(until isEnd: (UInt8) -> Bool) throws(XMLError) -> String {
    var found: [UInt8] = []
    while at < bytes.count, !isEnd(bytes[at]) {
      guard bytes[at] == 0x26 else {
        found.append(bytes[at])
        at += 1
        continue
      }
      guard let end = bytes[at...].prefix(12).firstIndex(of: 0x3b) else { throw failure("'&' stands alone") }
      let entity = String(decoding: bytes[(at + 1)..<end], as: UTF8.self)
      let plain: String
      switch entity {
      case "lt": plain = "<"
      case "gt": plain = ">"
      case "amp": plain = "&"
      case "quot": plain = "\""
      case "apos": plain = "'"
      default:
        let number = entity.hasPrefix("#x") ? UInt32(entity.dropFirst(2), radix: 16) : UInt32(entity.dropFirst())
        guard entity.hasPrefix("#"), let number, let scalar = Unicode.Scalar(number) else {
          throw failure("&\(entity); is not known")
        }
        plain = String(Character(scalar))
      }
      found += Array(plain.utf8)
      at = end + 1
    }
    guard at < bytes.count else { throw failure("cut short") }
    return String(decoding: found, as: UTF8.self)
  }
}
