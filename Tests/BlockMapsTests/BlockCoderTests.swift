import Testing

@testable import BlockMaps

@Suite struct BlockCoderTests {
  private let coder = BlockCoder()

  private func frame(_ block: [UInt8], index: Int = 0) -> [UInt8] {
    var frame = [UInt8](repeating: 0, count: BlockCoder.room(forBlockOf: block.count))
    let length = block.withUnsafeBytes { block in
      frame.withUnsafeMutableBytes { coder.encode(block, index: index, into: $0) }
    }
    return Array(frame[..<length])
  }
  private func decode(_ stored: [UInt8], count: Int) throws -> [UInt8] {
    var block = [UInt8](repeating: 0, count: count)
    try stored.withUnsafeBytes { stored in try block.withUnsafeMutableBytes { try coder.decode(stored, into: $0) } }
    return block
  }
  private func header(_ frame: [UInt8]) -> BlockCoder.Header { frame.withUnsafeBytes { BlockCoder.Header($0) } }

  @Test func textBecomesSmallAndComesBack() throws {
    let block = Array(String(repeating: "the same words again ", count: 5000).utf8)

    let frame = frame(block, index: 7)

    #expect(header(frame) == header(frame))
    #expect(header(frame).index == 7)
    #expect(header(frame).storedLength == frame.count - BlockCoder.headerLength)
    #expect(frame.count < 1000)
    #expect(try decode(Array(frame.dropFirst(BlockCoder.headerLength)), count: block.count) == block)
  }

  @Test(arguments: [1, 2, 100, 65536]) func noiseIsStoredAsItIs(_ count: Int) throws {
    let block = (0..<count).map { _ in UInt8.random(in: 1...255) }

    let frame = frame(block)

    #expect(header(frame).storedLength == count)
    #expect(Array(frame.dropFirst(BlockCoder.headerLength)) == block)
    #expect(try decode(block, count: count) == block)
  }

  @Test func zerosAreSeen() {
    var block = [UInt8](repeating: 0, count: 65536)
    #expect(block.withUnsafeBytes { BlockCoder.isZero($0) })
    block[65535] = 1
    #expect(!block.withUnsafeBytes { BlockCoder.isZero($0) })
    block[65535] = 0
    block[0] = 1
    #expect(!block.withUnsafeBytes { BlockCoder.isZero($0) })
  }

  @Test func damagedBlocksAreRefused() throws {
    let block = [UInt8](repeating: 7, count: 65536)
    let stored = Array(frame(block).dropFirst(BlockCoder.headerLength))

    // Shorter and longer than the block, cut, with something behind, without its beginning.
    for (bytes, count) in [
      (stored, 65535), (stored, 65537), (Array(stored.dropLast()), 65536), (stored + [0], 65536),
      (Array(stored.dropFirst()), 65536), ([], 65536), ([UInt8](repeating: 0, count: 65537), 65536),
    ] {
      #expect(throws: BlockFormatError.self) { try decode(bytes, count: count) }
    }
  }

  /// A frame that says it unpacks to 2^62 bytes takes no memory.
  @Test func aBlockThatSwellsIsRefused() throws {
    let bomb: [UInt8] = [0x28, 0xb5, 0x2f, 0xfd, 0xe0] + [0, 0, 0, 0, 0, 0, 0, 0x40] + [1, 0, 0]

    #expect(throws: BlockFormatError.self) { try decode(bomb, count: 65536) }
  }

  @Test func onlyBlocksOfTheMapAreTaken() throws {
    var builder = try BlockMap.Builder(size: 65536 + 10, blockSize: 65536)
    builder.addZeros()
    builder.add(digest: [UInt8](repeating: 0, count: 32))
    let map = builder.map
    func header(_ index: UInt32, _ length: UInt32) -> BlockCoder.Header {
      var bytes: [UInt8] = []
      bytes.append(little: index)
      bytes.append(little: length)
      return self.header(bytes)
    }

    try header(1, 10).check(against: map)

    for wrong in [header(0, 10), header(2, 10), header(.max, 10), header(1, 11), header(1, .max), header(1, 0)] {
      #expect(throws: BlockFormatError.self) { try wrong.check(against: map) }
    }
  }
}
