import Testing

@testable import Agent

/// An NVMe disk's own erasure, by a controller that is made up; the disk is a file.
@Suite struct NVMeErasureTests {
  private let scratch = Scratch()

  private final class Controller: NVMeController {
    var identity = [UInt8](repeating: 0, count: 4096)
    var statuses: [UInt8] = []
    var refused: Set<UInt8> = []
    var commands: [NVMeCommand] = []
    /// What a sanitize or format does to the disk.
    var effect: () -> Void = {}

    func run(_ command: NVMeCommand, reading data: inout [UInt8], seconds: Int) -> Bool {
      if refused.contains(command.opcode) { return false }
      switch command.opcode {
      case 0x06 where command.word10 == 1: data = identity
      case 0x06: (data[26], data[29]) = (0x11, 0x0a)
      case 0x02: data[2] = statuses.isEmpty ? 0 : statuses.removeFirst()
      default:
        commands.append(command)
        effect()
      }
      return true
    }
  }
  private func erasure(_ controller: Controller) -> NVMeErasure {
    NVMeErasure(controller: controller, namespace: 3, pause: 10) { _ in }
  }

  @Test func theKeyIsThrownAwayWhereTheDiskHasOne() throws {
    let controller = Controller()
    controller.identity[328] = 3
    controller.statuses = [0, 2, 2, 1]
    #expect(try erasure(controller).run() == .sanitizeCrypto)
    #expect(controller.commands == [NVMeCommand(opcode: 0x84, word10: 4 | 8)])
  }

  @Test func aSanitizeThatFailsIsFollowedByTheNextKind() throws {
    let controller = Controller()
    controller.identity[328] = 3
    controller.statuses = [0, 2, 3, 4]
    #expect(try erasure(controller).run() == .sanitizeBlocks)
    #expect(controller.commands.map(\.word10) == [4 | 8, 2 | 8])
  }

  @Test func aDiskWithoutSanitizeIsFormattedAsItWas() throws {
    let controller = Controller()
    controller.identity[256] = 2
    controller.identity[524] = 4
    #expect(try erasure(controller).run() == .formatCrypto)
    // Block size, metadata and protection as the namespace had them.
    #expect(controller.commands == [NVMeCommand(opcode: 0x80, namespace: 3, word10: 0x11 | 2 << 5 | 1 << 8 | 2 << 9)])
    controller.refused = [0x80]
    #expect(try erasure(controller).run() == nil)
    controller.identity[256] = 0
    #expect(try erasure(controller).run() == nil)
  }

  @Test func whatTheDiskSaysIsNotBelieved() throws {
    let size = 80 << 20
    let path = try scratch.disk("disk", bytes: size)
    let device = try BlockDevice(path: path)
    try device.write([UInt8](repeating: 9, count: size), at: 0)
    let controller = Controller()
    controller.identity[256] = 2
    var lazy = DiskErasure(mode: .full) { _ in }
    lazy.nvme = (controller, 1)

    // It says that it did, and did nothing: overwritten.
    let overwritten = try lazy.run(device)
    #expect(overwritten.method == "zeroout" && overwritten.verifiedBytes == size)

    try device.write([UInt8](repeating: 9, count: size), at: 0)
    controller.effect = { try? device.write(randomBytes(size), at: 0) }
    let erased = try lazy.run(device)
    // Without its key a disk reads as noise: no longer what was there, and no partition table.
    #expect(erased.method == "nvme-format" && erased.verifiedBytes == (32 << 20) + (1024 * 64 << 10))
    #expect(try device.read(512, at: 0).allSatisfy { $0 == 0 })
    #expect(try device.read(512, at: 40 << 20).contains { $0 != 0 })
  }
}
