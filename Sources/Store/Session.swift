/// A value bound to a placeholder.
public enum Value: Sendable, Equatable {
  case null
  case int(Int)
  case real(Double)
  case text(String)
  case bool(Bool)
}

extension Value: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral, ExpressibleByBooleanLiteral,
  ExpressibleByNilLiteral
{
  public init(stringLiteral value: String) { self = .text(value) }
  public init(integerLiteral value: Int) { self = .int(value) }
  public init(booleanLiteral value: Bool) { self = .bool(value) }
  public init(nilLiteral: ()) { self = .null }
  public init(_ text: String?) { self = text.map { .text($0) } ?? .null }
  public init(_ number: Int?) { self = number.map { .int($0) } ?? .null }
  public init(_ flag: Bool) { self = .bool(flag) }
}

/// Why the database did not do it.
public struct StoreError: Error, Sendable, Equatable, CustomStringConvertible {
  public enum Kind: Sendable {
    /// A uniqueness or foreign-key constraint, or a trigger that guards an invariant: the request contradicts what is stored.
    case conflict
    /// Another transaction was in the way; the same transaction may work when run again.
    case busy
    /// The disk is full.
    case full
    case other
  }
  public var kind: Kind
  /// The database's own words; for the log, not for a caller.
  public var description: String
  public init(_ kind: Kind, _ description: String) {
    self.kind = kind
    self.description = description
  }
}

/// SQL in the common subset of SQLite and PostgreSQL, as parts: for lists whose filters are known only at run time.
///
/// Only string literals can become SQL text, so data cannot; values go in as placeholders.
public struct Query: Sendable {
  public private(set) var sql: String
  public private(set) var arguments: [Value] = []

  public init(_ sql: StaticString) { self.sql = "\(sql)" }
  /// Asks how the database would do it instead, for tests: a row for each step, its text in column 3 (SQLite, "EXPLAIN QUERY
  /// PLAN").
  var explained: Query {
    var query = self
    query.sql = "EXPLAIN QUERY PLAN " + sql
    return query
  }
  /// Appends SQL; each `?` in it takes the next of `values`.
  public mutating func append(_ sql: StaticString, _ values: Value...) { append(sql, values: values) }
  public mutating func append(_ sql: StaticString, values: [Value]) {
    self.sql += " "
    sql.withUTF8Buffer { text in
      var rest = text[...]
      // Literals are long and have few `?`: whole pieces are copied.
      for value in values {
        guard let place = rest.firstIndex(of: UInt8(ascii: "?")) else { break }
        arguments.append(value)
        self.sql += String(decoding: rest[rest.startIndex..<place], as: UTF8.self)
        self.sql += "$\(arguments.count)"
        rest = rest[(place + 1)...]
      }
      self.sql += String(decoding: rest, as: UTF8.self)
    }
  }
  /// Appends `column IN (…)`; an empty list matches nothing.
  public mutating func appendIn(_ prefix: StaticString, _ values: [Value]) {
    guard !values.isEmpty else {
      sql += " \(prefix) (NULL)"
      return
    }
    sql += " \(prefix) ("
    for (index, value) in values.enumerated() {
      arguments.append(value)
      sql += index == 0 ? "$\(arguments.count)" : ", $\(arguments.count)"
    }
    sql += ")"
  }
}

/// One connection inside a transaction. Placeholders are `$1`…, first used in order.
///
/// A session is used by one thread at a time and only inside the closure it is handed to.
public protocol Session: AnyObject {
  /// Runs a query; the statement is prepared once and kept, keyed by the literal.
  func query<T>(_ sql: StaticString, _ arguments: [Value], _ body: (borrowing Row) throws -> T) throws -> [T]
  /// Runs a statement.
  /// - Returns: how many rows it changed.
  @discardableResult func execute(_ sql: StaticString, _ arguments: [Value]) throws -> Int
  /// Runs a query put together at run time.
  func query<T>(_ query: Query, _ body: (borrowing Row) throws -> T) throws -> [T]
  @discardableResult func execute(_ query: Query) throws -> Int
  /// Runs `action` after this transaction has committed, on no particular thread; not at all when it rolls back.
  /// For waking those who wait for what was just written.
  func afterCommit(_ action: @escaping @Sendable () -> Void)
}

extension Session {
  public func first<T>(_ sql: StaticString, _ arguments: [Value], _ body: (borrowing Row) throws -> T) throws -> T? {
    try query(sql, arguments, body).first
  }
  public func exists(_ sql: StaticString, _ arguments: [Value]) throws -> Bool {
    try !query(sql, arguments) { _ in true }.isEmpty
  }
}
