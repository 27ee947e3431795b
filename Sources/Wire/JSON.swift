/// A JSON value that keeps the order of its members (RFC 8259).
///
/// Used wherever a body is read and wherever a free-form document (`extra`, `properties`, `driver_info`) is kept.
/// Hot answers are written with ``JSONWriter`` and never pass through this tree.
public enum JSON: Sendable, Equatable {
  case null
  case bool(Bool)
  case int(Int)
  case double(Double)
  case string(String)
  case array([JSON])
  case object(JSONObject)

  public subscript(_ key: String) -> JSON? {
    guard case .object(let object) = self else { return nil }
    return object[key]
  }
  public var string: String? { if case .string(let value) = self { value } else { nil } }
  public var bool: Bool? { if case .bool(let value) = self { value } else { nil } }
  public var int: Int? { if case .int(let value) = self { value } else { nil } }
  public var array: [JSON]? { if case .array(let value) = self { value } else { nil } }
  public var object: JSONObject? { if case .object(let value) = self { value } else { nil } }
  public var isNull: Bool { if case .null = self { true } else { false } }

  /// An integer, or a string that spells one: clients send both ("101" as a segmentation id).
  public var lenientInt: Int? {
    switch self {
    case .int(let value): value
    case .string(let text): Int(text)
    default: nil
    }
  }

  public static var emptyObject: JSON { .object(JSONObject()) }
}

/// The members of a JSON object in the order they were written; a repeated key keeps its last value.
public struct JSONObject: Sendable, Equatable, ExpressibleByDictionaryLiteral, Sequence {
  public struct Member: Sendable, Equatable {
    public var key: String
    public var value: JSON
  }
  public private(set) var members: [Member]

  public init() { members = [] }
  public init(dictionaryLiteral elements: (String, JSON)...) {
    members = []
    for (key, value) in elements { self[key] = value }
  }
  public subscript(_ key: String) -> JSON? {
    get { members.first { $0.key == key }?.value }
    set {
      if let index = members.firstIndex(where: { $0.key == key }) {
        if let newValue { members[index].value = newValue } else { members.remove(at: index) }
      } else if let newValue {
        members.append(Member(key: key, value: newValue))
      }
    }
  }
  /// Appends without looking for the key: for parsers that have just checked.
  mutating func append(_ key: String, _ value: JSON) { members.append(Member(key: key, value: value)) }
  public var keys: [String] { members.map(\.key) }
  public var isEmpty: Bool { members.isEmpty }
  public var count: Int { members.count }
  public func makeIterator() -> IndexingIterator<[Member]> { members.makeIterator() }
}

extension JSON: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral, ExpressibleByBooleanLiteral,
  ExpressibleByNilLiteral, ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral, ExpressibleByFloatLiteral
{
  public init(stringLiteral value: String) { self = .string(value) }
  public init(integerLiteral value: Int) { self = .int(value) }
  public init(booleanLiteral value: Bool) { self = .bool(value) }
  public init(floatLiteral value: Double) { self = .double(value) }
  public init(nilLiteral: ()) { self = .null }
  public init(arrayLiteral elements: JSON...) { self = .array(elements) }
  public init(dictionaryLiteral elements: (String, JSON)...) {
    var object = JSONObject()
    for (key, value) in elements { object[key] = value }
    self = .object(object)
  }
  public init(_ value: String?) { self = value.map { .string($0) } ?? .null }
  public init(_ value: Int?) { self = value.map { .int($0) } ?? .null }
  public init(_ values: [String]) { self = .array(values.map { .string($0) }) }
}

extension JSON: CustomStringConvertible {
  /// The compact JSON text.
  public var description: String {
    var writer = JSONWriter()
    writer.value(self)
    return writer.string
  }
  /// Reads JSON text.
  /// - Throws: ``JSONError`` with the offset of the first byte that is wrong.
  public init(parsing text: String) throws(JSONError) {
    let bytes = Array(text.utf8)
    self = try JSON.parse(bytes)
  }
  public static func parse(_ bytes: [UInt8]) throws(JSONError) -> JSON {
    let result: Result<JSON, JSONError> = bytes.withUnsafeBytes { raw in
      do throws(JSONError) { return .success(try JSON.parse(raw)) } catch { return .failure(error) }
    }
    return try result.get()
  }
}
