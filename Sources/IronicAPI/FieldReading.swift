import APISupport
import Wire

/// Reads members of a body with their types; the messages name the member.
enum FieldReading {
  static func text(_ json: JSON?, _ name: String, max length: Int = 255) throws -> String? {
    guard let json, !json.isNull else { return nil }
    guard let text = json.string else { throw APIError.badRequest("\(name) must be a string.") }
    guard text.utf8.count <= length else { throw APIError.badRequest("\(name) is longer than \(length) characters.") }
    return text
  }
  /// A text that must be there: printable, up to 255 bytes.
  static func word(_ json: JSON?, _ name: String) throws -> String {
    guard let word = try text(json, name), !word.isEmpty else {
      throw APIError.badRequest("'\(name)' is a mandatory attribute and must be a text.")
    }
    guard word.unicodeScalars.allSatisfy({ $0.value >= 32 && $0.value != 127 }) else {
      throw APIError.badRequest("\(name) must be of printable characters.")
    }
    return word
  }
  /// A boolean, or a string that spells one: command lines send both.
  static func flag(_ json: JSON?, _ name: String) throws -> Bool? {
    switch json {
    case nil, .null?: return nil
    case .bool(let flag)?: return flag
    case .string(let word)?:
      switch word.lowercased() {
      case "true", "1", "yes", "on", "t", "y": return true
      case "false", "0", "no", "off", "f", "n": return false
      default: break
      }
    default: break
    }
    throw APIError.badRequest("\(name) must be true or false.")
  }
  static func uuid(_ json: JSON?, _ name: String) throws -> String? {
    guard let text = try text(json, name) else { return nil }
    guard Identifier.isUUID(text) else { throw APIError.badRequest("Expected UUID for \(name): \(text).") }
    return text.lowercased()
  }
  /// Free-form documents are kept small: they go into every answer about their object.
  static let documentLimit = 64 << 10
  static func document(_ json: JSON?, _ name: String) throws -> JSONObject {
    guard let json, !json.isNull else { return [:] }
    guard let object = json.object else { throw APIError.badRequest("\(name) must be an object.") }
    guard json.description.utf8.count <= documentLimit else {
      throw APIError.badRequest("\(name) is larger than \(documentLimit >> 10) KiB.")
    }
    return object
  }
  /// A logical name: RFC 3986 unreserved characters, no UUID, none of the words that mean a path.
  static func name(_ json: JSON?, of what: String) throws -> String? {
    guard let name = try text(json, "name"), !name.isEmpty else { return nil }
    guard isName(name), !Identifier.isUUID(name),
      !["detail", "validate", "maintenance", "management", "states"].contains(name)
    else {
      throw APIError.badRequest(
        "Cannot use '\(name.prefix(80))' as the name of a \(what): letters, digits, '-', '.', '_' and '~' make one.")
    }
    return name
  }
  static func isName(_ text: String) -> Bool {
    !text.isEmpty && text.utf8.count <= 255
      && text.utf8.allSatisfy {
        ($0 >= 48 && $0 <= 57) || ($0 >= 65 && $0 <= 90) || ($0 >= 97 && $0 <= 122) || $0 == 0x2d || $0 == 0x2e
          || $0 == 0x5f || $0 == 0x7e
      }
  }
  /// - Throws: 400 naming the members that are not in `known`: nobody sets `reservation` by guessing.
  static func refuseOthers(_ object: JSONObject, than known: Set<String>, _ what: String) throws {
    let others = object.keys.filter { !known.contains($0) }
    guard others.isEmpty else {
      throw APIError.badRequest(
        "Additional properties are not allowed: \(others.prefix(5).map { "'\($0.prefix(40))'" }.joined(separator: ", ")) cannot be set on a \(what)."
      )
    }
  }
}
