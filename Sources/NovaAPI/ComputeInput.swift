import APISupport
import Domain
import Wire

/// What a client sends, with Nova's sentences for what is wrong with it. Members that are not known are refused.
struct ComputeInput: Sendable {
  let object: JSONObject

  init(_ object: JSONObject) { self.object = object }
  /// `{"server": {…}}`.
  init(_ request: APIRequest, _ member: String, besides others: Set<String> = []) async throws {
    try self.init(await request.object(), member, besides: others)
  }
  init(_ body: JSONObject, _ member: String, besides others: Set<String> = []) throws {
    for key in body.keys where key != member && !others.contains(key) { throw Self.unexpected(key) }
    guard let object = body[member]?.object else {
      throw APIError.badRequest("'\(member)' is a required property")
    }
    self.object = object
  }

  static func unexpected(_ key: String) -> APIError {
    .badRequest("Additional properties are not allowed ('\(key.prefix(80))' was unexpected)")
  }
  /// - Parameter known: what this request may hold.
  func allow(_ known: Set<String>) throws {
    for key in object.keys where !known.contains(key) { throw Self.unexpected(key) }
  }
  func wrong(_ name: String, _ value: JSON, _ why: String) -> APIError {
    .badRequest("Invalid input for field/attribute \(name). Value: \(value.description.prefix(120)). \(why)")
  }
  func has(_ name: String) -> Bool { object[name] != nil }
  /// Null and absent are nil.
  func value(_ name: String) -> JSON? {
    guard let value = object[name], !value.isNull else { return nil }
    return value
  }

  /// Text without control characters.
  func text(_ name: String, _ lengths: ClosedRange<Int> = 0...255) throws -> String? {
    guard let value = value(name) else { return nil }
    guard let text = value.string else { throw wrong(name, value, "\(value) is not of type 'string'") }
    guard text.unicodeScalars.count >= lengths.lowerBound else { throw wrong(name, value, "'\(text)' is too short") }
    guard text.unicodeScalars.count <= lengths.upperBound else { throw wrong(name, value, "it is too long") }
    guard
      text.unicodeScalars.allSatisfy({ $0.value >= 32 && $0.value != 127 || $0 == "\n" || $0 == "\t" || $0 == "\r" })
    else { throw wrong(name, value, "it contains control characters") }
    return text
  }
  /// A name: not empty, and no white space at its ends; that of old clients is cut off instead.
  func name(_ name: String = "name", isStrict: Bool = true) throws -> String? {
    guard let text = try text(name, 1...255) else { return nil }
    var trimmed = text[...]
    while trimmed.first?.isWhitespace == true { trimmed.removeFirst() }
    while trimmed.last?.isWhitespace == true { trimmed.removeLast() }
    guard !trimmed.isEmpty, !isStrict || trimmed.count == text.count, !text.contains(where: \.isNewline) else {
      throw wrong(name, .string(text), "a name is not empty and has no white space at its ends")
    }
    return String(trimmed)
  }
  func required(_ name: String, _ lengths: ClosedRange<Int> = 1...255) throws -> String {
    guard let text = try text(name, lengths) else { throw APIError.badRequest("'\(name)' is a required property") }
    return text
  }
  /// A number, or its digits.
  func int(_ name: String, _ range: ClosedRange<Int>) throws -> Int? {
    guard let value = value(name) else { return nil }
    var number = value.int
    if let text = value.string, !text.isEmpty, text.utf8.allSatisfy({ $0 == 0x2d || (0x30...0x39).contains($0) }) {
      number = Int(text)
    }
    guard let number else { throw wrong(name, value, "\(value) is not of type 'integer'") }
    guard range.contains(number) else {
      throw wrong(name, value, "it is not in the range \(range.lowerBound) to \(range.upperBound)")
    }
    return number
  }
  func bool(_ name: String) throws -> Bool? {
    guard let value = value(name) else { return nil }
    switch value {
    case .bool(let flag): return flag
    case .int(0): return false
    case .int(1): return true
    case .string(let text):
      switch text.lowercased() {
      case "true", "1", "on", "yes", "y", "t": return true
      case "false", "0", "off", "no", "n", "f": return false
      default: throw wrong(name, value, "it is not a flag")
      }
    default: throw wrong(name, value, "it is not a flag")
    }
  }
  func objects(_ name: String, most: Int = 100) throws -> [JSONObject]? {
    guard let value = value(name) else { return nil }
    guard let items = value.array, items.allSatisfy({ $0.object != nil }) else {
      throw wrong(name, value, "it is not a list of objects")
    }
    guard items.count <= most else { throw wrong(name, .int(items.count), "there are more than \(most)") }
    return items.compactMap(\.object)
  }
  func uuid(_ name: String) throws -> String? {
    guard let text = try text(name) else { return nil }
    guard let id = ComputeInput.uuid(text) else { throw wrong(name, .string(text), "'\(text)' is not a 'uuid'") }
    return id
  }
  /// Lower case and with dashes; nil for what is none.
  static func uuid(_ text: String) -> String? {
    let digits = text.lowercased().filter { $0 != "-" }
    guard digits.count == 32, digits.utf8.allSatisfy({ (0x30...0x39).contains($0) || (0x61...0x66).contains($0) })
    else {
      return nil
    }
    let all = Array(digits)
    return [0..<8, 8..<12, 12..<16, 16..<20, 20..<32].map { String(all[$0]) }.joined(separator: "-")
  }

  /// Texts by their names, as metadata is: names of 1 to 255 characters out of `[a-zA-Z0-9-_:. ]`, values of up to 255.
  static func metadata(_ value: JSON?, _ field: String = "metadata", most: Int) throws -> JSONObject {
    guard let value, let object = value.object else {
      throw APIError.badRequest("Invalid input for field/attribute \(field): an object of texts is expected.")
    }
    guard most < 0 || object.count <= most else {
      throw APIError(.forbidden, "Maximum number of metadata items exceeds \(most)")
    }
    for member in object {
      guard isMetadataKey(member.key) else {
        throw APIError.badRequest(
          "Invalid input for field/attribute \(field): '\(member.key.prefix(80))' is no name: 1 to 255 letters, digits, '-', '_', ':', '.' and spaces."
        )
      }
      guard let text = member.value.string else {
        throw APIError.badRequest("Invalid input for field/attribute \(member.key): a text is expected.")
      }
      guard text.unicodeScalars.count <= 255 else {
        throw APIError.badRequest("Invalid input for field/attribute \(member.key): the text is too long (255).")
      }
    }
    return object
  }
  static func isMetadataKey(_ text: String) -> Bool {
    (1...255).contains(text.utf8.count)
      && text.utf8.allSatisfy { byte in
        switch byte {
        case 48...57, 65...90, 97...122, 0x2d, 0x5f, 0x3a, 0x2e, 0x20: true
        default: false
        }
      }
  }
}
