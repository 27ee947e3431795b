import Wire

/// The notation of OVSDB values in JSON (RFC 7047 section 5.1).
enum OVSDBValue {
  static func set(_ items: [JSON]) -> JSON { ["set", .array(items)] }
  static func set(_ numbers: [Int]) -> JSON { set(numbers.map { .int($0) }) }
  static func uuid(_ id: String) -> JSON { ["uuid", .string(id)] }
  static func map(_ pairs: [String: String]) -> JSON {
    ["map", .array(pairs.sorted { $0.key < $1.key }.map { [.string($0.key), .string($0.value)] })]
  }
  /// Zero or one value: a column that is optional.
  static func optional(_ value: JSON?) -> JSON { set(value.map { [$0] } ?? []) }

  /// The members of a set; a set of one is written as the bare value, unless it is an array itself.
  static func members(_ value: JSON?) -> [JSON] {
    guard let value, !value.isNull else { return [] }
    if let pair = value.array {
      if pair.count == 2, pair[0].string == "set", let items = pair[1].array { return items }
      return [value]
    }
    return [value]
  }
  static func ints(_ value: JSON?) -> [Int] { members(value).compactMap(\.int).sorted() }
  static func string(_ value: JSON?) -> String? { members(value).first?.string }
  static func int(_ value: JSON?) -> Int? { members(value).first?.int }
  static func id(_ value: JSON?) -> String? {
    guard let pair = value?.array, pair.count == 2, pair[0].string == "uuid" else { return nil }
    return pair[1].string
  }
  static func ids(_ value: JSON?) -> [String] { members(value).compactMap { id($0) } }
  static func pairs(_ value: JSON?) -> [String: String] {
    guard let pair = value?.array, pair.count == 2, pair[0].string == "map", let items = pair[1].array else {
      return [:]
    }
    var result: [String: String] = [:]
    for item in items {
      if let entry = item.array, entry.count == 2, let key = entry[0].string, let text = entry[1].string {
        result[key] = text
      }
    }
    return result
  }
}
