import APISupport
import Domain
import Wire

/// The attributes that a client sends for one resource, with Neutron's sentences for what is wrong with them.
struct AttributeReader: Sendable {
  let object: JSONObject

  /// `{"network": {…}}`, or `{"networks": [{…}, …]}` for making several in one transaction.
  static func bodies(_ request: APIRequest, _ singular: String, _ plural: String) async throws -> (
    items: [AttributeReader], isBulk: Bool
  ) {
    let body = try await request.object()
    if let items = body[plural] {
      let objects = (items.array ?? []).compactMap(\.object)
      guard !objects.isEmpty, objects.count == items.array?.count else {
        throw APIError.badRequest("'\(plural)' must be a list of objects, at least one.")
      }
      guard objects.count <= 500 else { throw APIError.badRequest("At most 500 \(plural) in one request.") }
      // Upstream also takes each of them in a wrapper of its own: {"networks": [{"network": {…}}, …]}.
      return (objects.map { AttributeReader(object: $0[singular]?.object ?? $0) }, true)
    }
    return ([try one(body, singular)], false)
  }
  static func body(_ request: APIRequest, _ singular: String) async throws -> AttributeReader {
    try one(try await request.object(), singular)
  }
  private static func one(_ body: JSONObject, _ singular: String) throws -> AttributeReader {
    guard let object = body[singular]?.object else {
      throw APIError.badRequest("Unable to find '\(singular)' in request body")
    }
    return AttributeReader(object: object)
  }

  /// - Parameters:
  ///   - allowed: what this request may hold.
  ///   - known: attributes that exist and are not the client's to set now.
  func check(allowed: Set<String>, known: Set<String>, verb: String) throws {
    for key in object.keys where !allowed.contains(key) {
      if known.contains(key) { throw APIError.badRequest("Attribute '\(key)' not allowed in \(verb)") }
      throw APIError.badRequest("Unrecognized attribute(s) '\(key)'")
    }
  }

  func has(_ name: String) -> Bool { object[name] != nil }
  func isEmptyDictionary(_ name: String) -> Bool { object[name]?.object?.isEmpty == true }
  private func value(_ name: String) -> JSON? {
    guard let value = object[name], !value.isNull else { return nil }
    return value
  }

  /// Text without control characters; null and absent are nil.
  func text(_ name: String, limit: Int = 255) throws -> String? {
    guard let value = value(name) else { return nil }
    guard let text = value.string else { throw wrong(name, value, "is not a valid string") }
    guard text.unicodeScalars.count <= limit else {
      throw wrong(name, value, "exceeds maximum length of \(limit)")
    }
    guard text.unicodeScalars.allSatisfy({ $0.value >= 32 && $0.value != 127 || $0 == "\n" || $0 == "\t" }) else {
      throw wrong(name, value, "contains control characters")
    }
    return text
  }
  func bool(_ name: String) throws -> Bool? {
    guard let value = value(name) else { return nil }
    switch value {
    case .bool(let flag): return flag
    case .int(0): return false
    case .int(1): return true
    case .string(let text) where text.lowercased() == "true": return true
    case .string(let text) where text.lowercased() == "false": return false
    default: throw wrong(name, value, "cannot be converted to boolean")
    }
  }
  func int(_ name: String, _ range: ClosedRange<Int>) throws -> Int? {
    guard let value = value(name) else { return nil }
    guard let number = value.lenientInt else { throw wrong(name, value, "is not an integer") }
    guard range.contains(number) else {
      throw wrong(name, value, "is not in the range \(range.lowerBound) to \(range.upperBound)")
    }
    return number
  }
  /// A list of texts; null and absent are nil.
  func strings(_ name: String, most: Int = 64) throws -> [String]? {
    guard let value = value(name) else { return nil }
    guard let items = value.array, items.count <= most else {
      throw wrong(name, value, "is not a list of at most \(most)")
    }
    return try items.map { item in
      guard let text = item.string, text.utf8.count <= 255 else { throw wrong(name, item, "is not a valid string") }
      return text
    }
  }
  func objects(_ name: String, most: Int = 64) throws -> [JSONObject]? {
    guard let value = value(name) else { return nil }
    guard let items = value.array, items.count <= most else {
      throw wrong(name, value, "is not a list of at most \(most)")
    }
    return try items.map { item in
      guard let object = item.object else { throw wrong(name, item, "is not a dictionary") }
      return object
    }
  }
  func tags() throws -> [String]? {
    guard let tags = try strings("tags", most: 50) else { return nil }
    try Self.checkTags(tags)
    return tags
  }
  static func checkTags(_ tags: [String]) throws {
    for tag in tags where tag.isEmpty || tag.utf8.count > 255 || tag.contains(where: { $0 == "," || $0 == "/" }) {
      throw APIError.invalid("'\(tag.prefix(60))' is not a tag: 1 to 255 bytes, without ',' and '/'.")
    }
  }

  /// The project that the new resource belongs to: the caller's, or one that the administrator names.
  func project(_ actor: Actor, rule: String) throws -> String {
    let named = try text("project_id") ?? text("tenant_id")
    if let named, !named.isEmpty, named != actor.projectID {
      guard actor.isSiteAdmin else {
        throw APIError.badRequest(
          "Specifying 'project_id' or 'tenant_id' other than the authenticated project in request requires admin privileges"
        )
      }
      return named
    }
    guard let own = actor.projectID else {
      throw APIError.badRequest("The token has no project: name one as project_id.")
    }
    return own
  }

  private func wrong(_ name: String, _ value: JSON, _ why: String) -> APIError {
    APIError(
      .badRequest, "Invalid input for \(name). Reason: '\(value.description.prefix(100))' \(why).",
      type: "HTTPBadRequest")
  }
}
