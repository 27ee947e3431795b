/// An IPv4 or IPv6 address.
///
/// Read strictly: four decimal numbers without leading zeros, or RFC 4291 text. The short, octal and hexadecimal forms
/// that `inet_aton` takes are refused, because two programs that read one text differently are a hole.
public struct IPAddress: Sendable, Hashable, Comparable, CustomStringConvertible {
  /// 4 or 6.
  public let version: Int
  /// The address as a number; the low 32 bits for IPv4.
  public let value: UInt128

  public init(version: Int, value: UInt128) {
    self.version = version
    self.value = value
  }
  public init?(_ text: String) {
    if text.utf8.contains(UInt8(ascii: ":")) {
      guard let value = Self.readVersion6(text) else { return nil }
      self.init(version: 6, value: value)
    } else {
      guard let value = Self.readVersion4(text) else { return nil }
      self.init(version: 4, value: UInt128(value))
    }
  }

  /// 32 or 128.
  public var width: Int { version == 4 ? 32 : 128 }

  /// 32 hexadecimal digits: sorts as text the way addresses sort as numbers; what the database compares.
  public var key: String {
    let digits = String(value, radix: 16)
    return String(repeating: "0", count: 32 - digits.utf8.count) + digits
  }
  /// Reads ``key`` back.
  public init?(version: Int, key: String) {
    var key = key
    guard let address = key.withUTF8({ IPAddress(version: version, key: $0) }) else { return nil }
    self = address
  }
  /// The same from bytes: what a database column is already.
  public init?(version: Int, key: UnsafeBufferPointer<UInt8>) {
    guard key.count == 32 else { return nil }
    var halves: (UInt64, UInt64) = (0, 0)
    for (index, byte) in key.enumerated() {
      let digit: UInt8
      switch byte {
      case 48...57: digit = byte - 48
      case 97...102: digit = byte - 87
      default: return nil
      }
      if index < 16 { halves.0 = halves.0 << 4 | UInt64(digit) } else { halves.1 = halves.1 << 4 | UInt64(digit) }
    }
    self.init(version: version, value: UInt128(halves.0) << 64 | UInt128(halves.1))
  }

  public static func < (a: IPAddress, b: IPAddress) -> Bool { (a.version, a.value) < (b.version, b.value) }

  /// Dotted decimal, or IPv6 as RFC 5952 writes it: lower case, the longest run of zeros as "::".
  public var description: String {
    if version == 4 {
      let number = UInt32(truncatingIfNeeded: value)
      return String(unsafeUninitializedCapacity: 15) { out in
        var at = 0
        for shift in [UInt32(24), 16, 8, 0] {
          let part = UInt8(truncatingIfNeeded: number >> shift)
          if part >= 100 {
            out[at] = 48 + part / 100
            at += 1
          }
          if part >= 10 {
            out[at] = 48 + part / 10 % 10
            at += 1
          }
          out[at] = 48 + part % 10
          at += 1
          if shift > 0 {
            out[at] = UInt8(ascii: ".")
            at += 1
          }
        }
        return at
      }
    }
    let groups = (0..<8).map { UInt16(truncatingIfNeeded: value >> ((7 - $0) * 16)) }
    var (best, bestLength) = (0, 0)
    var index = 0
    while index < 8 {
      var length = 0
      while index + length < 8, groups[index + length] == 0 { length += 1 }
      if length > bestLength { (best, bestLength) = (index, length) }
      index += max(length, 1)
    }
    func text(_ part: ArraySlice<UInt16>) -> String { part.map { String($0, radix: 16) }.joined(separator: ":") }
    if bestLength < 2 { return text(groups[...]) }
    return text(groups[..<best]) + "::" + text(groups[(best + bestLength)...])
  }

  private static func readVersion4(_ text: String) -> UInt32? {
    let parts = text.split(separator: ".", omittingEmptySubsequences: false)
    guard parts.count == 4 else { return nil }
    var value: UInt32 = 0
    for part in parts {
      let isPlain = part.utf8.allSatisfy { (48...57).contains($0) } && (part == "0" || !part.hasPrefix("0"))
      guard isPlain, let number = UInt8(part) else { return nil }
      value = value << 8 | UInt32(number)
    }
    return value
  }

  private static func readVersion6(_ text: String) -> UInt128? {
    func groups(_ part: Substring) -> [UInt16]? {
      if part.isEmpty { return [] }
      var out: [UInt16] = []
      for group in part.split(separator: ":", omittingEmptySubsequences: false) {
        if group.contains(".") {
          // RFC 4291, 2.2.3: the last 32 bits as IPv4.
          guard group.endIndex == text.endIndex, let low = readVersion4(String(group)) else { return nil }
          out += [UInt16(low >> 16), UInt16(low & 0xffff)]
          continue
        }
        guard (1...4).contains(group.utf8.count), group.utf8.first != UInt8(ascii: "+"),
          let value = UInt16(group, radix: 16)
        else { return nil }
        out.append(value)
      }
      return out
    }
    var all: [UInt16]
    if let gap = text.firstDoubleColon {
      guard let head = groups(text[..<gap]), let tail = groups(text[text.index(gap, offsetBy: 2)...]) else {
        return nil
      }
      guard head.count + tail.count < 8 else { return nil }
      all = head + [UInt16](repeating: 0, count: 8 - head.count - tail.count) + tail
    } else {
      guard let whole = groups(text[...]) else { return nil }
      all = whole
    }
    guard all.count == 8 else { return nil }
    return all.reduce(0) { $0 << 16 | UInt128($1) }
  }
}

