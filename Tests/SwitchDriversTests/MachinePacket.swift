@testable import SwitchDrivers
import TestSupport

/// Frames of the Internet's protocols as a machine sends them, with their checksums: connection tracking looks at these.
enum MachinePacket {
  typealias Address = [UInt8]

  private static func bytes<Number: FixedWidthInteger>(_ number: Number) -> [UInt8] {
    withUnsafeBytes(of: number.bigEndian) { Array($0) }
  }
  private static func checksum(_ bytes: [UInt8]) -> [UInt8] {
    var sum = stride(from: 0, to: bytes.count, by: 2).reduce(UInt32(0)) { sum, index in
      sum + UInt32(bytes[index]) << 8 + (index + 1 < bytes.count ? UInt32(bytes[index + 1]) : 0)
    }
    while sum > 0xffff { sum = sum >> 16 + sum & 0xffff }
    return self.bytes(~UInt16(sum))
  }
  private static func ethernet(to: [UInt8], from: [UInt8], vlan: UInt16?, type: UInt16, _ body: [UInt8]) -> [UInt8] {
    let tag = vlan.map { [0x81, 0x00] + bytes($0) } ?? []
    let frame = to + from + tag + bytes(type) + body
    return frame + [UInt8](repeating: 0, count: max(0, 60 - frame.count))
  }
  /// A checksum over what RFC 768, 793 and 4443 put before the segment.
  private static func sum(_ segment: [UInt8], at place: Int, _ number: UInt8, _ from: Address, _ to: Address) -> [UInt8]
  {
    let before =
      from + to
      + (from.count == 4
        ? [0, number] + bytes(UInt16(segment.count)) : bytes(UInt32(segment.count)) + [0, 0, 0, number])
    var out = segment
    out.replaceSubrange(place..<(place + 2), with: checksum(before + segment))
    return out
  }
  private static func ip(_ number: UInt8, from: Address, to: Address, _ segment: [UInt8]) -> [UInt8] {
    if from.count == 16 {
      return [0x60, 0, 0, 0] + bytes(UInt16(segment.count)) + [number, 255] + from + to + segment
    }
    var header: [UInt8] =
      [0x45, 0] + bytes(UInt16(20 + segment.count)) + [0, 0, 0x40, 0, 64, number, 0, 0] + from + to
    header.replaceSubrange(10..<12, with: checksum(header))
    return header + segment
  }
  private static func frame(
    _ machine: TapMachine, to mac: [UInt8], _ number: UInt8, _ from: Address, _ to: Address, _ segment: [UInt8]
  )
    -> [UInt8]
  {
    ethernet(
      to: mac, from: machine.mac, vlan: machine.vlan, type: from.count == 4 ? 0x0800 : 0x86dd,
      ip(number, from: from, to: to, segment))
  }

  /// - Parameter from: a forged address; nil for the machine's own.
  static func udp(
    _ machine: TapMachine, to other: TapMachine, _ ports: (UInt16, UInt16), from: Address? = nil, toMAC: [UInt8]? = nil,
    to address: Address? = nil
  ) -> [UInt8] {
    let (source, destination) = (from ?? machine.address, address ?? other.address)
    let segment = bytes(ports.0) + bytes(ports.1) + bytes(UInt16(12)) + [0, 0, 1, 2, 3, 4]
    return frame(machine, to: toMAC ?? other.mac, 17, source, destination, sum(segment, at: 6, 17, source, destination))
  }
  enum Flag: UInt8 { case syn = 2, synAck = 0x12, ack = 0x10 }
  static func tcp(_ machine: TapMachine, to other: TapMachine, _ ports: (UInt16, UInt16), _ flag: Flag) -> [UInt8] {
    let segment =
      bytes(ports.0) + bytes(ports.1) + bytes(UInt32(flag == .ack ? 1001 : 1000))
      + bytes(UInt32(flag == .syn ? 0 : 1001)) + [0x50, flag.rawValue, 0xff, 0xff, 0, 0, 0, 0]
    return frame(
      machine, to: other.mac, 6, machine.address, other.address, sum(segment, at: 16, 6, machine.address, other.address)
    )
  }
  static func ping(_ machine: TapMachine, to other: TapMachine, isReply: Bool = false) -> [UInt8] {
    var segment: [UInt8] = [isReply ? 0 : 8, 0, 0, 0, 0, 77, 0, 1, 9, 9, 9, 9]
    segment.replaceSubrange(2..<4, with: checksum(segment))
    return frame(machine, to: other.mac, 1, machine.address, other.address, segment)
  }
  /// - Parameter claims: an address that is not the machine's.
  static func arp(_ machine: TapMachine, claims: Address? = nil, mac: [UInt8]? = nil) -> [UInt8] {
    let body: [UInt8] =
      [0, 1, 8, 0, 6, 4, 0, 2] + (mac ?? machine.mac) + (claims ?? machine.address) + [UInt8](repeating: 0, count: 6)
      + [10, 9, 0, 99]
    return ethernet(to: Frame.broadcast, from: machine.mac, vlan: machine.vlan, type: 0x0806, body)
  }
  /// ICMPv6 to all nodes: `type`, and for an advertisement of a neighbour the address that it is about.
  static func icmp6(_ machine: TapMachine, type: UInt8, from: Address, target: Address? = nil) -> [UInt8] {
    let all: Address = [0xff, 2] + [UInt8](repeating: 0, count: 13) + [1]
    let segment = [type, 0, 0, 0, 0x20, 0, 0, 0] + (target ?? [UInt8](repeating: 0, count: 8))
    return frame(machine, to: [0x33, 0x33, 0, 0, 0, 1], 58, from, all, sum(segment, at: 2, 58, from, all))
  }
}

/// A machine on a tap.
struct TapMachine: Sendable {
  let tap: Tap
  let mac: [UInt8]
  /// 4 or 16 bytes.
  var address: MachinePacket.Address
  /// The tag that it sends with; nil for none.
  var vlan: UInt16?

  init(_ tap: Tap, _ number: UInt8, mac: [UInt8]? = nil) {
    self.tap = tap
    self.mac = mac ?? Frame.mac(number)
    address = [10, 9, 0, number]
  }
  func tagged(_ vlan: UInt16) -> TapMachine {
    var other = self
    other.vlan = vlan
    return other
  }
  func at(_ address: MachinePacket.Address) -> TapMachine {
    var other = self
    other.address = address
    return other
  }
  /// fe80::5054:ff:fe77:N
  var linkLocal: MachinePacket.Address { [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0x50, 0x54, 0, 0xff, 0xfe, 0x77, 0, mac[5]] }
}

/// Two machines on one network of a real switch, and two ports that see when everything is through.
struct Room {
  let home: VirtualSwitch
  let driver: OpenVSwitch
  let a: TapMachine
  let b: TapMachine
  let witnesses: (Tap, Tap)

  /// Whether the frame that `sender` sends comes out at `receiver` as it went in, or without its tag.
  func passes(_ frame: [UInt8], _ sender: TapMachine, _ receiver: TapMachine) async throws -> Bool {
    _ = receiver.tap.receivedBytes()
    sender.tap.send(bytes: frame)
    var seen: [[UInt8]] = []
    for round: UInt32 in 0..<3 {
      let witness = Frame(from: Frame.mac(200), mark: round)
      witnesses.0.send(witness)
      try await until("the witness's frame is through") {
        witnesses.1.received().contains { $0.mark == round }
      }
      seen += receiver.tap.receivedBytes()
    }
    return seen.contains { $0.prefix(frame.count) == frame[...] }
  }
}
