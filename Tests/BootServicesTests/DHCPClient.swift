import CLinux
import Domain
import Glibc
import Processes
import TestSupport

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

  typealias Kind = DHCPMessage.Kind
  typealias Answer = DHCPMessage.Answer
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
  static func discovery(_ mac: MACAddress) -> [UInt8] {
    DHCPMessage.frame(mac, .discover, transaction: 1, options: [])
  }
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
    let frame = DHCPMessage.frame(mac, kind, transaction: transaction, options: options)
    let end = ContinuousClock.now + limit
    guard write(descriptor, frame, frame.count) == frame.count else {
      throw CommandError(program: "tap", reason: .notStarted(errno))
    }
    var buffer = [UInt8](repeating: 0, count: 2048)
    while ContinuousClock.now < end {
      let count = read(descriptor, &buffer, buffer.count)
      if count > 0, let answer = DHCPMessage.answer(Array(buffer[..<count]), to: transaction) { return answer }
      if count <= 0 { try await Task.sleep(for: .milliseconds(2)) }
    }
    return nil
  }
}
