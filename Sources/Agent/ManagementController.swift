import CLinux
import Glibc
import Wire

/// Where the machine's own management controller answers on the network, by its own account.
/// Source: IPMI 2.0 revision 1.1, 22.24 "Get Channel Info", 23.2 "Get LAN Configuration Parameters", table 23-4.
struct ManagementController {
  /// Sends a command: network function, number, data.
  /// - Returns: the answer with its completion code first; nil when there is none.
  let ask: (_ function: UInt8, _ command: UInt8, _ data: [UInt8]) -> [UInt8]?

  struct Address: Equatable {
    var v4: String?
    var v6: String?
    var mac: String?
  }
  private enum Parameter {
    static let address: UInt8 = 3, mac: UInt8 = 5, v6Static: UInt8 = 56, v6Dynamic: UInt8 = 59
  }
  /// Each number of IPv6 addresses that is looked at; controllers have up to 15.
  private static let mostAddresses: UInt8 = 4

  /// The address of the first LAN channel that has one; nil when there is none.
  func address() -> Address? {
    // 11 is the last channel that can be a LAN; 14 is the one that asks, 15 the system's interface.
    for channel in 1...UInt8(11) where isLAN(channel) {
      var found = Address()
      found.v4 = parameter(Parameter.address, channel).flatMap { Self.v4($0) }
      found.v6 = v6(channel)
      guard found.v4 != nil || found.v6 != nil else { continue }
      found.mac = parameter(Parameter.mac, channel).flatMap { Self.mac($0) }
      return found
    }
    return nil
  }

  private func isLAN(_ channel: UInt8) -> Bool {
    guard let answer = ask(0x06, 0x42, [channel]), answer.count >= 3, answer[0] == 0 else { return false }
    // 4 is Ethernet, 6 another LAN.
    return [4, 6].contains(answer[2] & 0x7f)
  }
  /// The bytes of a parameter, without completion code and revision.
  private func parameter(_ number: UInt8, _ channel: UInt8, set: UInt8 = 0) -> ArraySlice<UInt8>? {
    guard let answer = ask(0x0c, 0x02, [channel, number, set, 0]), answer.count > 2, answer[0] == 0 else { return nil }
    return answer[2...]
  }
  private func v6(_ channel: UInt8) -> String? {
    for number in [Parameter.v6Static, Parameter.v6Dynamic] {
      for set in 0..<Self.mostAddresses {
        guard let bytes = parameter(number, channel, set: set) else { break }
        if let address = Self.v6(Array(bytes), isStatic: number == Parameter.v6Static) { return address }
      }
    }
    return nil
  }

  // MARK: The bytes

  static func v4(_ bytes: ArraySlice<UInt8>) -> String? {
    guard bytes.count >= 4 else { return nil }
    let parts = Array(bytes.prefix(4))
    // Nothing set, this machine itself, and what nobody can reach.
    guard parts[0] != 0, parts[0] != 127, parts[0] < 224, !parts.allSatisfy({ $0 == 255 }) else { return nil }
    return parts.map { "\($0)" }.joined(separator: ".")
  }
  /// Set selector, source (bit 7: a static one is in use), address, prefix length, status (0: active).
  static func v6(_ bytes: [UInt8], isStatic: Bool) -> String? {
    guard bytes.count >= 20, bytes[19] == 0, !isStatic || bytes[1] & 0x80 != 0 else { return nil }
    let address = Array(bytes[2..<18])
    // Link-local ones mean nothing elsewhere; ::, ::1 and multicast are none.
    guard address[0] & 0xe0 == 0x20 || address[0] & 0xfe == 0xfc else { return nil }
    var text = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
    guard inet_ntop(AF_INET6, address, &text, socklen_t(text.count)) != nil else { return nil }
    return String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }
  static func mac(_ bytes: ArraySlice<UInt8>) -> String? {
    let parts = Array(bytes.prefix(6))
    guard parts.count == 6, parts.contains(where: { $0 != 0 }), parts.contains(where: { $0 != 0xff }) else {
      return nil
    }
    return parts.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined(separator: ":")
  }
}

extension ManagementController {
  /// What the kernel's IPMI device says; nil on machines without a controller, or a kernel without the driver.
  static func address(of machine: Machine) -> Address? {
    for name in ["ipmi0", "ipmi/0", "ipmidev/0"] {
      let descriptor = open("\(machine.dev)/\(name)", O_RDWR | O_CLOEXEC)
      guard descriptor >= 0 else { continue }
      defer { close(descriptor) }
      var isSilent = false
      let controller = ManagementController { function, command, data in
        // One that does not answer is not asked eleven times.
        guard !isSilent else { return nil }
        var reply = [UInt8](repeating: 0, count: 256)
        let count = clinux_ipmi_command(descriptor, function, command, data, data.count, &reply, reply.count, 3000)
        isSilent = count < 0
        return count > 0 ? Array(reply.prefix(Int(count))) : nil
      }
      return controller.address()
    }
    return nil
  }
}
