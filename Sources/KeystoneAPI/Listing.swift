import APISupport
import Wire

/// A collection with its links. Source: Identity API reference v3, "Pagination".
/// - Parameters:
///   - items: those after the marker when there is a `page`, and one more than its limit if there are more; all otherwise.
/// - Throws: 400 for a limit that is none.
func listing(_ collection: String, _ items: [JSON], _ request: APIRequest, page: ListPage? = nil) throws -> APIResponse
{
  var body: JSONObject = [:]
  var shown = items[...]
  var next: String?
  let wanted = try page ?? ListPage(request)
  if page == nil, let marker = wanted.marker {
    let place = shown.firstIndex { $0["id"]?.string == marker }
    shown = place.map { shown[($0 + 1)...] } ?? []
  }
  if let limit = wanted.limit, shown.count > limit {
    shown = shown.prefix(limit)
    next = wanted.next(request, after: shown.last?["id"]?.string ?? "")
    body["truncated"] = true
  }
  body[collection] = .array(Array(shown))
  body["links"] = ["next": JSON(next), "self": .string(fullURL(request)), "previous": nil]
  return APIResponse(json: .object(body))
}
/// The request's own address, for links.
func fullURL(_ request: APIRequest) -> String {
  let query = request.query.map { "\(percentEncoded($0.name))=\(percentEncoded($0.value))" }.joined(separator: "&")
  return request.serviceURL + request.path + (query.isEmpty ? "" : "?" + query)
}

/// The part of a list that is asked for: `limit` items after `marker`.
struct ListPage: Sendable {
  /// Nil for all that follow.
  let limit: Int?
  let marker: String?

  /// - Throws: 400.
  init(_ request: APIRequest) throws {
    marker = request.query["marker"].flatMap { $0.isEmpty ? nil : $0 }
    let limit = try request.query.int("limit")
    if let limit, limit < 0 {
      throw APIError.badRequest("Invalid value '\(limit)' for limit: a positive number is expected.")
    }
    self.limit = limit == 0 ? nil : limit
  }
  func next(_ request: APIRequest, after id: String) -> String {
    let others = request.query.filter { $0.name != "marker" }
    let query =
      others.map { "\(percentEncoded($0.name))=\(percentEncoded($0.value))" } + ["marker=\(percentEncoded(id))"]
    return request.serviceURL + request.path + "?" + query.joined(separator: "&")
  }
}

/// The filters of a list: `attribute=value`, and for text `attribute__contains`, `__startswith`, `__endswith`, each also
/// with a leading `i` for either case. Source: Identity API reference v3, "Query by attribute".
///
/// What is no filter of the list is refused: one that is not applied would show too much.
struct ListFilter: Sendable {
  private struct Test {
    var attribute: String
    /// Empty for equality.
    var comparison: String
    var value: String
  }
  private var tests: [Test] = []
  private static let comparisons: Set<String> = [
    "contains", "startswith", "endswith", "icontains", "istartswith", "iendswith",
  ]

  /// - Parameters:
  ///   - attributes: those that filter.
  ///   - others: parameters that the list reads by itself.
  /// - Throws: 400.
  init(_ request: APIRequest, _ attributes: Set<String>, others: Set<String> = []) throws {
    for (name, value) in request.query where name != "limit" && name != "marker" && !others.contains(name) {
      if attributes.contains(name) {
        tests.append(Test(attribute: name, comparison: "", value: value))
        continue
      }
      let parts = name.split(separator: "_", omittingEmptySubsequences: false)
      let attribute = parts.dropLast(2).joined(separator: "_")
      guard parts.count > 2, let last = parts.last, parts[parts.count - 2].isEmpty, attributes.contains(attribute),
        Self.comparisons.contains(String(last))
      else {
        let known = attributes.union(others).union(["limit", "marker"]).sorted().joined(separator: ", ")
        throw APIError.badRequest("The list has no filter '\(name)'; there are \(known).")
      }
      tests.append(Test(attribute: attribute, comparison: String(last), value: value))
    }
  }

  /// The value that an attribute must have; the store narrows by it.
  func exact(_ attribute: String) -> String? {
    tests.first { $0.attribute == attribute && $0.comparison.isEmpty }?.value
  }
  /// A flag that an attribute must have; without a value it must be set.
  func flag(_ attribute: String) throws -> Bool? {
    guard let text = exact(attribute) else { return nil }
    switch text.lowercased() {
    case "", "true", "1", "t", "yes", "y", "on": return true
    case "false", "0", "f", "no", "n", "off": return false
    default: throw APIError.badRequest("Invalid value '\(text)' for \(attribute): true or false is expected.")
    }
  }
  /// Whether there is more than the store can narrow by.
  var needsLook: Bool { tests.contains { !$0.comparison.isEmpty } }

  /// Whether all tests of text hold that the store does not look at.
  func admits(_ value: (String) -> String?) -> Bool {
    tests.allSatisfy { $0.comparison.isEmpty || compare(value($0.attribute) ?? "", $0.comparison, $0.value) }
  }
  /// Whether all tests hold: for what was read without a filter.
  func admits(_ item: JSON) -> Bool {
    tests.allSatisfy { test in
      switch item[test.attribute] {
      case .bool(let flag)?: flag == !["false", "0", "no", "off", "f", "n"].contains(test.value.lowercased())
      case .string(let text)?: compare(text, test.comparison, test.value)
      case .null?, nil: test.value.isEmpty || test.value == "None"
      default: false
      }
    }
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
}
