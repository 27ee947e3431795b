import Domain
import Wire

/// A column of volumes, snapshots or backups that lists are filtered and ordered by.
public enum VolumeColumn: String, Sendable, CaseIterable {
  case id, name, status, size, description
  case createdAt = "created_at"
  case updatedAt = "updated_at"
  case volumeID = "volume_id"
  case projectID = "project_id"
  case userID = "user_id"
  case snapshotID = "snapshot_id"
  case sourceVolumeID = "source_volume_id"
  case typeID = "type_id"
  case bootable = "is_bootable"
  case container

  var sql: StaticString {
    switch self {
    case .id: "id"
    case .name: "name"
    case .status: "status"
    case .size: "size"
    case .description: "description"
    case .createdAt: "created_at"
    case .updatedAt: "updated_at"
    case .volumeID: "volume_id"
    case .projectID: "project_id"
    case .userID: "user_id"
    case .snapshotID: "snapshot_id"
    case .sourceVolumeID: "source_volume_id"
    case .typeID: "type_id"
    case .bootable: "is_bootable"
    case .container: "container"
    }
  }
  /// Never NULL, so that a marker has one place in the order.
  var order: StaticString {
    switch self {
    case .name: "COALESCE(name, '')"
    case .description: "COALESCE(description, '')"
    case .updatedAt: "COALESCE(updated_at, 0)"
    case .snapshotID: "COALESCE(snapshot_id, '')"
    case .sourceVolumeID: "COALESCE(source_volume_id, '')"
    default: sql
    }
  }
}

/// Which volumes, snapshots or backups a list shows, in which order.
public struct VolumeListing: Sendable {
  public enum Test: Sendable {
    case equals(VolumeColumn, [Value])
    case isAbsent(VolumeColumn)
    /// The text is part of the column's, whatever the case of ASCII letters.
    case contains(VolumeColumn, String)
    /// A pair of the metadata.
    case metadata(key: String, value: String)
    /// "<", "<=", ">", ">=", "!=" on a time or number.
    case compares(VolumeColumn, Comparison, Value)
  }
  public enum Comparison: Sendable { case less, lessOrEqual, greater, greaterOrEqual, differs }
  public struct Order: Sendable {
    public var column: VolumeColumn
    public var isDescending: Bool
    public init(_ column: VolumeColumn, isDescending: Bool) {
      self.column = column
      self.isDescending = isDescending
    }
  }
  public var scope: VolumePolicy.Scope
  public var tests: [Test] = []
  public var order: [Order] = [Order(.createdAt, isDescending: true), Order(.id, isDescending: true)]
  /// The id of the last item of the page before.
  public var marker: String?
  public var limit: Int?
  public var offset = 0

  public init(_ scope: VolumePolicy.Scope) { self.scope = scope }

  func narrow(_ query: inout Query) {
    query.append("WHERE 1 = 1")
    switch scope {
    case .everything: break
    case .project(let id): query.append("AND project_id = ?", .text(id))
    case .nothing: query.append("AND 1 = 0")
    }
    for test in tests {
      query.append("AND")
      switch test {
      case .equals(let column, let values):
        query.append(column.sql)
        query.appendIn("IN", values)
      case .isAbsent(let column):
        query.append(column.sql)
        query.append("IS NULL")
      case .contains(let column, let text):
        query.append(column.sql)
        let escaped = text.map { "%_\\".contains($0) ? "\\\($0)" : String($0) }.joined()
        query.append("LIKE ? ESCAPE '\\'", .text("%\(escaped)%"))
      case .metadata(let key, let value):
        // As it is written: a quotation mark inside a text has a backslash before it, so only a whole pair is found.
        let pair = Value.text("\(JSON.string(key)):\(JSON.string(value))")
        query.append("REPLACE(metadata, ?, '') <> metadata", pair)
      case .compares(let column, let comparison, let value):
        query.append(column.sql)
        switch comparison {
        case .less: query.append("< ?", value)
        case .lessOrEqual: query.append("<= ?", value)
        case .greater: query.append("> ?", value)
        case .greaterOrEqual: query.append(">= ?", value)
        case .differs: query.append("<> ?", value)
        }
      }
    }
  }

  /// Belongs at the end. - Parameter table: where the marker is looked up.
  func page(_ query: inout Query, of table: StaticString) {
    var order = order
    if !order.contains(where: { $0.column == .id }) {
      order.append(Order(.id, isDescending: order.last?.isDescending ?? true))
    }
    if let marker {
      // Lexicographic: after the marker in the first key, or equal there and after it in the second, …
      query.append("AND (")
      for index in order.indices {
        if index > 0 { query.append("OR") }
        query.append("(")
        for (place, item) in order[...index].enumerated() {
          if place > 0 { query.append("AND") }
          query.append(item.column.order)
          query.append(place < index ? "=" : item.isDescending ? "<" : ">" as StaticString)
          query.append("(SELECT")
          query.append(item.column.order)
          query.append("FROM")
          query.append(table)
          query.append("WHERE id = ?)", .text(marker))
        }
        query.append(")")
      }
      query.append(")")
    }
    query.append("ORDER BY")
    for (index, item) in order.enumerated() {
      if index > 0 { query.append(",") }
      query.append(item.column.order)
      query.append(item.isDescending ? "DESC" as StaticString : "ASC")
    }
    if limit != nil || offset > 0 { query.append("LIMIT ? OFFSET ?", .int(limit ?? -1), .int(offset)) }
  }
}
