import Testing

@testable import BlockMaps

@Suite struct BlockMapTests {
  /// Five blocks of 64 KiB, the last of 100 bytes; 1 and 4 are data.
  private func sample() throws -> BlockMap {
    var builder = try BlockMap.Builder(size: 4 * 65536 + 100, blockSize: 65536)
    builder.addZeros()
    builder.add(digest: Array(repeating: 1, count: 32))
    builder.addZeros(2)
    builder.add(digest: Array(repeating: 2, count: 32))
    #expect(builder.isComplete)
    return builder.map
  }

  @Test func whatIsWrittenIsRead() throws {
    let map = try sample()

    let read = try BlockMap(parsing: map.bytes)

    #expect(read == map)
    #expect(read.count == 5)
    #expect((0..<5).map(read.isZero) == [true, false, true, true, false])
    #expect(read.digest(of: 0) == nil)
    #expect(read.digest(of: 1).map(Array.init) == Array(repeating: 1, count: 32))
    #expect(read.digest(of: 4).map(Array.init) == Array(repeating: 2, count: 32))
    #expect(read.range(of: 4) == 262144..<262244)
    #expect(read.dataBytes == 65636)
    #expect(read.runs(where: read.isZero) == [0..<1, 2..<4])
    #expect(map.bytes.count <= BlockMap.mostBytes(forDiskOf: map.size, blockSize: 65536) ?? 0)
  }

  @Test func digestsOfManyBlocksAreFound() throws {
    var builder = try BlockMap.Builder(size: 1000 * 65536, blockSize: 65536)
    for index in 0..<1000 {
      if index % 3 == 0 {
        builder.addZeros()
      } else {
        builder.add(digest: [UInt8(index % 256), UInt8(index / 256)] + Array(repeating: 0, count: 30))
      }
    }

    let map = try BlockMap(parsing: builder.map.bytes)

    for index in 0..<1000 {
      let expected = index % 3 == 0 ? nil : index
      #expect(map.digest(of: index).map { Int($0.first ?? 0) + 256 * Int($0.dropFirst().first ?? 0) } == expected)
    }
  }

  private static let spoilings: [(what: String, spoil: @Sendable (inout [UInt8]) -> Void)] = [
    ("another magic", { $0[0] = 0 }),
    ("a block size that is no power of two", { $0[8] = 1 }),
    ("blocks of no bytes", { $0[10] = 0 }),
    ("reserved bytes", { $0[12] = 1 }),
    ("a disk of no bytes", { for at in 16..<24 { $0[at] = 0 } }),
    ("a disk of 2^63 bytes", { $0[23] = 0x80 }),
    ("a disk of more blocks than there may be", { $0[21] = 0xff }),
    (
      "blocks of 2 GiB",
      {
        $0[10] = 0; $0[11] = 0x80
      }
    ),
    ("more data blocks than bits", { $0[24] = 3 }),
    ("data blocks without number", { for at in 24..<32 { $0[at] = 0xff } }),
    ("a bit behind the last block", { $0[32] |= 0x20 }),
    ("another bit that makes up for it", { $0[32] = 0x22 }),
    ("bytes missing", { $0.removeLast() }),
    ("bytes too many", { $0.append(0) }),
    ("only a header", { $0.removeSubrange(32...) }),
    ("half a header", { $0.removeSubrange(16...) }),
    ("nothing", { $0 = [] }),
  ]
  @Test(arguments: spoilings.indices) func whatIsNoMapIsRefused(_ index: Int) throws {
    let (what, spoil) = Self.spoilings[index]
    var bytes = try sample().bytes
    spoil(&bytes)

    #expect(throws: BlockFormatError.self, "\(what)") { try BlockMap(parsing: bytes) }
  }

  @Test func largeDisksHaveLargeBlocks() throws {
    #expect(BlockMap.blockSize(forDiskOf: 1 << 30) == 512 << 10)
    #expect(BlockMap.blockSize(forDiskOf: 2 << 40) == 1 << 20)
    #expect(BlockMap.blockSize(forDiskOf: 16 << 40) == 8 << 20)
    #expect(BlockMap.count(size: 100 << 40, blockSize: BlockMap.blockSize(forDiskOf: 100 << 40)) == nil)
    #expect(throws: BlockFormatError.self) { try BlockMap.Builder(size: 0, blockSize: 65536) }
  }
}
