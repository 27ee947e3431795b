import APISupport
import Domain
import Wire

/// The members of a request's `{"project": {…}}`, read with their types checked.
struct Attributes {
  let name: String
  let values: JSONObject

  /// - Throws: 400 in Keystone's words when the body lacks the object.
  init(_ request: APIRequest, _ name: String) async throws {
    let body = try await request.object()
    guard let values = body[name]?.object else {
      throw APIError.badRequest(
        "Expecting to find \(name) in request body. The server could not comply with the request since it is either "
          + "malformed or otherwise incorrect. The client is assumed to be in error.")
    }
    self.init(name, values)
  }
  init(_ name: String, _ values: JSONObject) {
    self.name = name
    self.values = values
  }

  func invalid(_ key: String, _ problem: String) -> APIError {
    .badRequest("Invalid input for field '\(key)': \(problem)")
  }
  /// Nil when absent; `.some(nil)` when it is null.
  func optionalText(_ key: String, limit: Int = 65_535) throws -> String?? {
    switch values[key] {
    case nil: return nil
    case .null?: return .some(nil)
    case .string(let text)?:
      guard text.utf8.count <= limit else { throw invalid(key, "it is longer than \(limit) bytes") }
      return .some(text)
    default: throw invalid(key, "a string is expected")
    }
  }
  func text(_ key: String, limit: Int = 65_535) throws -> String? {
    guard let value = try optionalText(key, limit: limit) else { return nil }
    return value
  }
  func requiredText(_ key: String, limit: Int = 255) throws -> String {
    guard let value = try text(key, limit: limit) else {
      throw APIError.badRequest("'\(key)' is a required property")
    }
    return value
  }
  /// A name: neither blank nor longer than `limit`, without control characters.
  func entityName(_ key: String = "name", limit: Int = 255) throws -> String? {
    guard let value = values[key] else { return nil }
    guard case .string(let text) = value else { throw invalid(key, "a string is expected") }
    let isBlank = text.allSatisfy { $0 == " " || $0 == "\t" }
    guard !isBlank, text.count <= limit, !text.unicodeScalars.contains(where: { $0.value < 32 || $0.value == 127 })
    else {
      throw invalid(key, "1 to \(limit) visible characters are expected")
    }
    return text
  }
  func requiredName(_ key: String = "name", limit: Int = 255) throws -> String {
    guard let value = try entityName(key, limit: limit) else {
      throw APIError.badRequest("'\(key)' is a required property")
    }
    return value
  }
  func flag(_ key: String) throws -> Bool? {
    switch values[key] {
    case nil: return nil
    case .bool(let flag)?: return flag
    default: throw invalid(key, "true or false is expected")
    }
  }
  func int(_ key: String, in range: ClosedRange<Int>) throws -> Int? {
    switch values[key] {
    case nil: return nil
    case .int(let number)? where range.contains(number): return number
    default: throw invalid(key, "a whole number from \(range.lowerBound) to \(range.upperBound) is expected")
    }
  }
  func strings(_ key: String) throws -> [String]? {
    guard let value = values[key] else { return nil }
    guard let items = value.array, items.allSatisfy({ $0.string != nil }) else {
      throw invalid(key, "a list of strings is expected")
    }
    return items.compactMap(\.string)
  }
  /// Flags of the resource; null takes one away. What is not known is refused.
  func mergeOptions(into options: inout JSONObject, known: Set<String>) throws {
    guard let value = values["options"] else { return }
    guard let given = value.object else { throw invalid("options", "an object is expected") }
    for option in given {
      guard known.contains(option.key) else {
        throw invalid("options", "'\(option.key)' is not offered; there are \(known.sorted().joined(separator: ", "))")
      }
      guard option.value.isNull || option.value.bool != nil else {
        throw invalid("options", "'\(option.key)' must be true, false or null")
      }
      set(option, in: &options)
    }
  }
  /// A null takes the member away; `nil` itself would be a JSON null.
  private func set(_ member: JSONObject.Member, in object: inout JSONObject) {
    let value: JSON? = member.value.isNull ? .none : .some(member.value)
    object[member.key] = value
  }
  /// What is none of `known` goes to the noun's extra attributes; a null takes one away.
  func merge(into extra: inout JSONObject, except known: Set<String>) throws {
    for member in values where !known.contains(member.key) {
      set(member, in: &extra)
    }
    guard JSON.object(extra).description.utf8.count <= 16_384 else {
      throw APIError.badRequest("The extra attributes are larger than 16 KiB.")
    }
  }
  /// - Throws: 403 when the thing is immutable and the change is anything but making it mutable.
  func refuseForImmutable(_ isImmutable: Bool, _ type: String, _ id: String) throws {
    guard isImmutable else { return }
    let option = values["options"]?.object?["immutable"]
    guard values.count == 1, let option, option.isNull || option.bool == false else {
      throw APIError.forbidden(
        "Unable to update immutable \(type) resource: `\(id). Set resource option \"immutable\" to false first.")
    }
  }
}

/// - Throws: 403 when the thing is immutable.
func refuseToDelete(_ isImmutable: Bool, _ type: String, _ id: String) throws {
  guard !isImmutable else {
    throw APIError.forbidden(
      "Unable to delete immutable \(type) resource: `\(id). Set resource option \"immutable\" to false first.")
  }
}
