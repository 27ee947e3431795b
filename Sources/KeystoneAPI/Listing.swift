import APISupport
import Wire

/// A collection with its links. Source: Identity API reference v3, "Pagination" (never more than one page).
func listing(_ collection: String, _ items: [JSON], _ request: APIRequest, limit: Int? = nil) -> APIResponse {
  var body: JSONObject = [:]
  var shown = items
  if let limit, limit > 0, items.count > limit {
    shown = Array(items.prefix(limit))
    body["truncated"] = true
  }
  body[collection] = .array(shown)
  var url = request.serviceURL + request.path
  let query = request.query.map { "\(percentEncoded($0.name))=\(percentEncoded($0.value))" }.joined(separator: "&")
  if !query.isEmpty { url += "?" + query }
  body["links"] = ["next": nil, "self": .string(url), "previous": nil]
  return APIResponse(json: .object(body))
}

/// Keeps the items that match the query's filters: `attribute=value`, and `attribute__contains`, `__startswith`,
/// `__endswith`, each also with a leading `i` for either case. Source: Identity API reference v3, "Query by attribute".
/// - Parameter attributes: those that filter; other parameters do not.
func matching(_ items: [JSON], _ request: APIRequest, _ attributes: Set<String>) -> [JSON] {
  var tests: [(JSON) -> Bool] = []
  for (name, value) in request.query {
    let parts = name.split(separator: "_", omittingEmptySubsequences: false)
    var attribute = name
    var comparison = ""
    if parts.count > 2, let last = parts.last, parts[parts.count - 2].isEmpty {
      attribute = parts.dropLast(2).joined(separator: "_")
      comparison = String(last)
    }
    guard attributes.contains(attribute) else { continue }
    tests.append { item in
      switch item[attribute] {
      case .bool(let flag)?: return flag == !["false", "0", "no", "off", "f", "n"].contains(value.lowercased())
      case .string(let text)?: return compare(text, comparison, value)
      case .null?, nil: return value.isEmpty || value == "None"
      default: return false
      }
    }
  }
  return tests.isEmpty ? items : items.filter { item in tests.allSatisfy { $0(item) } }
}
private func compare(_ text: String, _ comparison: String, _ value: String) -> Bool {
  switch comparison {
  case "": text == value
  case "contains": text.contains(value)
  case "startswith": text.hasPrefix(value)
  case "endswith": text.hasSuffix(value)
  case "icontains": text.lowercased().contains(value.lowercased())
  case "istartswith": text.lowercased().hasPrefix(value.lowercased())
  case "iendswith": text.lowercased().hasSuffix(value.lowercased())
  default: false
  }
}

private func percentEncoded(_ text: String) -> String {
  var out = ""
  for byte in text.utf8 {
    switch byte {
    case 48...57, 65...90, 97...122, 45, 46, 95, 126: out.unicodeScalars.append(Unicode.Scalar(byte))
    default: out += "%" + (byte < 16 ? "0" : "") + String(byte, radix: 16, uppercase: true)
    }
  }
  return out
}

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
    self.name = name
    self.values = values
  }

  private func invalid(_ key: String, _ problem: String) -> APIError {
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
  /// A name: neither blank nor longer than `limit`, without control characters.
  func entityName(limit: Int = 255) throws -> String? {
    guard let value = values["name"] else { return nil }
    guard case .string(let text) = value else { throw invalid("name", "a string is expected") }
    let isBlank = text.allSatisfy { $0 == " " || $0 == "\t" }
    guard !isBlank, text.count <= limit, !text.unicodeScalars.contains(where: { $0.value < 32 || $0.value == 127 })
    else {
      throw invalid("name", "1 to \(limit) visible characters are expected")
    }
    return text
  }
  func requiredName(limit: Int = 255) throws -> String {
    guard let value = try entityName(limit: limit) else { throw APIError.badRequest("'name' is a required property") }
    return value
  }
  func flag(_ key: String) throws -> Bool? {
    switch values[key] {
    case nil: return nil
    case .bool(let flag)?: return flag
    default: throw invalid(key, "true or false is expected")
    }
  }
  func strings(_ key: String) throws -> [String]? {
    guard let value = values[key] else { return nil }
    guard let items = value.array, items.allSatisfy({ $0.string != nil }) else {
      throw invalid(key, "a list of strings is expected")
    }
    return items.compactMap(\.string)
  }
  /// What is none of `known` goes to the noun's extra attributes; a null takes one away.
  func merge(into extra: inout JSONObject, except known: Set<String>) throws {
    for member in values where !known.contains(member.key) {
      extra[member.key] = member.value.isNull ? nil : member.value
    }
    guard JSON.object(extra).description.utf8.count <= 16_384 else {
      throw APIError.badRequest("The extra attributes are larger than 16 KiB.")
    }
  }
}
