import BlockMaps
import Glibc
import Synchronization
import Testing
import Wire

@testable import Agent

/// A disk on its way to the backup store: its map first, then the blocks that are asked for.
@Suite struct DiskBackupTests {
  private let scratch = Scratch()
  private static let path = "/agent/v1/disk-backup/w"

  private func session(_ server: FakeServer) throws -> ServerSession {
    var timing = Timing()
    timing.firstPause = 0.01
    return ServerSession(
      server: try #require(ServerAddress(server.address)), timing: timing, log: AgentLog(output: nil))
  }

  @Test func theWholeDiskIsInTheMapAndOnlyWhatIsAskedForIsSent() throws {
    let size = (20 << 20) + 4096
    let device = try BlockDevice(path: scratch.disk("disk", bytes: size))
    try device.write(randomBytes(11 << 20), at: 3 << 20)
    try device.write([1, 2, 3], at: size - 3)
    // Away twice, then two answers, then it has all.
    let asked = Mutex([FakeServer.Reply(503), FakeServer.Reply(200, BlockRanges.bytes([6..<8, 40..<41]))])
    let server = FakeServer { request in
      guard request.path.hasSuffix("/map") else { return FakeServer.Reply(204) }
      return asked.withLock { $0.isEmpty ? FakeServer.Reply(204) : $0.removeFirst() }
    }
    var last = 0.0

    let outcome = try DiskBackup(device: device, path: Self.path, session: try session(server)) { part, _ in
      last = part
    }.run()

    #expect(last == 1)
    let maps = server.requests(Self.path + "/map").map(\.body)
    #expect(maps.count == 3 && Set(maps.map(\.count)).count == 1)
    let map = try BlockMap(parsing: try #require(maps.last))
    #expect(map == outcome.map && map.size == size && map.dataCount == 23)
    let blocks = server.requests.filter { $0.path == Self.path }
    #expect(blocks.count == 1 && blocks[0].body.count == outcome.sentBytes)
    var indexes: [Int] = []
    try blocks[0].body.withUnsafeBytes { bytes in
      var rest = bytes
      while !rest.isEmpty {
        let header = BlockCoder.Header(rest)
        try header.check(against: map)
        indexes.append(header.index)
        var block = [UInt8](repeating: 0, count: map.range(of: header.index).count)
        try block.withUnsafeMutableBytes {
          try BlockCoder().decode(UnsafeRawBufferPointer(rebasing: rest[8..<(8 + header.storedLength)]), into: $0)
        }
        #expect(try device.read(block.count, at: map.range(of: header.index).lowerBound) == block)
        rest = UnsafeRawBufferPointer(rebasing: rest[(8 + header.storedLength)...])
      }
    }
    #expect(indexes == [6, 7, 40])
  }

  @Test func aDiskOfZerosIsAMapAlone() throws {
    let device = try BlockDevice(path: scratch.disk("disk", bytes: 4 << 20))
    let server = FakeServer { _ in FakeServer.Reply(204) }
    let outcome = try DiskBackup(device: device, path: Self.path, session: try session(server)) { _, _ in }.run()
    #expect(outcome.sentBytes == 0 && server.requests.count == 1)
  }

  @Test func aServerThatNeverHasEnoughOrAsksForNonsenseOrRefusesEndsIt() throws {
    let device = try BlockDevice(path: scratch.disk("disk", bytes: 1 << 20))
    try device.write([1], at: 0)
    for reply in [
      FakeServer.Reply(200, BlockRanges.bytes([0..<1])), FakeServer.Reply(200, BlockRanges.bytes([0..<9])),
      FakeServer.Reply(200, [1]), FakeServer.Reply(404), FakeServer.Reply(409),
    ] {
      let server = FakeServer { $0.path.hasSuffix("/map") ? reply : FakeServer.Reply(204) }
      #expect(throws: AgentError.self) {
        try DiskBackup(device: device, path: Self.path, session: try session(server)) { _, _ in }.run()
      }
      #expect(server.requests.count < 20)
    }
  }

  @Test func aDiskThatChangesWhileItIsReadIsNotBackedUp() throws {
    let path = try scratch.disk("disk", bytes: 1 << 20)
    let device = try BlockDevice(path: path)
    try device.write([1], at: 0)
    let server = FakeServer { request in
      guard request.path.hasSuffix("/map") else { return FakeServer.Reply(204) }
      try? BlockDevice(path: path).write([2], at: 0)
      return FakeServer.Reply(200, BlockRanges.bytes([0..<1]))
    }
    #expect(throws: AgentError.self) {
      try DiskBackup(device: device, path: Self.path, session: try session(server)) { _, _ in }.run()
    }
    #expect(server.requests.count == 1, "a block was sent that is not in the map")
  }
}
