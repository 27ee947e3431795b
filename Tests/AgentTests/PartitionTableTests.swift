import Testing
import Wire

@testable import Agent

@Suite struct PartitionTableTests {
  let scratch = Scratch()
  let mebibyte = 1 << 20

  /// A file of `size` with a table made for its first `imageSize` bytes, as an image leaves a larger disk.
  func disk(_ script: String, imageSize: Int, size: Int) throws -> String {
    let image = try scratch.disk("image", bytes: imageSize)
    let made = run("printf '\(script)' | sfdisk -q \(image)")
    try #require(made.status == 0, "\(made.output)")
    let disk = try scratch.disk("disk", bytes: size)
    _ = run("dd if=\(image) of=\(disk) bs=1M conv=notrunc,sparse")
    return disk
  }

  func table(_ path: String) throws -> JSON {
    try #require(JSON(parsing: run("sfdisk -J \(path)", errors: false).output)["partitiontable"])
  }

  /// The image is as large as the tests' images are, and nothing grows.
  @discardableResult
  func finish(_ device: BlockDevice, configDrive: [UInt8]?, imageSize: Int = 64 << 20, growsLast: Bool = false) throws
    -> String
  {
    try DiskLayout.finish(device, configDrive: configDrive, imageSize: imageSize, growsLast: growsLast)
  }

  let twoPartitions = "label: gpt\\nsize=8192,type=U\\ntype=L\\n"

  @Test func theBackupTableMovesToTheEndOfALargerDisk() throws {
    let path = try disk(twoPartitions, imageSize: 64 * mebibyte, size: 200 * mebibyte)
    let before = try table(path)

    _ = try finish(BlockDevice(path: path), configDrive: nil)

    let check = run("sfdisk -V \(path)")
    #expect(check.status == 0 && check.output.contains("No errors"), "\(check.output)")
    let after = try table(path)
    #expect(after["lastlba"]?.int == 200 * mebibyte / 512 - 34)
    #expect(after["partitions"] == before["partitions"])
    #expect(after["id"] == before["id"])
    // The protective record covers the disk, and no second backup is left where the image ended.
    let device = try BlockDevice(path: path)
    #expect(try device.read(4, at: 458).little32(0) == UInt32(200 * mebibyte / 512 - 1))
    #expect(try device.read(8, at: 64 * mebibyte - 512) != Array("EFI PART".utf8))
  }

  @Test func theBackupAloneIsEnoughToRecoverTheTable() throws {
    let path = try disk(twoPartitions, imageSize: 64 * mebibyte, size: 200 * mebibyte)
    let device = try BlockDevice(path: path)
    _ = try finish(device, configDrive: [1, 2, 3])
    let before = try table(path)

    try device.write([UInt8](repeating: 0, count: 512), at: 512)

    #expect(try table(path)["partitions"] == before["partitions"])
  }

  @Test func theConfigDriveBecomesTheLastPartition() throws {
    let drive = randomBytes(3 * mebibyte + 77)
    let path = try disk(twoPartitions, imageSize: 64 * mebibyte, size: 200 * mebibyte)
    let device = try BlockDevice(path: path)
    // What an earlier tenant left there must not show behind the config drive.
    try device.write([UInt8](repeating: 0xee, count: 10 * mebibyte), at: 189 * mebibyte)

    _ = try finish(device, configDrive: drive)

    let check = run("sfdisk -V \(path)")
    #expect(check.output.contains("No errors"), "\(check.output)")
    let partitions = try #require(try table(path)["partitions"]?.array)
    #expect(partitions.count == 3)
    let last = try #require(partitions.last)
    #expect(last["name"]?.string == "config-2")
    #expect(last["type"]?.string == GUIDPartitionTable.linuxFilesystem)
    let start = try #require(last["start"]?.int)
    #expect(start % 2048 == 0)
    #expect(try device.read(drive.count, at: start * 512) == drive)
    let rest = try #require(last["size"]?.int) * 512 - drive.count
    #expect(try device.read(rest, at: start * 512 + drive.count).allSatisfy { $0 == 0 })
  }

  @Test func anImageAsLargeAsTheDiskHasNoRoomForAConfigDrive() throws {
    let path = try disk(twoPartitions, imageSize: 64 * mebibyte, size: 64 * mebibyte)
    let before = run("sha256sum \(path)").output
    #expect(throws: AgentError.self) { try finish(BlockDevice(path: path), configDrive: [1]) }
    #expect(run("sha256sum \(path)").output == before)
    // Without one it is fine as it is.
    _ = try finish(BlockDevice(path: path), configDrive: nil)
    #expect(run("sfdisk -V \(path)").output.contains("No errors"))
  }

  @Test func aClassicTableGetsAPrimaryPartition() throws {
    let drive = randomBytes(500_000)
    let path = try disk("label: dos\\nsize=8192,type=83,bootable\\n", imageSize: 16 * mebibyte, size: 64 * mebibyte)
    let device = try BlockDevice(path: path)
    _ = try finish(device, configDrive: drive)
    let partitions = try #require(try table(path)["partitions"]?.array)
    #expect(partitions.count == 2)
    let start = try #require(partitions[1]["start"]?.int)
    #expect(start == (63 * mebibyte) / 512)
    #expect(partitions[1]["type"]?.string == "83")
    #expect(partitions[0]["bootable"]?.bool == true)
    #expect(try device.read(drive.count, at: start * 512) == drive)
  }

