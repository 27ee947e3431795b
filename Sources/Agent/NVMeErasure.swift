import CLinux
import Glibc

/// What an NVMe controller is asked.
protocol NVMeController {
  /// One admin command that reads `data.count` bytes.
  /// - Parameter seconds: how long it may take.
  /// - Returns: whether the controller did it.
  func run(_ command: NVMeCommand, reading data: inout [UInt8], seconds: Int) -> Bool
}

/// An admin command. Source: NVM Express Base Specification 2.0, section 5.
struct NVMeCommand: Equatable {
  var opcode: UInt8
  var namespace: UInt32 = 0
  var word10: UInt32 = 0

  static let identifyController = NVMeCommand(opcode: 0x06, word10: 1)
  static func identifyNamespace(_ id: UInt32) -> NVMeCommand { NVMeCommand(opcode: 0x06, namespace: id) }
  /// Get Log Page, 512 bytes of "Sanitize Status".
  static let sanitizeStatus = NVMeCommand(opcode: 0x02, namespace: 0xffff_ffff, word10: 127 << 16 | 0x81)
  /// With "Allow Unrestricted Sanitize Exit": a controller whose sanitizing fails can be used again.
  static func sanitize(_ action: UInt32) -> NVMeCommand { NVMeCommand(opcode: 0x84, word10: action | 1 << 3) }
}

/// The erasure that an NVMe disk does by itself: sanitize, else format with secure erase; by its key where it has one, else of all blocks.
struct NVMeErasure {
  enum Method: String {
    case sanitizeCrypto = "nvme-sanitize-crypto"
    case sanitizeBlocks = "nvme-sanitize-block"
    case formatCrypto = "nvme-format-crypto"
    case format = "nvme-format"
  }
  let controller: any NVMeController
  let namespace: UInt32
  /// Between two looks at how far it is; shorter in tests.
  var pause: UInt32 = 1_000_000
  /// Told the part that is done; throws to stop. The controller goes on by itself then, and after a loss of power.
  let progress: (Double) throws -> Void

  /// - Returns: how it was done; nil when the disk offers nothing, or refused: its blocks are to be overwritten then.
  func run() throws -> Method? {
    var identity = [UInt8](repeating: 0, count: 4096)
    guard controller.run(.identifyController, reading: &identity, seconds: 60) else { return nil }
    // One that was interrupted by us is under way still.
    try finishSanitizing()
    let offers = UInt32(identity[328])
    for (bit, action, method) in [(0, 4, Method.sanitizeCrypto), (1, 2, .sanitizeBlocks)] as [(Int, UInt32, Method)]
    where offers >> bit & 1 == 1 {
      var nothing: [UInt8] = []
      guard controller.run(.sanitize(action), reading: &nothing, seconds: 60) else { continue }
      if try finishSanitizing() { return method }
    }
    guard identity[256] & 2 != 0 else { return nil }
    return format(isCrypto: identity[524] & 4 != 0)
  }

  private func format(isCrypto: Bool) -> Method? {
    var about = [UInt8](repeating: 0, count: 4096)
    guard controller.run(.identifyNamespace(namespace), reading: &about, seconds: 60) else { return nil }
    // The same block size, metadata and protection as before.
    let layout = UInt32(about[26]), protection = UInt32(about[29])
    let kept = layout & 0x1f | (protection & 0x7) << 5 | (protection >> 3 & 1) << 8
    let kinds: [(UInt32, Method)] = isCrypto ? [(2, .formatCrypto), (1, .format)] : [(1, .format)]
    for (setting, method) in kinds {
      var nothing: [UInt8] = []
      let command = NVMeCommand(opcode: 0x80, namespace: namespace, word10: kept | setting << 9)
      if controller.run(command, reading: &nothing, seconds: 4 * 3600) { return method }
    }
    return nil
  }

  /// Waits until the controller sanitizes no more.
  /// - Returns: whether the last time was a success.
  @discardableResult private func finishSanitizing() throws -> Bool {
    while true {
      var page = [UInt8](repeating: 0, count: 512)
      guard controller.run(.sanitizeStatus, reading: &page, seconds: 60) else { return false }
      switch page[2] & 7 {
      case 2:
        try progress(Double(Int(page[0]) | Int(page[1]) << 8) / 65536)
        usleep(pause)
      case 1, 4: return true
      default: return false
      }
    }
  }
}

/// The controller behind a disk of this machine.
final class NVMeDevice: NVMeController {
  private let descriptor: Int32
  let namespace: UInt32

  /// - Returns: nil when the disk is no NVMe disk.
  init?(path: String) {
    guard let name = path.split(separator: "/").last, name.hasPrefix("nvme") else { return nil }
    descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return nil }
    let id = clinux_ioctl_int(descriptor, 0x4e40, 0)
    guard id > 0 else {
      close(descriptor)
      return nil
    }
    namespace = UInt32(id)
  }
  deinit { close(descriptor) }

  func run(_ command: NVMeCommand, reading data: inout [UInt8], seconds: Int) -> Bool {
    let count = UInt32(data.count)
    return data.withUnsafeMutableBytes {
      clinux_nvme_admin(
        descriptor, command.opcode, command.namespace, command.word10, count == 0 ? nil : $0.baseAddress, count,
        UInt32(seconds) * 1000) == 0
    }
  }
}
