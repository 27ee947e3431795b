/// Why bytes are not JSON, and where.
public struct JSONError: Error, Sendable, CustomStringConvertible {
  /// Bytes from the start of the text.
  public var offset: Int
  public var message: String
  public var description: String { "invalid JSON at byte \(offset): \(message)" }
}

extension JSON {
  /// Nesting deeper than this is refused: a 10,000-deep body must not exhaust the stack.
  static let depthLimit = 128

  /// Reads one JSON value and nothing after it but white space.
  public static func parse(_ bytes: UnsafeRawBufferPointer) throws(JSONError) -> JSON {
    var reader = JSONReader(bytes: bytes)
    reader.skipSpace()
    let value = try reader.value(depth: 0)
    reader.skipSpace()
    guard reader.at == bytes.count else { throw reader.failure("text after the value") }
    return value
  }
}

struct JSONReader {
  let bytes: UnsafeRawBufferPointer
  var at = 0

  init(bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

  func failure(_ message: String) -> JSONError { JSONError(offset: at, message: message) }

  private var peek: UInt8 { at < bytes.count ? bytes[at] : 0 }

  mutating func skipSpace() {
    while at < bytes.count {
      let byte = bytes[at]
      guard byte == 0x20 || byte == 0x0a || byte == 0x0d || byte == 0x09 else { return }
      at += 1
    }
  }

  private mutating func literal(_ text: StaticString, _ value: JSON) throws(JSONError) -> JSON {
    let count = text.utf8CodeUnitCount
    guard at + count <= bytes.count else { throw failure("value cut short") }
    for index in 0..<count where bytes[at + index] != text.utf8Start[index] { throw failure("unknown word") }
    at += count
    return value
  }

  mutating func value(depth: Int) throws(JSONError) -> JSON {
    guard depth < JSON.depthLimit else { throw failure("nested deeper than \(JSON.depthLimit)") }
    switch peek {
    case UInt8(ascii: "{"): return try object(depth: depth)
    case UInt8(ascii: "["): return try array(depth: depth)
    case UInt8(ascii: "\""): return .string(try string())
    case UInt8(ascii: "t"): return try literal("true", .bool(true))
    case UInt8(ascii: "f"): return try literal("false", .bool(false))
    case UInt8(ascii: "n"): return try literal("null", .null)
    default: return try number()
    }
  }

  private mutating func object(depth: Int) throws(JSONError) -> JSON {
    at += 1
    var object = JSONObject()
    skipSpace()
    if peek == UInt8(ascii: "}") {
      at += 1
      return .object(object)
    }
    // Small objects are searched for a repeated key as they grow; a hostile body with thousands of
    // members must not cost a quadratic search, so large ones keep a set.
    var seen: Set<String>?
    while true {
      skipSpace()
      guard peek == UInt8(ascii: "\"") else { throw failure("a member name was expected") }
      let key = try string()
      skipSpace()
      guard peek == UInt8(ascii: ":") else { throw failure("':' was expected") }
      at += 1
      skipSpace()
      let member = try value(depth: depth + 1)
      if object.count == 32 { seen = Set(object.keys) }
      if seen?.insert(key).inserted ?? (object[key] == nil) {
        object.append(key, member)
      } else {
        object[key] = member
      }
      skipSpace()
      if peek == UInt8(ascii: ",") {
        at += 1
        continue
      }
      guard peek == UInt8(ascii: "}") else { throw failure("'}' was expected") }
      at += 1
      return .object(object)
    }
  }

  private mutating func array(depth: Int) throws(JSONError) -> JSON {
    at += 1
    var items: [JSON] = []
    skipSpace()
    if peek == UInt8(ascii: "]") {
      at += 1
      return .array(items)
    }
    while true {
      skipSpace()
      items.append(try value(depth: depth + 1))
      skipSpace()
      if peek == UInt8(ascii: ",") {
        at += 1
        continue
      }
      guard peek == UInt8(ascii: "]") else { throw failure("']' was expected") }
      at += 1
      return .array(items)
    }
  }

  private mutating func number() throws(JSONError) -> JSON {
    let start = at
    var isInteger = true
    var magnitude = 0
    var overflow = false
    let negative = peek == UInt8(ascii: "-")
    if negative { at += 1 }
    guard peek >= 48 && peek <= 57 else { throw failure("a value was expected") }
    while at < bytes.count {
      let byte = bytes[at]
      if byte >= 48 && byte <= 57 {
        let (product, multiplied) = magnitude.multipliedReportingOverflow(by: 10)
        let (sum, added) = product.addingReportingOverflow(Int(byte - 48))
        magnitude = sum
        overflow = overflow || multiplied || added
      } else if byte == 0x2e || byte == 0x65 || byte == 0x45 || byte == 0x2b || byte == 0x2d {
        isInteger = false
      } else {
        break
      }
      at += 1
    }
    if isInteger && !overflow { return .int(negative ? -magnitude : magnitude) }
    let text = String(decoding: UnsafeRawBufferPointer(rebasing: bytes[start..<at]), as: UTF8.self)
    guard let value = Double(text), value.isFinite else { throw failure("not a number") }
    return .double(value)
  }

  private mutating func string() throws(JSONError) -> String {
    at += 1
    let start = at
    while at < bytes.count {
      let byte = bytes[at]
      if byte == 0x22 {
        let text = String(decoding: UnsafeRawBufferPointer(rebasing: bytes[start..<at]), as: UTF8.self)
        at += 1
        return text
      }
      if byte == 0x5c { return try escapedString(from: start) }
      guard byte >= 0x20 else { throw failure("a control character in a string") }
      at += 1
    }
    throw failure("a string without an end")
  }

  private mutating func hex4() throws(JSONError) -> UInt32 {
    guard at + 4 <= bytes.count else { throw failure("\\u cut short") }
    var value: UInt32 = 0
    for _ in 0..<4 {
      let byte = bytes[at]
      at += 1
      switch byte {
      case 48...57: value = value << 4 | UInt32(byte - 48)
      case 65...70: value = value << 4 | UInt32(byte - 55)
      case 97...102: value = value << 4 | UInt32(byte - 87)
      default: throw failure("\\u wants four hexadecimal digits")
      }
    }
    return value
  }

  private mutating func escapedString(from start: Int) throws(JSONError) -> String {
    var out = [UInt8](bytes[start..<at])
    while at < bytes.count {
      let byte = bytes[at]
      at += 1
      if byte == 0x22 { return String(decoding: out, as: UTF8.self) }
      guard byte == 0x5c else {
        guard byte >= 0x20 else { throw failure("a control character in a string") }
        out.append(byte)
        continue
      }
      let escape = peek
      at += 1
      switch escape {
      case UInt8(ascii: "n"): out.append(0x0a)
      case UInt8(ascii: "t"): out.append(0x09)
      case UInt8(ascii: "r"): out.append(0x0d)
      case UInt8(ascii: "b"): out.append(8)
      case UInt8(ascii: "f"): out.append(12)
      case 0x22, 0x5c, 0x2f: out.append(escape)
      case UInt8(ascii: "u"):
        var scalar = try hex4()
        if scalar >= 0xd800 && scalar < 0xdc00, at + 6 <= bytes.count, bytes[at] == 0x5c,
          bytes[at + 1] == UInt8(ascii: "u")
        {
          at += 2
          let low = try hex4()
          scalar = 0x10000 + ((scalar - 0xd800) << 10) + (low &- 0xdc00)
        }
        out.append(contentsOf: String(Unicode.Scalar(scalar) ?? "\u{fffd}").utf8)
      default: throw failure("unknown escape")
      }
    }
    throw failure("a string without an end")
  }
}