extension String {
  fileprivate var firstDoubleColon: Index? {
    indices.first { self[$0] == ":" && index(after: $0) < endIndex && self[index(after: $0)] == ":" }
  }
}

/// A block of addresses: "10.0.1.0/24". The host bits are zero.
public struct CIDR: Sendable, Hashable, CustomStringConvertible {
  public let network: IPAddress
  /// 0 to 32, or to 128.
  public let prefix: Int

  /// Nil for what is no block, and for one with host bits set; ``recommended(for:)`` tells what was meant.
  public init?(_ text: String) {
    guard let parts = Self.parts(text), parts.0 == Self.masked(parts.0, parts.1) else { return nil }
    (network, prefix) = parts
  }
  /// Nil for a prefix that such an address cannot have, and for an address with host bits set.
  public init?(network: IPAddress, prefix: Int) {
    guard (0...network.width).contains(prefix), network == Self.masked(network, prefix) else { return nil }
    (self.network, self.prefix) = (network, prefix)
  }
  /// "10.0.1.0/24" for "10.0.1.7/24"; nil for what is no block at all.
  public static func recommended(for text: String) -> String? {
    parts(text).map { "\(masked($0.0, $0.1))/\($0.1)" }
  }
  private static func parts(_ text: String) -> (IPAddress, Int)? {
    let halves = text.split(separator: "/", omittingEmptySubsequences: false)
    guard halves.count == 2, let address = IPAddress(String(halves[0])), let prefix = UInt8(halves[1]),
      halves[1].first != "+", Int(prefix) <= address.width
    else { return nil }
    return (address, Int(prefix))
  }
  private static func masked(_ address: IPAddress, _ prefix: Int) -> IPAddress {
    let host = address.width - prefix
    return IPAddress(version: address.version, value: host == 128 ? 0 : (address.value >> host) << host)
  }

  public var version: Int { network.version }
  public var first: IPAddress { network }
  public var last: IPAddress {
    let host = network.width - prefix
    let mask: UInt128 = host == 128 ? .max : (1 << host) - 1
    return IPAddress(version: version, value: network.value | mask)
  }
  public func contains(_ address: IPAddress) -> Bool {
    address.version == version && first <= address && address <= last
  }
  public func overlaps(_ other: CIDR) -> Bool { other.contains(network) || contains(other.network) }

  /// The addresses that a machine may have: without the network and broadcast address of an IPv4 block wider than /31,
  /// and without the anycast address of an IPv6 one.
  public var hosts: AddressPool {
    if version == 6 {
      return prefix >= 127 ? AddressPool(first, last) : AddressPool(IPAddress(version: 6, value: first.value + 1), last)
    }
    if prefix >= 31 { return AddressPool(first, last) }
    return AddressPool(IPAddress(version: 4, value: first.value + 1), IPAddress(version: 4, value: last.value - 1))
  }
  /// "255.255.255.0"; for IPv6 the same in its form.
  public var netmask: IPAddress {
    let host = network.width - prefix
    let all: UInt128 = version == 4 ? 0xffff_ffff : .max
    return IPAddress(version: version, value: host == 128 ? 0 : (all >> host) << host)
  }
  public var description: String { "\(network)/\(prefix)" }
}

/// A run of addresses that ports get theirs from; both ends belong to it.
public struct AddressPool: Sendable, Hashable, CustomStringConvertible {
  public var start: IPAddress
  public var end: IPAddress
  public init(_ start: IPAddress, _ end: IPAddress) {
    self.start = start
    self.end = end
  }
  public func contains(_ address: IPAddress) -> Bool {
    start.version == address.version && start <= address && address <= end
  }
  public func overlaps(_ other: AddressPool) -> Bool { start <= other.end && other.start <= end }
  public var description: String { "\(start)-\(end)" }

  /// What is left of the pool without one address: none, one or two pools.
  public func without(_ address: IPAddress) -> [AddressPool] {
    guard contains(address) else { return [self] }
    var out: [AddressPool] = []
    if start < address { out.append(AddressPool(start, IPAddress(version: start.version, value: address.value - 1))) }
    if address < end { out.append(AddressPool(IPAddress(version: start.version, value: address.value + 1), end)) }
    return out
  }

  /// The lowest address that nobody has.
  /// - Parameter taken: addresses in use, in ascending order; those outside of the pool do not matter.
  public func lowestFree(taken: [IPAddress]) -> IPAddress? {
    var candidate = start
    for address in taken where address >= candidate {
      if address > candidate { break }
      guard candidate < end else { return nil }
      candidate = IPAddress(version: start.version, value: candidate.value + 1)
    }
    return candidate
  }
}
