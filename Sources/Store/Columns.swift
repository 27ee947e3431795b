import Domain
import Wire

extension Row {
  /// A JSON object column that we wrote ourselves; empty when it is NULL.
  public func object(_ column: Int) -> JSONObject {
    withText(column) { utf8 in
      // Most are empty.
      if utf8.count == 2 { return [:] }
      guard !utf8.isEmpty, let json = try? JSON.parse(UnsafeRawBufferPointer(utf8)), case .object(let object) = json
      else { return [:] }
      return object
    }
  }
  /// A column that holds ``IPAddress/key``; nil for NULL.
  func address(_ column: Int, version: Int) -> IPAddress? {
    withText(column) { IPAddress(version: version, key: $0) }
  }
  public func json(_ column: Int) -> JSON {
    withText(column) { utf8 in (try? JSON.parse(UnsafeRawBufferPointer(utf8))) ?? .null }
  }
  public func strings(_ column: Int) -> [String] { json(column).array?.compactMap(\.string) ?? [] }
  public func time(_ column: Int) -> Timestamp { Timestamp(microseconds: int(column)) }
  public func optionalTime(_ column: Int) -> Timestamp? { isNull(column) ? nil : time(column) }
  public func optionalBool(_ column: Int) -> Bool? { isNull(column) ? nil : bool(column) }
}

extension Value {
  public init(_ object: JSONObject) { self = .text(JSON.object(object).description) }
  public init(_ json: JSON) { self = .text(json.description) }
  public init(_ strings: [String]) { self = .text(JSON(strings).description) }
  public init(_ time: Timestamp) { self = .int(time.microseconds) }
  public init(_ time: Timestamp?) { self = time.map { .int($0.microseconds) } ?? .null }
  public init(_ flag: Bool?) { self = flag.map { .bool($0) } ?? .null }
}
