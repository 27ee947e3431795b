import CLinux
import Domain
import Glibc
import Processes

/// A machine's DHCP client as firmware has one: raw frames on a tap device, whose other end is the server's interface.
///
/// Source: RFC 2131, RFC 2132. Every question has a fresh transaction id and the broadcast flag: an answer to an earlier
/// question, or one sent to an address that the machine does not have yet, would read as silence.
final class DHCPClient: Sendable {
  private let descriptor: Int32

  /// Opens the tap `name` in the network namespace.
  init(tap name: String, in namespace: String) async throws {
    // setns changes the calling thread only.
    descriptor = try await withCheckedThrowingContinuation { continuation in
      startThread("tap") {
        let space = open("/run/netns/\(namespace)", O_RDONLY | O_CLOEXEC)
        defer { close(space) }
        guard space >= 0, clinux_setns_network(space) == 0 else {
          return continuation.resume(throwing: CommandError(program: "setns", reason: .notStarted(errno)))
        }
        let descriptor = clinux_open_tap(name)
        guard descriptor >= 0 else {
          return continuation.resume(throwing: CommandError(program: "tap", reason: .notStarted(errno)))
        }
        _ = fcntl(descriptor, F_SETFL, O_NONBLOCK)
        _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
        continuation.resume(returning: descriptor)
      }
    }
  }
  deinit { close(descriptor) }

  enum Kind: UInt8, Sendable { case discover = 1, offer, request, decline, acknowledge, refuse }
  /// What a machine says of itself besides its address.
  enum Firmware: Sendable {
    case bios, uefi, uefiHTTP, ipxe
    /// Options 93 (client architecture, RFC 4578) and 175 (iPXE's own).
    var options: [UInt8] {
      switch self {
      case .bios: [93, 2, 0, 0]
      case .uefi: [93, 2, 0, 7]
      case .uefiHTTP: [93, 2, 0, 16, 60, 10] + Array("HTTPClient".utf8)
      case .ipxe: [93, 2, 0, 0, 175, 3, 19, 1, 1]
      }
    }
  }
  struct Answer: Sendable {
    var kind: Kind
    var address: IPAddress
    var options: [UInt8: [UInt8]]
    /// What to boot: option 67, else the header's own field.
    var file: String
    var vendorClass: String { String(decoding: options[60] ?? [], as: UTF8.self) }
  }

  /// Asks for an offer; nil when none came in the time.
  /// - Parameter saying: more options, as they go over the wire: a machine may say anything of itself.
  func discover(
    _ mac: MACAddress, as firmware: Firmware = .bios, saying: [UInt8] = [], within limit: Duration = .seconds(1)
  ) async throws -> Answer? {
    try await ask(mac, .discover, firmware.options + saying, within: limit)
  }
  /// Takes the offered address.
  func request(_ offer: Answer, _ mac: MACAddress, saying: [UInt8] = [], within limit: Duration = .seconds(1))
    async throws -> Answer?
  {
    let answer = [50, 4] + bytes(of: offer.address) + [54, 4] + (offer.options[54] ?? [])
    return try await ask(mac, .request, answer + saying, within: limit)
  }
  /// Sends bytes that may be no message at all.
  func sendRaw(_ frame: [UInt8]) { _ = write(descriptor, frame, frame.count) }
  /// A frame as the others, to be spoiled.
  static func discovery(_ mac: MACAddress) -> [UInt8] { frame(mac, .discover, 1, []) }
  /// Asks for an address that it had before the power went, as a system that boots again does.
  func requestAgain(_ address: IPAddress, _ mac: MACAddress, within limit: Duration = .seconds(1)) async throws
    -> Answer?
  {
    try await ask(mac, .request, [50, 4] + bytes(of: address), within: limit)
  }

  private func bytes(of address: IPAddress) -> [UInt8] {
    [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: address.value >> $0) }
  }

  private func ask(_ mac: MACAddress, _ kind: Kind, _ options: [UInt8], within limit: Duration) async throws -> Answer?
  {
    let transaction = UInt32.random(in: 1 ... .max)
    let frame = Self.frame(mac, kind, transaction, options)
    let end = ContinuousClock.now + limit
    guard write(descriptor, frame, frame.count) == frame.count else {
      throw CommandError(program: "tap", reason: .notStarted(errno))
    }
    var buffer = [UInt8](repeating: 0, count: 2048)
    while ContinuousClock.now < end {
      let count = read(descriptor, &buffer, buffer.count)
      if count > 0, let answer = Self.answer(Array(buffer[..<count]), to: transaction) { return answer }
      if count <= 0 { try await Task.sleep(for: .milliseconds(2)) }
    }
    return nil
  }

  // MARK: Bytes

  private static func octets(_ mac: MACAddress) -> [UInt8] {
    mac.description.split(separator: ":").compactMap { UInt8($0, radix: 16) }
  }
  private static func frame(_ mac: MACAddress, _ kind: Kind, _ transaction: UInt32, _ options: [UInt8]) -> [UInt8] {
    let zeros = { (count: Int) in [UInt8](repeating: 0, count: count) }
    let hardware = octets(mac)
    var message: [UInt8] = [1, 1, 6, 0] + [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: transaction >> $0) }
    message += [0, 0, 0x80, 0] + zeros(16) + hardware + zeros(10) + zeros(192) + [99, 130, 83, 99]
    message += [53, 1, kind.rawValue, 55, 5, 1, 3, 60, 66, 67] + options + [255]
    message += zeros(max(0, 300 - message.count))
    let length = message.count + 8
    // No UDP checksum (RFC 768 allows none over IPv4).
    let udp: [UInt8] = [0, 68, 0, 67, UInt8(length >> 8), UInt8(length & 255), 0, 0]
    let total = length + 20
    var ip: [UInt8] =
      [0x45, 0, UInt8(total >> 8), UInt8(total & 255), 0, 0, 0, 0, 64, 17, 0, 0] + zeros(4) + [255, 255, 255, 255]
    var sum = stride(from: 0, to: 20, by: 2).reduce(UInt32(0)) { $0 + UInt32(ip[$1]) << 8 + UInt32(ip[$1 + 1]) }
    while sum >> 16 != 0 { sum = sum & 0xffff + sum >> 16 }
    (ip[10], ip[11]) = (UInt8(~sum >> 8 & 255), UInt8(~sum & 255))
    return [UInt8](repeating: 255, count: 6) + hardware + [8, 0] + ip + udp + message
  }

  private static func answer(_ frame: [UInt8], to transaction: UInt32) -> Answer? {
    // Ethernet 14, IPv4 20 (dnsmasq sends no IP options), UDP 8, then BOOTP.
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
