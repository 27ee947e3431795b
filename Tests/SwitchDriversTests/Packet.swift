import Domain

/// The bytes of packets. Sources: RFC 826 (ARP), RFC 791 (IPv4), RFC 792 (ICMP), RFC 768 (UDP), RFC 9293 (TCP).
enum Packet {
  enum ARP: UInt8 { case question = 1, answer }

  static func address(_ bytes: ArraySlice<UInt8>) -> IPAddress {
    IPAddress(version: 4, value: bytes.prefix(4).reduce(UInt128(0)) { $0 << 8 | UInt128($1) })
  }
  static func bytes(_ address: IPAddress) -> [UInt8] {
    [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: address.value >> $0) }
  }
  static func bytes(_ number: UInt16) -> [UInt8] { [UInt8(number >> 8), UInt8(number & 255)] }

  /// A whole frame.
  static func arp(
    _ kind: ARP, from sender: [UInt8], _ address: IPAddress, to target: [UInt8], _ wanted: IPAddress
  ) -> [UInt8] {
    let known = kind == .question ? [UInt8](repeating: 0, count: 6) : target
    let body = [0, 1, 8, 0, 6, 4, 0, kind.rawValue] + sender + bytes(address) + known + bytes(wanted)
    return target + sender + [8, 6] + body + [UInt8](repeating: 0, count: 18)
  }

  static func icmp(from source: IPAddress, to target: IPAddress, type: UInt8, rest: [UInt8]) -> [UInt8] {
    var body: [UInt8] = [type, 0, 0, 0] + rest
    body.replaceSubrange(2..<4, with: checksum(body))
    return ip(1, from: source, to: target, body)
  }
  static func udp(
    from source: IPAddress, _ sourcePort: UInt16, to target: IPAddress, _ port: UInt16, _ content: [UInt8]
  ) -> [UInt8] {
    var body = bytes(sourcePort) + bytes(port) + bytes(UInt16(8 + content.count)) + [0, 0] + content
    body.replaceSubrange(6..<8, with: checksum(pseudo(17, source, target, body.count) + body))
    return ip(17, from: source, to: target, body)
  }
  static func tcp(
    from source: IPAddress, _ sourcePort: UInt16, to target: IPAddress, _ port: UInt16, acknowledges: UInt32?,
    flags: UInt8
  ) -> [UInt8] {
    let number = acknowledges ?? 0
    var body = bytes(sourcePort) + bytes(port) + [0, 0, 0x10, 0]
    body += [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: number >> $0) } + [0x50, flags, 0xff, 0xff, 0, 0, 0, 0]
    body.replaceSubrange(16..<18, with: checksum(pseudo(6, source, target, body.count) + body))
    return ip(6, from: source, to: target, body)
  }

  private static func ip(_ transport: UInt8, from source: IPAddress, to target: IPAddress, _ body: [UInt8]) -> [UInt8] {
    var header = [0x45, 0] + bytes(UInt16(20 + body.count)) + [0, 1, 0, 0, 64, transport, 0, 0]
    header += bytes(source) + bytes(target)
    header.replaceSubrange(10..<12, with: checksum(header))
    return header + body
  }
  private static func pseudo(_ transport: UInt8, _ source: IPAddress, _ target: IPAddress, _ length: Int) -> [UInt8] {
    bytes(source) + bytes(target) + [0, transport] + bytes(UInt16(length))
  }
  /// RFC 1071.
  private static func checksum(_ bytes: [UInt8]) -> [UInt8] {
    var sum: UInt32 = 0
    for index in stride(from: 0, to: bytes.count, by: 2) {
      sum += UInt32(bytes[index]) << 8 + (index + 1 < bytes.count ? UInt32(bytes[index + 1]) : 0)
    }
    while sum >> 16 != 0 { sum = sum & 0xffff + sum >> 16 }
    return self.bytes(UInt16(truncatingIfNeeded: ~sum))
  }
}
