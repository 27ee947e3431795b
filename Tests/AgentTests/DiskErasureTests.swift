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

  @Test func anInterruptedErasureGoesOnWhereItWas() throws {
    let size = 400 << 20
    let device = try BlockDevice(path: scratch.disk("disk", bytes: size))
    try device.write([7], at: 300 << 20)
    var places: [Int] = []
    var erasure = DiskErasure(mode: .full) { _ in
      if let last = places.last, last >= 128 << 20 { throw AgentError(.sessionOver, "The power is gone.") }
    }
    erasure.stride = 64 << 20
    erasure.reached = { places.append($0) }
    #expect(throws: AgentError.self) { try erasure.run(device) }
    #expect(places == [64 << 20, 128 << 20])

    var next = DiskErasure(mode: .full) { _ in }
    next.stride = 64 << 20
    next.done = 128 << 20
    var reached: [Int] = []
    next.reached = { reached.append($0) }
    let outcome = try next.run(device)
    #expect(reached.first == 192 << 20 && outcome.verifiedBytes == size)
    #expect(try device.read(1, at: 300 << 20) == [0])

    // Somebody has written since: from the beginning.
    try device.write([UInt8](repeating: 1, count: 16 << 20), at: 0)
    reached = []
    #expect(try next.run(device).verifiedBytes == size)
    #expect(reached.first == 64 << 20)
    // Written where no sample looked: the reading of everything finds it, and it is erased.
    try device.write([1], at: (100 << 20) + 777)
    #expect(try next.run(device).verifiedBytes == size)
    #expect(try device.read(1, at: (100 << 20) + 777) == [0])
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
