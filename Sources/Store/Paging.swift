import Domain

/// What a list can be ordered by: the word of the API, and what is behind it in SQL.
public protocol SortKey: RawRepresentable<String>, CaseIterable, Sendable {
  /// Never NULL, so that a marker has one place in the order.
  var sql: StaticString { get }
}

/// In which order a list comes, where its page begins, and how long that is.
public struct Paging<Key: SortKey>: Sendable {
  public var key: Key
  public var isDescending: Bool
  /// The UUID of the last item of the page before.
  public var marker: String?
  /// Where a page ended whose last item may be gone by now; in the place of a marker.
  public var end: PageEnd?
  public var limit: Int?

  public init(by key: Key, isDescending: Bool = false, marker: String? = nil, limit: Int? = nil) {
    self.key = key
    self.isDescending = isDescending
    self.marker = marker
    self.limit = limit
  }
}

/// What an item was sorted by, and its UUID.
public struct PageEnd: Sendable {
  let value: Value
  let uuid: String
}

extension Query {
  /// Narrows to what comes after the marker, and orders; the UUID decides between equals. Belongs at the end, after `WHERE …`.
  mutating func append<Key: SortKey>(_ paging: Paging<Key>, of table: StaticString) {
    if let end = paging.end {
      append("AND (")
      append(paging.key.sql)
      append(", uuid)")
      append(paging.isDescending ? "< (?, ?)" as StaticString : "> (?, ?)", end.value, .text(end.uuid))
    } else if let marker = paging.marker {
      append("AND (")
      append(paging.key.sql)
      append(", uuid)")
      append(paging.isDescending ? "<" as StaticString : ">")
      append("(SELECT")
      append(paging.key.sql)
      append(", uuid FROM")
      append(table)
      append("WHERE uuid = ?)", .text(marker))
    }
    append("ORDER BY")
    append(paging.key.sql)
    append(paging.isDescending ? "DESC, uuid DESC" as StaticString : ", uuid")
    if let limit = paging.limit { append("LIMIT ?", .int(limit)) }
  }

  /// Narrows what belongs to nodes (`node_uuid`) to the nodes that the caller sees.
  mutating func append(partsOfNodesIn scope: NodePolicy.Scope) {
    switch scope {
    case .everything: break
    case .project(let id):
      append("AND node_uuid IN (SELECT uuid FROM nodes WHERE owner = ? OR lessee = ?)", .text(id), .text(id))
    case .nothing: append("AND 1 = 0")
    }
  }
  /// Narrows what belongs to nodes (`node_uuid`) to the nodes of these shards.
  mutating func append(partsOfShards shards: [String]?) {
    guard let shards else { return }
    appendIn("AND node_uuid IN (SELECT uuid FROM nodes WHERE shard IN", shards.map { .text($0) })
    append(")")
  }
}