  @Test func fourPrimaryPartitionsLeaveNoPlace() throws {
    let four = "label: dos\\nsize=2048\\nsize=2048\\nsize=2048\\nsize=2048\\n"
    let path = try disk(four, imageSize: 16 * mebibyte, size: 64 * mebibyte)
    let error = #expect(throws: AgentError.self) {
      try finish(BlockDevice(path: path), configDrive: [1])
    }
    #expect(error?.description.contains("four primary partitions") == true)
  }

  @Test func aDiskWithoutATableRefusesAConfigDriveOnly() throws {
    let path = try scratch.disk("disk", bytes: 64 * mebibyte)
    _ = try finish(BlockDevice(path: path), configDrive: nil)
    let error = #expect(throws: AgentError.self) {
      try finish(BlockDevice(path: path), configDrive: [1])
    }
    #expect(error?.description.contains("no partition table") == true)
  }

  @Test func aFileSystemsBootSectorIsNotTakenForATable() throws {
    let path = try scratch.disk("disk", bytes: 64 * mebibyte)
    try #require(run("mkfs.vfat \(path)").status == 0)
    #expect(throws: AgentError.self) { try finish(BlockDevice(path: path), configDrive: [1]) }
  }

  @Test func aDamagedTableIsLeftAlone() throws {
    let path = try disk(twoPartitions, imageSize: 64 * mebibyte, size: 100 * mebibyte)
    let device = try BlockDevice(path: path)
    try device.write([0xff], at: 512 + 40)
    #expect(throws: AgentError.self) { try finish(device, configDrive: [1]) }
    #expect(try finish(device, configDrive: nil).contains("left as it is"))
  }

  @Test func hostileHeadersAreSurvived() throws {
    let path = try disk(twoPartitions, imageSize: 64 * mebibyte, size: 100 * mebibyte)
    let device = try BlockDevice(path: path)
    let good = try device.read(512, at: 512)
    for _ in 0..<200 {
      var header = good
      for _ in 0..<3 { header[Int.random(in: 24..<92)] = [0, 1, 0x7f, 0x80, 0xff].randomElement() ?? 0 }
      header.set32(16, 0)
      header.set32(16, crc32(header[..<92]))
      try device.write(header, at: 512)
      _ = try? finish(device, configDrive: [1])
    }
  }
}

/// What an image of a disk does not hold: the config drive of the deployment before.
@Suite struct CapturedLayoutTests {
  private let tables = PartitionTableTests()
  private let mebibyte = 1 << 20

  /// The disk as a capture reads it, in a file of its own.
  private func captured(_ path: String) throws -> String {
    let device = try BlockDevice(path: path)
    let copy = try BlockDevice(path: tables.scratch.disk("copy", bytes: device.size))
    let layout = try CapturedLayout(of: device)
    let piece = AlignedBuffer(byteCount: 512 << 10)
    for start in stride(from: 0, to: device.size, by: piece.bytes.count) {
      try device.readBulk(into: piece.bytes, at: start)
      layout.apply(to: piece.bytes, at: start)
      try copy.write(Array(piece.bytes), at: start)
    }
    return copy.path
  }

  @Test(arguments: [
    "label: gpt\\nsize=8192,type=U\\ntype=L\\n", "label: dos\\nsize=8192,type=83,bootable\\n",
  ])
  func theNextDeploymentFindsItsPlaceFree(script: String) throws {
    let path = try tables.disk(script, imageSize: 16 * mebibyte, size: 64 * mebibyte)
    let before = try tables.table(path)
    var drive = [UInt8](repeating: 0, count: 600_000)
    drive.replaceSubrange((16 * 2048)..<(16 * 2048 + 6), with: [1] + Array("CD001".utf8))
    drive.replaceSubrange((16 * 2048 + 40)..<(16 * 2048 + 48), with: Array("config-2".utf8))
    drive.replaceSubrange(500_000..<500_006, with: Array("secret".utf8))
    let device = try BlockDevice(path: path)
    _ = try tables.finish(device, configDrive: drive)
    let whole = run("sha256sum \(path)").output
    #expect(run("grep -c secret \(path)").output.hasPrefix("1"))

    let copy = try captured(path)

    #expect(run("sfdisk -V \(copy)").output.contains("No errors"))
    #expect(try tables.table(copy)["partitions"]?.array?.count == before["partitions"]?.array?.count)
    #expect(run("grep -c secret \(copy)").output.hasPrefix("0"), "the config drive is in the image")
    #expect(run("sha256sum \(path)").output == whole, "the disk was changed")
    // As large as the disk, and yet there is room.
    _ = try tables.finish(try BlockDevice(path: copy), configDrive: drive)
    let again = try #require(try tables.table(copy)["partitions"]?.array)
    let there = try #require(try tables.table(path)["partitions"]?.array)
    #expect(again.map { $0["start"] } == there.map { $0["start"] })
  }

  @Test func aDiskWithoutOneIsReadAsItIs() throws {
    let path = try tables.disk(tables.twoPartitions, imageSize: 16 * mebibyte, size: 64 * mebibyte)
    #expect(try CapturedLayout(of: BlockDevice(path: path)).changes.isEmpty)
    #expect(try CapturedLayout(of: BlockDevice(path: tables.scratch.disk("empty", bytes: 1 << 20))).changes.isEmpty)
  }
}
