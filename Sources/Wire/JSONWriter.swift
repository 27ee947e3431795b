import Glibc

/// Writes JSON straight into memory of its own; one copy at the end.
///
/// Ten times the speed of `JSONEncoder` (docs/decisions/0003): a list of 1,000 nodes costs about a millisecond.
public struct JSONWriter: ~Copyable {
  private var base: UnsafeMutablePointer<UInt8>
  private var capacity: Int
  public private(set) var count = 0
  private var needsComma: Bool

  /// - Parameter isContinued: the first item comes after others in the same array.
  public init(capacity: Int = 512, isContinued: Bool = false) {
    needsComma = isContinued
    self.capacity = max(capacity, 16)
    guard let new = malloc(self.capacity) else { preconditionFailure("no memory for \(capacity) bytes of JSON") }
    base = new.assumingMemoryBound(to: UInt8.self)
  }
  deinit { free(base) }

  /// The text so far. The pointer is valid only inside `body`.
  public borrowing func withBytes<R>(_ body: (UnsafeRawBufferPointer) throws -> R) rethrows -> R {
    try body(UnsafeRawBufferPointer(start: base, count: count))
  }
  public var string: String { withBytes { String(decoding: $0, as: UTF8.self) } }
  public var bytes: [UInt8] { withBytes { Array($0) } }

  @inline(never) private mutating func grow(_ more: Int) {
    let newCapacity = max(capacity * 2, count + more)
    // Large memory is given more pages instead of being copied: half the time of a long list was that.
    guard let new = realloc(base, newCapacity) else {
      preconditionFailure("no memory for \(newCapacity) bytes of JSON")
    }
    base = new.assumingMemoryBound(to: UInt8.self)
    capacity = newCapacity
  }
  @inline(__always) private mutating func reserve(_ more: Int) { if capacity - count < more { grow(more) } }
  @inline(__always) private mutating func put(_ byte: UInt8) {
    base[count] = byte
    count += 1
  }
  @inline(__always) private mutating func separate() {
    reserve(1)
    if needsComma { put(UInt8(ascii: ",")) }
    needsComma = true
  }

  public mutating func beginObject() {
    separate()
    reserve(1)
    put(UInt8(ascii: "{"))
    needsComma = false
  }
  public mutating func endObject() {
    reserve(1)
    put(UInt8(ascii: "}"))
    needsComma = true
  }
  public mutating func beginArray() {
    separate()
    reserve(1)
    put(UInt8(ascii: "["))
    needsComma = false
  }
  public mutating func endArray() {
    reserve(1)
    put(UInt8(ascii: "]"))
    needsComma = true
  }

  /// A member name known at compile time: it must need no escaping.
  public mutating func key(_ name: StaticString) {
    let length = name.utf8CodeUnitCount
    reserve(length + 4)
    if needsComma { put(UInt8(ascii: ",")) }
    put(UInt8(ascii: "\""))
    (base + count).update(from: name.utf8Start, count: length)
    count += length
    put(UInt8(ascii: "\""))
    put(UInt8(ascii: ":"))
    needsComma = false
  }
  /// A member name from data.
  public mutating func dynamicKey(_ name: String) {
    value(name)
    reserve(1)
    put(UInt8(ascii: ":"))
    needsComma = false
  }

