import APISupport
import Domain
import Store
import Wire

/// What every list of this API takes: `limit`, `marker`, `sort_key`, `sort_dir`, `fields`, `detail`.
public struct ListQuery: Sendable {
  /// Upstream's `[api] max_limit`.
  public static let maximum = 1000
  var limit: Int
  var marker: String?
  var sortKey: String?
  var isDescending: Bool
  var fields: [String]?
  var isDetailed: Bool

  private static let common: Set<String> = ["limit", "marker", "sort_key", "sort_dir", "fields", "detail"]

  /// - Parameters:
  ///   - filters: the names that this list filters by; any other is refused, because a filter that is not applied shows too much.
  ///   - isDetailed: the path says so.
  ///   - detailSince: the microversion 1.N that brought `detail` to this list.
  ///   - maximum: the longest page.
  init(
    _ request: APIRequest, filters: Set<String>, isDetailed: Bool = false, detailSince: Int = 43,
    maximum: Int = Self.maximum
  ) throws {
    for (name, _) in request.query where !Self.common.contains(name) && !filters.contains(name) {
      throw APIError.badRequest("Unknown argument: \"\(name)\"")
    }
    let asked = try request.query.int("limit") ?? 0
    guard asked >= 0 else { throw APIError.badRequest("Limit must be positive") }
    limit = asked == 0 ? maximum : min(asked, maximum)
    marker = request.query["marker"]
    sortKey = request.query["sort_key"]
    switch request.query["sort_dir"] ?? "asc" {
    case "asc": isDescending = false
    case "desc": isDescending = true
    case let other: throw APIError.badRequest("Invalid sort direction: \(other). Acceptable values are 'asc' or 'desc'")
    }
    fields = request.query["fields"].map { $0.split(separator: ",").map { String($0) } }
    if fields?.isEmpty == true { fields = nil }
    if fields != nil { try Microversion(request.headers).require(8, "a subset of fields") }
    let detail = try request.query.bool("detail") ?? false
    if let word = request.query["detail"], try Microversion(request.headers).minor < detailSince {
      throw APIError.badRequest("Invalid query parameter ?detail=\(word) received: it came with 1.\(detailSince).")
    }
    if detail || isDetailed, fields != nil {
      throw APIError.badRequest("Can't fetch a subset of fields with 'detail' set")
    }
    self.isDetailed = isDetailed || detail
  }

  /// The sort key as one of a closed set.
  func key<Key: RawRepresentable>(_ fallback: Key) throws -> Key where Key.RawValue == String {
    guard let sortKey, sortKey != "id" else { return fallback }
    guard let key = Key(rawValue: sortKey) else {
      throw APIError.badRequest("The sort_key value \"\(sortKey)\" is an invalid field for sorting")
    }
    return key
  }

  /// Order, marker and length for the store: one item more than the page, so that the last page is known.
  func paging<Key: SortKey>(_ fallback: Key) throws -> Paging<Key> {
    Paging(by: try key(fallback), isDescending: isDescending, marker: marker?.lowercased(), limit: limit + 1)
  }

  /// The link to the page after the one that ends with `last`: the same request from there on.
  func next(_ request: APIRequest, after last: String) -> String {
    var query = "limit=\(limit)&marker=\(percentEncoded(last))"
    for (name, value) in request.query where name != "limit" && name != "marker" {
      query += "&\(percentEncoded(name))=\(percentEncoded(value))"
    }
    return "\(request.serviceURL)\(request.path)?\(query)"
  }

  /// The answer when the filters contradict each other.
  func nothing(_ request: APIRequest, _ name: StaticString) -> APIResponse {
    answer(request, name, [String](), id: { $0 }) { _, _ in }
  }

  /// Writes `items` as a collection with its `next` link. One more than the page is looked for, so that the last page has none.
  func answer<Item>(
    _ request: APIRequest, _ name: StaticString, _ items: [Item], id: (Item) -> String,
    write: (Item, inout JSONWriter) -> Void
  ) -> APIResponse {
    var writer = JSONWriter(capacity: 512 + items.count * 512)
    writer.beginObject()
    writer.key(name)
    writer.beginArray()
    for item in items.prefix(limit) { write(item, &writer) }
    writer.endArray()
    if items.count > limit { writer.member("next", next(request, after: id(items[limit - 1]))) }
    writer.endObject()
    return APIResponse(.ok, writer)
  }
}
