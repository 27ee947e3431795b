import APISupport
import Domain
import Wire

/// `limit` and `marker` of a list that is ordered already.
struct Page: Sendable {
  let limit: Int?
  let marker: String?
  /// As Nova's `max_limit`.
  static let most = 1000

  init(_ query: QueryParameters) throws {
    if let text = query["limit"] {
      guard let number = Int(text), number >= 0, text.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else {
        throw APIError.badRequest("Invalid input for query parameters limit. Value: \(text.prefix(40)).")
      }
      limit = min(number, Self.most)
    } else {
      limit = nil
    }
    marker = query["marker"].flatMap { $0.isEmpty ? nil : $0 }
  }

  /// - Throws: 400 for a marker that is not in the list.
  func cut<Item>(_ items: [Item], id: (Item) -> String) throws -> (page: [Item], hasMore: Bool) {
    var rest = items[...]
    if let marker {
      guard let index = items.firstIndex(where: { id($0) == marker }) else {
        throw APIError.badRequest("marker [\(marker.prefix(80))] not found")
      }
      rest = items[(index + 1)...]
    }
    let most = limit ?? Self.most
    return (Array(rest.prefix(most)), rest.count > most)
  }

  /// The link to the page after the one that ends with `last`.
  static func next(_ request: APIRequest, after last: String) -> JSON {
    let kept = request.query.items.filter { $0.name != "marker" } + [(name: "marker", value: last)]
    let text = kept.map { "\(percentEncoded($0.name))=\(percentEncoded($0.value))" }.joined(separator: "&")
    return [["rel": "next", "href": .string("\(request.serviceURL)\(request.path)?\(text)")]]
  }
}
