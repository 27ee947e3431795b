import CSQLite

/// One row while it is being read: valid only inside the closure that it is handed to. Columns count from 0.
public struct Row: ~Copyable {
  enum Source { case sqlite(OpaquePointer) }
  let source: Source

  public func isNull(_ column: Int) -> Bool {
    switch source {
    case .sqlite(let statement): sqlite3_column_type(statement, Int32(column)) == SQLITE_NULL
    }
  }
  /// The column's UTF-8 bytes, without a copy; empty for NULL.
  public func withText<R>(_ column: Int, _ body: (UnsafeBufferPointer<UInt8>) throws -> R) rethrows -> R {
    switch source {
    case .sqlite(let statement):
      let start = sqlite3_column_text(statement, Int32(column))
      let count = Int(sqlite3_column_bytes(statement, Int32(column)))
      return try body(UnsafeBufferPointer(start: start, count: start == nil ? 0 : count))
    }
  }
  public func text(_ column: Int) -> String { withText(column) { String(decoding: $0, as: UTF8.self) } }
  public func int(_ column: Int) -> Int {
    switch source {
    case .sqlite(let statement): Int(sqlite3_column_int64(statement, Int32(column)))
    }
  }
  public func real(_ column: Int) -> Double {
    switch source {
    case .sqlite(let statement): sqlite3_column_double(statement, Int32(column))
    }
  }
  public func bool(_ column: Int) -> Bool { int(column) != 0 }
  public func optionalText(_ column: Int) -> String? { isNull(column) ? nil : text(column) }
  public func optionalInt(_ column: Int) -> Int? { isNull(column) ? nil : int(column) }
  /// As it would be handed back to the database; numbers are whole.
  func value(_ column: Int) -> Value {
    switch source {
    case .sqlite(let statement):
      switch sqlite3_column_type(statement, Int32(column)) {
      case SQLITE_NULL: .null
      case SQLITE_INTEGER: .int(int(column))
      default: .text(text(column))
      }
    }
  }
}