  public mutating func null() {
    separate()
    literal("null")
  }
  public mutating func value(_ flag: Bool) {
    separate()
    literal(flag ? "true" : "false")
  }
  @inline(__always) private mutating func literal(_ text: StaticString) {
    reserve(text.utf8CodeUnitCount)
    (base + count).update(from: text.utf8Start, count: text.utf8CodeUnitCount)
    count += text.utf8CodeUnitCount
  }
  public mutating func value(_ number: Int) {
    separate()
    reserve(20)
    var rest = number.magnitude
    if number < 0 { put(UInt8(ascii: "-")) }
    var digits = 1
    var limit: UInt = 10
    while rest >= limit {
      digits += 1
      let (next, overflow) = limit.multipliedReportingOverflow(by: 10)
      if overflow { break }
      limit = next
    }
    var index = count + digits
    count = index
    repeat {
      index -= 1
      base[index] = UInt8(48 + rest % 10)
      rest /= 10
    } while rest > 0
  }
  /// ``Timestamp/iso8601`` without a string in between: a list of ten thousand has forty thousand of them.
  public mutating func value(_ time: Timestamp) {
    guard let (date, micros) = time.civil else { return value(time.iso8601) }
    separate()
    reserve(30)
    begin(date)
    if micros != 0 {
      put(UInt8(ascii: "."))
      digits(micros, 6)
    }
    put(UInt8(ascii: "\""))
  }
  /// ``Timestamp/iso8601Zulu``, likewise.
  public mutating func value(zulu time: Timestamp) {
    guard let (date, _) = time.civil else { return value(time.iso8601Zulu) }
    separate()
    reserve(24)
    begin(date)
    put(UInt8(ascii: "Z"))
    put(UInt8(ascii: "\""))
  }
  /// The opening quote, and all but the fraction and the zone.
  @inline(__always) private mutating func begin(_ date: Timestamp.CivilTime) {
    put(UInt8(ascii: "\""))
    digits(date.year, 4)
    put(UInt8(ascii: "-"))
    digits(date.month, 2)
    put(UInt8(ascii: "-"))
    digits(date.day, 2)
    put(UInt8(ascii: "T"))
    digits(date.hour, 2)
    put(UInt8(ascii: ":"))
    digits(date.minute, 2)
    put(UInt8(ascii: ":"))
    digits(date.second, 2)
  }
  @inline(__always) private mutating func digits(_ number: Int, _ width: Int) {
    var rest = number
    var index = count + width
    count = index
    for _ in 0..<width {
      index -= 1
      base[index] = UInt8(48 + rest % 10)
      rest /= 10
    }
  }
  public mutating func value(_ number: Double) { raw(number.isFinite ? "\(number)" : "null") }
  public mutating func value(_ string: String) {
    var string = string
    string.withUTF8 { text($0) }
  }
  /// UTF-8 text: what a database column is already.
  public mutating func text(_ utf8: UnsafeBufferPointer<UInt8>) {
    separate()
    reserve(utf8.count * 6 + 2)
    let start = base + count
    let source = UnsafeRawBufferPointer(utf8)
    var p = start
    p.pointee = UInt8(ascii: "\"")
    p += 1
    var index = 0
    while index < utf8.count {
      // Eight bytes that need no escaping are copied at once.
      while index + 8 <= utf8.count {
        let word = source.loadUnaligned(fromByteOffset: index, as: UInt64.self)
        guard Self.isPlain(word) else { break }
        UnsafeMutableRawPointer(p).storeBytes(of: word, as: UInt64.self)
        p += 8
        index += 8
      }
      guard index < utf8.count else { break }
      let byte = utf8[index]
      index += 1
      if byte >= 0x20 && byte != 0x22 && byte != 0x5c {
        p.pointee = byte
        p += 1
        continue
      }
      p.pointee = 0x5c
      p += 1
      switch byte {
      case 0x22, 0x5c: p.pointee = byte
      case 0x0a: p.pointee = UInt8(ascii: "n")
      case 0x0d: p.pointee = UInt8(ascii: "r")
      case 0x09: p.pointee = UInt8(ascii: "t")
      default:
        p[0] = UInt8(ascii: "u")
        p[1] = 48
        p[2] = 48
        p[3] = 48 + (byte >> 4)
        p += 4
        p.pointee = byte & 15 < 10 ? 48 + (byte & 15) : 87 + (byte & 15)
      }
      p += 1
    }
    p.pointee = UInt8(ascii: "\"")
    count += p + 1 - start
  }
  /// None of the eight bytes is a quotation mark, a backslash or below 0x20. Source: "Bit Twiddling Hacks", "Determine if a word
  /// has a byte less than n".
  @inline(__always) private static func isPlain(_ word: UInt64) -> Bool {
    let ones: UInt64 = 0x0101_0101_0101_0101
    let high: UInt64 = 0x8080_8080_8080_8080
    let quote = word ^ (ones &* 0x22)
    let backslash = word ^ (ones &* 0x5c)
    let found = (word &- ones &* 0x20) & ~word | (quote &- ones) & ~quote | (backslash &- ones) & ~backslash
    return found & high == 0
  }
  /// JSON text known at compile time, as one value.
  public mutating func constant(_ json: StaticString) {
    separate()
    literal(json)
  }
  /// JSON text that is already valid, spliced in as one value: a stored `extra` or `properties`.
  public mutating func raw(_ json: String) {
    var json = json
    json.withUTF8 { raw($0) }
  }
  /// The same from bytes: what a database column is already.
  public mutating func raw(_ utf8: UnsafeBufferPointer<UInt8>) {
    separate()
    reserve(utf8.count)
    if let source = utf8.baseAddress { (base + count).update(from: source, count: utf8.count) }
    count += utf8.count
  }
  /// Begins a value that is valid JSON only when all its pieces are there: ``piece(_:)``.
  public mutating func beginPieces() { separate() }
  /// A part of the value that ``beginPieces()`` began, as it is.
  public mutating func piece(_ utf8: UnsafeBufferPointer<UInt8>) {
    reserve(utf8.count)
    if let source = utf8.baseAddress { (base + count).update(from: source, count: utf8.count) }
    count += utf8.count
  }
  public mutating func piece(_ bytes: [UInt8]) { bytes.withUnsafeBufferPointer { piece($0) } }
  public mutating func piece(_ text: StaticString) { literal(text) }
  public mutating func value(_ json: JSON) {
    switch json {
    case .null: null()
    case .bool(let flag): value(flag)
    case .int(let number): value(number)
    case .double(let number): value(number)
    case .string(let string): value(string)
    case .array(let items):
      beginArray()
      for item in items { value(item) }
      endArray()
    case .object(let object):
      beginObject()
      for member in object {
        dynamicKey(member.key)
        value(member.value)
      }
      endObject()
    }
  }

  public mutating func member(_ name: StaticString, _ string: String) {
    key(name)
    value(string)
  }
  public mutating func member(_ name: StaticString, _ string: String?) {
    key(name)
    if let string { value(string) } else { null() }
  }
  public mutating func member(_ name: StaticString, _ flag: Bool) {
    key(name)
    value(flag)
  }
  public mutating func member(_ name: StaticString, _ number: Int) {
    key(name)
    value(number)
  }
  public mutating func member(_ name: StaticString, _ number: Int?) {
    key(name)
    if let number { value(number) } else { null() }
  }
  public mutating func member(_ name: StaticString, _ time: Timestamp?) {
    key(name)
    if let time { value(time) } else { null() }
  }
  public mutating func member(_ name: StaticString, _ json: JSON) {
    key(name)
    value(json)
  }
  /// A member whose value is JSON text that is already valid.
  public mutating func member(_ name: StaticString, raw json: String) {
    key(name)
    raw(json)
  }
  public mutating func member(_ name: StaticString, _ strings: [String]) {
    key(name)
    beginArray()
    for string in strings { value(string) }
    endArray()
  }
}
