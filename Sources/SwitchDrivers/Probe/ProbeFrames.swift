/// Frames of the kinds that machines send and that have crossed networks somewhere: made by hand, each with a mark by which it is known
/// again however it was changed on the way.
struct ProbeFrames: Sendable {
  struct Kind: Hashable, Sendable, CustomStringConvertible {
    var name: String
    /// A switch that keeps to IEEE 802.1D passes none of these on, not even within a network.
    var isLinkLocal = false
    var description: String { name }
  }
  struct Template: Sendable {
    let kind: Kind
    /// The frame with this mark (``mark(_:)``).
    let bytes: @Sendable ([UInt8]) -> [UInt8]
  }
  static let broadcast: [UInt8] = [255, 255, 255, 255, 255, 255]
  let templates: [Template]

  /// - Parameters:
  ///   - own: the sender's MAC address.
  ///   - others: those of the machines that it could reach or pretend to be.
  ///   - vlans: of which tags are tried, alone and behind one another.
  init(from own: [UInt8], others: [[UInt8]], vlans: [UInt16]) {
    var out: [Template] = []
    func add(
      _ name: String, to: [UInt8], from: [UInt8], _ type: UInt16, linkLocal: Bool = false,
      _ body: @escaping @Sendable ([UInt8]) -> [UInt8]
    ) {
      out.append(
        Template(kind: Kind(name: name, isLinkLocal: linkLocal)) {
          Self.ethernet(to: to, from: from, type, body($0))
        })
    }
    add("broadcast", to: Self.broadcast, from: own, 0x0800) { Self.udp(from: 5000, to: 5000, $0) }
    add("multicast", to: [1, 0, 0x5e, 0, 0, 0xfb], from: own, 0x0800) { Self.udp(from: 5353, to: 5353, $0) }
    add("DHCP discover", to: Self.broadcast, from: own, 0x0800) { Self.udp(from: 68, to: 67, $0) }
    add("DHCP offer", to: Self.broadcast, from: own, 0x0800) { Self.udp(from: 67, to: 68, $0) }
    add("ARP request", to: Self.broadcast, from: own, 0x0806) { Self.arp(1, own, $0) }
    add("router advertisement", to: [0x33, 0x33, 0, 0, 0, 1], from: own, 0x86dd) { Self.icmpv6(134, $0) }
    add("neighbour solicitation", to: [0x33, 0x33, 0xff, 0, 0, 1], from: own, 0x86dd) { Self.icmpv6(135, $0) }
    add("LLDP", to: [1, 0x80, 0xc2, 0, 0, 0x0e], from: own, 0x88cc, linkLocal: true) {
      [0x02, 0x07, 4] + own + [0x04, 0x02, 7, 0x31, 0x06, 0x02, 0, 120, 0xfe, UInt8($0.count)] + $0 + [0, 0]
    }
    add("spanning tree", to: [1, 0x80, 0xc2, 0, 0, 0], from: own, 0x0027, linkLocal: true) { [0x42, 0x42, 3] + $0 }
    for mac in others {
      add("unicast", to: mac, from: own, 0x0800) { Self.udp(from: 5000, to: 5000, $0) }
      add("ARP reply", to: mac, from: own, 0x0806) { Self.arp(2, own, $0) }
      // As another machine: to everybody, and to the others.
      add("spoofed broadcast", to: Self.broadcast, from: mac, 0x0800) { Self.udp(from: 5000, to: 5000, $0) }
      add("spoofed ARP", to: Self.broadcast, from: mac, 0x0806) { Self.arp(2, mac, $0) }
      for other in others where other != mac {
        add("spoofed unicast", to: other, from: mac, 0x0800) { Self.udp(from: 5000, to: 5000, $0) }
      }
    }
    // Tags of other networks, and one network behind another.
    let tags = [0, 1] + vlans
    for to in [Self.broadcast] + others {
      for outer in tags {
        out.append(
          Template(kind: Kind(name: "tagged")) { Self.tagged([(0x8100, outer)], to: to, from: own, $0) })
        for inner in tags {
          for type: UInt16 in [0x8100, 0x88a8] {
            out.append(
              Template(kind: Kind(name: "double-tagged")) {
                Self.tagged([(type, outer), (0x8100, inner)], to: to, from: own, $0)
              })
          }
        }
      }
    }
    // Last, so that whatever the spoofed frames taught the switch is undone.
    add("broadcast", to: Self.broadcast, from: own, 0x0800) { Self.udp(from: 5000, to: 5000, $0) }
    templates = out
  }

