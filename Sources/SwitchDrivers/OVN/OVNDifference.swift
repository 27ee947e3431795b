import Wire

/// What must be changed so that a northbound database holds the wanted rows: the operations of one transaction, and the
/// same in words. Decides, and asks nobody.
struct OVNDifference: Sendable, Equatable {
  private(set) var operations: [JSON] = []
  /// For the administrator, in the order of the operations.
  private(set) var sentences: [String] = []
  var isEmpty: Bool { sentences.isEmpty }

  /// - Parameter found: the rows of each table, ours and others', with `_uuid`, `external_ids` and our columns.
  init(wanted: [OVNKey: OVNRow], found: [OVNTable: [JSON]]) {
    // Ours by key; a second row under a key is one too many.
    var ours: [OVNKey: (id: String, row: JSON)] = [:]
    var keys: [String: OVNKey] = [:]
    var surplus: [(key: OVNKey, id: String)] = []
    for table in OVNTable.allCases {
      for row in found[table] ?? [] {
        guard let id = OVSDBValue.id(row["_uuid"]), let name = OVSDBValue.pairs(row["external_ids"])[OVNKey.label]
        else { continue }
        let key = OVNKey(table, name)
        if wanted[key] != nil, ours[key] == nil {
          ours[key] = (id, row)
          keys[id] = key
        } else {
          surplus.append((key, id))
        }
      }
    }
    let surplusIDs = Set(surplus.map(\.id))

    // New rows have a name in the transaction (RFC 7047 section 5.1, <named-uuid>), which others may use before it is made.
    let new = wanted.keys.filter { ours[$0] == nil }.sorted()
    let names = Dictionary(uniqueKeysWithValues: new.enumerated().map { ($1, "row\($0)") })
    func reference(_ key: OVNKey) -> JSON? {
      if let id = ours[key]?.id { return OVSDBValue.uuid(id) }
      return names[key].map { ["named-uuid", .string($0)] }
    }
    for key in new {
      guard let row = wanted[key], let name = names[key] else { continue }
      var values = JSONObject()
      for (column, value) in row.values.sorted(by: { $0.key < $1.key }) { values[column] = value.json(reference) }
      values["external_ids"] = OVSDBValue.map([OVNKey.label: key.name])
      operations.append([
        "op": "insert", "table": .string(key.table.rawValue), "row": .object(values), "uuid-name": .string(name),
      ])
      sentences.append("\(key) is not there")
    }
    for (key, present) in ours.sorted(by: { $0.key < $1.key }) {
      guard let row = wanted[key] else { continue }
      change(key, present.id, from: present.row, to: row, surplusIDs, { keys[$0] }, reference)
    }
    for (key, id) in surplus.sorted(by: { ($0.key, $0.id) < ($1.key, $1.id) }) {
      operations.append(["op": "delete", "table": .string(key.table.rawValue), "where": Self.row(id)])
      sentences.append("\(key) is there and should not")
    }
  }

  private mutating func change(
    _ key: OVNKey, _ id: String, from present: JSON, to row: OVNRow, _ surplus: Set<String>,
    _ keyOf: (String) -> OVNKey?, _ reference: (OVNKey) -> JSON?
  ) {
    var update = JSONObject()
    var mutations: [JSON] = []
    for (column, value) in row.values.sorted(by: { $0.key < $1.key }) {
      guard case .rows(let wanted) = value else {
        if value.matches(present[column], keyOf) { continue }
        update[column] = value.json(reference)
        sentences.append("\(key): \(column) is \(present[column] ?? .null)")
        continue
      }
      let ids = OVSDBValue.ids(present[column])
      let held = Set(ids.compactMap(keyOf))
      // A row that goes must be let go first by whoever holds it, in the same transaction.
      let gone = ids.filter { surplus.contains($0) || keyOf($0).map { !wanted.contains($0) } ?? false }
      if !gone.isEmpty {
        mutations.append([.string(column), "delete", OVSDBValue.set(gone.sorted().map { OVSDBValue.uuid($0) })])
      }
      let missing = wanted.subtracting(held).sorted()
      if !missing.isEmpty {
        mutations.append([.string(column), "insert", OVSDBValue.set(missing.compactMap(reference))])
      }
      if !gone.isEmpty || !missing.isEmpty {
        sentences.append("\(key): \(column) has \(gone.count) too many and lacks \(missing.count)")
      }
    }
    if !update.isEmpty {
      operations.append([
        "op": "update", "table": .string(key.table.rawValue), "where": Self.row(id), "row": .object(update),
      ])
    }
    if !mutations.isEmpty {
      operations.append([
        "op": "mutate", "table": .string(key.table.rawValue), "where": Self.row(id), "mutations": .array(mutations),
      ])
    }
  }

  private static func row(_ id: String) -> JSON { [["_uuid", "==", OVSDBValue.uuid(id)]] }
}
