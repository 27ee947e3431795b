import Testing
import Wire

@testable import Agent

/// The image's last partition, up to the config drive.
@Suite struct GrowingPartitionTests {
  private let tables = PartitionTableTests()
  private let mebibyte = 1 << 20

  /// First and last sector of each partition after an image of 64 MiB was put on a disk of 300 MiB.
  private func places(_ script: String, drive: [UInt8]?, growsLast: Bool = true, sized size: Int = 300) throws
    -> [ClosedRange<Int>]
  {
    let path = try tables.disk(script, imageSize: 64 * mebibyte, size: size * mebibyte)
    try tables.finish(BlockDevice(path: path), configDrive: drive, imageSize: 64 * mebibyte, growsLast: growsLast)
    let check = run("sfdisk -V \(path)")
    #expect(check.output.contains("No errors"), "\(check.output)")
    return try (tables.table(path)["partitions"]?.array ?? []).map {
      let (start, size) = (try #require($0["start"]?.int), try #require($0["size"]?.int))
      return start...(start + size - 1)
    }
  }

  @Test(arguments: ["L", "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709"]) func aRootReachesTheConfigDrive(type: String) throws {
    let script = "label: gpt\\nsize=8192,type=U\\ntype=\(type)\\n"
    let found = try places(script, drive: randomBytes(3 * mebibyte))
    try #require(found.count == 3)
    #expect(found[0].count == 8192 && found[1].upperBound == found[2].lowerBound - 1)
    #expect(found[1].count > 280 * 2048)
    let without = try places(script, drive: nil)
    #expect(without[1].upperBound == 300 * 2048 - 34, "the last usable sector")
  }

  @Test func aClassicRootReachesTheConfigDriveToo() throws {
    let script = "label: dos\\nsize=8192,type=82\\ntype=83,bootable\\n"
    let found = try places(script, drive: [1, 2, 3])
    try #require(found.count == 3)
    #expect(found[0].count == 8192 && found[1].upperBound == found[2].lowerBound - 1)
    #expect(try places(script, drive: nil)[1].upperBound == 300 * 2048 - 1)
  }

  @Test(arguments: [
    // Not of Linux, or no file system; logical ones; more behind it than an image leaves free by itself.
    "label: gpt\\nsize=8192,type=L\\ntype=U\\n", "label: gpt\\ntype=swap\\n",
    "label: gpt\\ntype=E6D6D379-F507-44C2-A23C-238F2A3DF928\\n", "label: dos\\ntype=8e\\n",
    "label: dos\\nsize=8192,type=83\\ntype=5\\n",
  ])
  func whatIsNoRootStaysAsItIs(script: String) throws {
    let still = try places(script, drive: nil, growsLast: false)
    #expect(try places(script, drive: nil) == still)
  }

  @Test func oneThatLeavesRoomMeansIt() throws {
    let script = "label: gpt\\nsize=40M,type=L\\n"
    let path = try tables.disk(script, imageSize: 200 * mebibyte, size: 400 * mebibyte)
    let before = try tables.table(path)["partitions"]
    try tables.finish(BlockDevice(path: path), configDrive: nil, imageSize: 200 * mebibyte, growsLast: true)
    #expect(try tables.table(path)["partitions"] == before)
    let classic = try tables.disk("label: dos\\nsize=40M,type=83\\n", imageSize: 200 * mebibyte, size: 400 * mebibyte)
    let whole = run("sha256sum \(classic)").output
    try tables.finish(BlockDevice(path: classic), configDrive: nil, imageSize: 200 * mebibyte, growsLast: true)
    #expect(run("sha256sum \(classic)").output == whole)
  }

  @Test func itIsNotAskedForByItself() throws {
    let found = try places(tables.twoPartitions, drive: [1], growsLast: false)
    #expect(found[1].upperBound < 64 * 2048)
  }

  @Test func aDiskOfTheImagesSizeHasNothingToGive() throws {
    let found = try places(tables.twoPartitions, drive: nil, sized: 64)
    #expect(found[1].upperBound <= 64 * 2048 - 34)
  }

  @Test func aFileSystemInItGrowsWithIt() throws {
    let image = try tables.scratch.disk("filesystem", bytes: 20 * mebibyte)
    try #require(run("mkfs.ext4 -q \(image)").status == 0)
    let path = try tables.disk("label: gpt\\nstart=2048,type=L\\n", imageSize: 24 * mebibyte, size: 200 * mebibyte)
    _ = run("dd if=\(image) of=\(path) bs=1M seek=1 conv=notrunc")
    try tables.finish(BlockDevice(path: path), configDrive: [1], imageSize: 24 * mebibyte, growsLast: true)
    let size = try #require(try tables.table(path)["partitions"]?.array?.first?["size"]?.int)
    _ = run("dd if=\(path) of=\(image) bs=512 skip=2048 count=\(size)")
    let grown = run("e2fsck -fy \(image) && resize2fs \(image)")
    #expect(grown.status == 0 && size > 190 * 2048, "\(grown.output)")
  }
}