  // MARK: Marks

  /// Bytes that no frame has by chance.
  private static let sign = Array("steelyard".utf8)
  static func mark(_ number: UInt16) -> [UInt8] { sign + big(number) }
  /// The number of a frame of ours; nil for anybody else's.
  static func number(in frame: [UInt8]) -> UInt16? {
    guard frame.count > sign.count + 2 else { return nil }
    for start in 0...(frame.count - sign.count - 2) where frame[start...].starts(with: sign) {
      let at = start + sign.count
      return UInt16(frame[at]) << 8 | UInt16(frame[at + 1])
    }
    return nil
  }
  /// A plain broadcast: when it is through, so is what was sent before.
  static func last(from own: [UInt8], _ number: UInt16) -> [UInt8] {
    ethernet(to: broadcast, from: own, 0x88b5, mark(number))
  }

  // MARK: Bytes

  private static func big(_ number: UInt16) -> [UInt8] { [UInt8(number >> 8), UInt8(number & 255)] }
  private static func ethernet(to: [UInt8], from: [UInt8], _ type: UInt16, _ body: [UInt8]) -> [UInt8] {
    let frame = to + from + big(type) + body
    return frame + [UInt8](repeating: 0, count: max(0, 64 - frame.count))
  }
  private static func tagged(_ tags: [(UInt16, UInt16)], to: [UInt8], from: [UInt8], _ mark: [UInt8]) -> [UInt8] {
    let outer = tags.flatMap { big($0.0) + big($0.1) }
    let frame = to + from + outer + big(0x0800) + udp(from: 5000, to: 5000, mark)
    return frame + [UInt8](repeating: 0, count: max(0, 64 - frame.count))
  }
  /// An IPv4 packet (RFC 791) with a datagram to everybody.
  private static func udp(from source: UInt16, to destination: UInt16, _ data: [UInt8]) -> [UInt8] {
    let body = big(source) + big(destination) + big(UInt16(8 + data.count)) + [0, 0] + data
    var header: [UInt8] = [0x45, 0] + big(UInt16(20 + body.count)) + [0, 0, 0, 0, 64, 17, 0, 0]
    header += [0, 0, 0, 0, 255, 255, 255, 255]
    var sum = stride(from: 0, to: 20, by: 2).reduce(UInt32(0)) {
      $0 + UInt32(header[$1]) << 8 + UInt32(header[$1 + 1])
    }
    while sum > 0xffff { sum = sum & 0xffff + sum >> 16 }
    header.replaceSubrange(10..<12, with: big(~UInt16(sum)))
    return header + body
  }
  /// RFC 826, with the mark where the padding is.
  private static func arp(_ operation: UInt16, _ hardware: [UInt8], _ mark: [UInt8]) -> [UInt8] {
    [0, 1, 8, 0, 6, 4] + big(operation) + hardware + [192, 168, 7, 1] + [0, 0, 0, 0, 0, 0, 192, 168, 7, 2] + mark
  }
  /// RFC 4443 over RFC 8200, from fe80::1 to ff02::1.
  private static func icmpv6(_ type: UInt8, _ mark: [UInt8]) -> [UInt8] {
    let body = [type, 0, 0, 0, 64, 0, 0, 60, 0, 0, 0, 0, 0, 0, 0, 0] + mark
    let zeros = [UInt8](repeating: 0, count: 13)
    return [0x60, 0, 0, 0] + big(UInt16(body.count)) + [58, 255] + [0xfe, 0x80] + zeros + [1] + [0xff, 2] + zeros + [1]
      + body
  }
}
