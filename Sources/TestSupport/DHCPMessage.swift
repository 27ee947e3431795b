import Domain

/// What a machine's DHCP client sends and hears, as Ethernet frames. Source: RFC 2131, RFC 2132.
public enum DHCPMessage {
  public enum Kind: UInt8, Sendable { case discover = 1, offer, request, decline, acknowledge, refuse }
  public struct Answer: Sendable {
    public var kind: Kind
    public var address: IPAddress
    public var options: [UInt8: [UInt8]]
    /// What to boot: option 67, else the header's own field.
    public var file: String
    public var vendorClass: String { String(decoding: options[60] ?? [], as: UTF8.self) }
  }

  /// An address that a machine has, and the server that it asks to keep it.
  public struct Renewal: Sendable {
    public var address: IPAddress
    public var server: IPAddress
    /// The next hop to the server.
    public var hardware: [UInt8]
    public init(address: IPAddress, server: IPAddress, hardware: [UInt8]) {
      self.address = address
      self.server = server
      self.hardware = hardware
    }
  }

  /// A frame of a machine without an address: broadcast, with the broadcast flag; or of one that renews its own.
  /// - Parameter options: as they go over the wire, without the kind and the end.
  public static func frame(
    _ mac: MACAddress, _ kind: Kind, transaction: UInt32, options: [UInt8], renewing renewal: Renewal? = nil
  ) -> [UInt8] {
    func bytes(_ address: IPAddress) -> [UInt8] {
      [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: address.value >> $0) }
    }
    let zeros = { (count: Int) in [UInt8](repeating: 0, count: count) }
    let hardware = mac.description.split(separator: ":").compactMap { UInt8($0, radix: 16) }
    var message: [UInt8] = [1, 1, 6, 0] + [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: transaction >> $0) }
    message +=
      [0, 0, renewal == nil ? 0x80 : 0, 0] + (renewal.map { bytes($0.address) } ?? zeros(4)) + zeros(12) + hardware
      + zeros(10) + zeros(192) + [99, 130, 83, 99]
    message += [53, 1, kind.rawValue, 55, 5, 1, 3, 60, 66, 67] + options + [255]
    message += zeros(max(0, 300 - message.count))
    let length = message.count + 8
    // No UDP checksum (RFC 768 allows none over IPv4).
    let udp: [UInt8] = [0, 68, 0, 67, UInt8(length >> 8), UInt8(length & 255), 0, 0]
    let total = length + 20
    var ip: [UInt8] =
      [0x45, 0, UInt8(total >> 8), UInt8(total & 255), 0, 0, 0, 0, 64, 17, 0, 0]
    ip += renewal.map { bytes($0.address) + bytes($0.server) } ?? zeros(4) + [255, 255, 255, 255]
    var sum = stride(from: 0, to: 20, by: 2).reduce(UInt32(0)) { $0 + UInt32(ip[$1]) << 8 + UInt32(ip[$1 + 1]) }
    while sum >> 16 != 0 { sum = sum & 0xffff + sum >> 16 }
    (ip[10], ip[11]) = (UInt8(~sum >> 8 & 255), UInt8(~sum & 255))
    return (renewal?.hardware ?? [UInt8](repeating: 255, count: 6)) + hardware + [8, 0] + ip + udp + message
  }

  /// The answer in a frame; nil when it is none to this transaction.
  public static func answer(_ frame: [UInt8], to transaction: UInt32) -> Answer? {
    // Ethernet 14, IPv4 20 (servers send no IP options), UDP 8, then BOOTP.
    guard frame.count > 14 + 28 + 240, frame[12] == 8, frame[13] == 0, frame[23] == 17, frame[36] == 0, frame[37] == 68
    else {
      return nil
    }
    let message = Array(frame[42...])
    guard message[0] == 2, message[4..<8].reduce(UInt32(0), { $0 << 8 | UInt32($1) }) == transaction else { return nil }
    var options: [UInt8: [UInt8]] = [:]
    var at = 240
    while at + 1 < message.count, message[at] != 255 {
      if message[at] == 0 {
        at += 1
        continue
      }
      let end = at + 2 + Int(message[at + 1])
      guard end <= message.count else { return nil }
      options[message[at]] = Array(message[(at + 2)..<end])
      at = end
    }
    guard let kind = options[53]?.first.flatMap({ Kind(rawValue: $0) }) else { return nil }
    let value = message[16..<20].reduce(UInt128(0)) { $0 << 8 | UInt128($1) }
    let file = options[67] ?? Array(message[108..<236])
    return Answer(
      kind: kind, address: IPAddress(version: 4, value: value), options: options,
      file: String(decoding: file.prefix { $0 != 0 }, as: UTF8.self))
  }
}
