import Glibc
import Processes
import Testing

@testable import Lab

/// Images that are booted before metal is leased for them.
@Suite(.serialized) struct ImageTrialTests {
  // MARK: What a guest sends

  private static func record(_ frames: [[UInt8]]) -> [UInt8] {
    [UInt8](repeating: 0, count: 24)
      + frames.flatMap { frame -> [UInt8] in
        let length = [UInt8(frame.count & 255), UInt8(frame.count >> 8), 0, 0]
        return [UInt8](repeating: 0, count: 8) + length + length + frame
      }
  }
  /// Ethernet and IPv4 around a datagram or segment.
  private static func frame(_ kind: UInt8, to address: [UInt8], _ content: [UInt8]) -> [UInt8] {
    [UInt8](repeating: 0, count: 12) + [8, 0, 0x45] + [UInt8](repeating: 0, count: 8) + [kind, 0, 0]
      + [UInt8](repeating: 0, count: 4) + address + content
  }
  private static func discovery(options: [UInt8]) -> [UInt8] {
    frame(17, to: [255, 255, 255, 255], [0, 68, 0, 67, 0, 0, 0, 0] + [UInt8](repeating: 0, count: 240) + options)
  }
  private static let opening: [UInt8] = [0xc0, 0, 0, 80, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, 2, 0, 0, 0, 0, 0, 0]

  @Test func whatTellsOfAnImageIsReadFromItsFrames() {
    let asked = FrameRecord(bytes: Self.record([Self.discovery(options: [53, 1, 1, 0, 12, 3, 0x61, 0x62, 0x63, 255])]))
    #expect(asked.asksForAddress && asked.hostNames == ["abc"] && !asked.calls)
    let called = FrameRecord(bytes: Self.record([Self.frame(6, to: [10, 0, 2, 2], Self.opening)]))
    #expect(called.calls && !called.asksForAddress)
    // To somebody else, or not an opening.
    #expect(!FrameRecord(bytes: Self.record([Self.frame(6, to: [10, 0, 2, 3], Self.opening)])).calls)
    var answer = Self.opening
    answer[13] = 0x12
    #expect(!FrameRecord(bytes: Self.record([Self.frame(6, to: [10, 0, 2, 2], answer)])).calls)
  }

  @Test func framesThatAreCutShortOrLieAreHarmless() {
    let whole = Self.record([
      Self.discovery(options: [12, 200, 1, 2]), Self.frame(6, to: [10, 0, 2, 2], Self.opening),
      Self.discovery(options: [12, 3, 0x61, 0x62, 0x63, 255]),
    ])
    for length in 0...whole.count { _ = FrameRecord(bytes: Array(whole.prefix(length))) }
    for at in whole.indices {
      var spoilt = whole
      spoilt[at] = 0xff
      _ = FrameRecord(bytes: spoilt)
    }
    #expect(FrameRecord(bytes: whole).hostNames == ["abc"])
  }

  // MARK: Real images

  static var isSlow: Bool { getenv("STEELYARD_SLOW") != nil && geteuid() == 0 }

  @Test(.enabled(if: isSlow)) func imagesThatComeUpAndImagesThatDoNot() async throws {
    let folder = try makeTemporaryFolder("image-trial")
    defer {
      for name in fileNames(in: folder) { unlink("\(folder)/\(name)") }
      rmdir(folder)
    }
    let program = "\(Room.products)/steelyard"
    try await TinyImage.make("marker-of-a-trial", at: "\(folder)/good.qcow2")
    let good = try await run(
      program, ["image", "check", "\(folder)/good.qcow2", "--memory", "256"], timeout: .seconds(700))
    #expect(good.status == 0 && good.text.contains("It would come up."), "\(good.text) \(good.errorText)")
    #expect(good.text.contains("BIOS") && good.text.contains("UEFI") && !good.text.contains("NO"))

    try await runChecked("qemu-img", ["create", "-q", "-f", "raw", "\(folder)/empty.raw", "16M"])
    let empty = try await run(
      program, ["image", "check", "\(folder)/empty.raw", "--memory", "256", "--firmware", "bios"],
      timeout: .seconds(400))
    #expect(empty.status == 1 && empty.text.contains("finds a boot loader    NO"), "\(empty.text) \(empty.errorText)")

    // One that would read another file of the machine.
    try await runChecked(
      "qemu-img", ["create", "-q", "-f", "qcow2", "-F", "raw", "-b", "/etc/passwd", "\(folder)/leading.qcow2", "16M"])
    let leading = try await run(program, ["image", "check", "\(folder)/leading.qcow2"])
    #expect(leading.status != 0 && leading.errorText.contains("leads to another file"), "\(leading.errorText)")
  }
}
