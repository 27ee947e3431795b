import Testing

@testable import Agent

@Suite struct DiskErasureTests {
  let scratch = Scratch()

  @Test func aFullErasureLeavesNothingAndReadsEverything() throws {
    let size = 80 << 20
    let device = try BlockDevice(path: scratch.disk("disk", bytes: size + 512))
    for at in [0, 5 << 20, 70 << 20, size + 510] { try device.write([1, 2], at: at) }
    var steps: [Double] = []

    let outcome = try DiskErasure(mode: .full) { steps.append($0) }.run(device)

    #expect(outcome.verifiedBytes == size + 512)
    for at in [0, 5 << 20, 70 << 20, size + 510] { #expect(try device.read(2, at: at) == [0, 0]) }
    #expect(steps == steps.sorted())
  }

  @Test func metadataAreTheFirstAndTheLastSixteenMebibytes() throws {
    let size = 80 << 20
    let device = try BlockDevice(path: scratch.disk("disk", bytes: size))
    for at in [0, (16 << 20) - 1, 40 << 20, size - (16 << 20), size - 1] { try device.write([7], at: at) }

    let outcome = try DiskErasure(mode: .metadata) { _ in }.run(device)

    #expect(outcome.verifiedBytes == 32 << 20)
    for at in [0, (16 << 20) - 1, size - (16 << 20), size - 1] { #expect(try device.read(1, at: at) == [0]) }
    #expect(try device.read(1, at: 40 << 20) == [7])
  }

  @Test func zerosAreWrittenWhereTheCommandIsNotTrusted() throws {
    let device = try BlockDevice(path: scratch.disk("disk", bytes: 3 << 20))
    try device.write([UInt8](repeating: 9, count: 3 << 20), at: 0)
    #expect(try device.zero(1000..<2_500_001, forced: true) == .write)
    #expect(try device.read(1, at: 999) == [9])
    #expect(try device.read(2_499_001, at: 1000).allSatisfy { $0 == 0 })
    #expect(try device.read(1, at: 2_500_001) == [9])
  }

  @Test func oneByteAnywhereIsNotZero() {
    for at in [0, 1, 4095, 8191] {
      var bytes = [UInt8](repeating: 0, count: 8192)
      #expect(bytes.withUnsafeBytes { isZero($0) })
      bytes[at] = 1
      #expect(!bytes.withUnsafeBytes { isZero($0) })
    }
  }
}
