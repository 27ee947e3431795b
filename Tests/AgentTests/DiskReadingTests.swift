import BlockMaps
import Glibc
import Synchronization
import Testing
import Wire

@testable import Agent

/// A disk on its way to the server, which is away now and then.
@Suite struct DiskReadingTests {
  private let scratch = Scratch()

  @Test func everyBlockThatIsNotZeroArrivesAndTheMapSaysWhatTheDiskHolds() throws {
    let size = (20 << 20) + 4096
    let device = try BlockDevice(path: scratch.disk("disk", bytes: size))
    let content = randomBytes(11 << 20)
    try device.write(content, at: 3 << 20)
    try device.write([1, 2, 3], at: size - 3)
    let refusals = Mutex([503, 503])
    let server = FakeServer { _ in
      FakeServer.Reply(refusals.withLock { $0.popLast() } ?? 204)
    }
    var timing = Timing()
    timing.firstPause = 0.01
    let session = ServerSession(
      server: try #require(ServerAddress(server.address)), timing: timing, log: AgentLog(output: nil))
    var last = 0

    let outcome = try DiskReading(device: device, path: "/agent/v1/capture/w", session: session) { last = $0 }.run()

    #expect(last == size)
    let posts = server.requests("/agent/v1/capture/w")
    #expect(posts.count == 5, "two batches, the first of them three times, and the map")
    #expect(posts.first?.path == "/agent/v1/capture/w?size=\(size)&block_size=\(512 << 10)")
    #expect(posts[0].body == posts[2].body)
    let map = try BlockMap(parsing: try #require(posts.last?.body))
    #expect(map == outcome.map && map.size == size && map.dataCount == 23)
    // Put together again from what was sent, it is the same disk.
    var copy = [UInt8](repeating: 0, count: size)
    let coder = BlockCoder()
    for post in posts[2..<4] {
      try post.body.withUnsafeBytes { bytes in
        var rest = bytes
        while !rest.isEmpty {
          let header = BlockCoder.Header(rest)
          try header.check(against: map)
          let stored = UnsafeRawBufferPointer(rebasing: rest[8..<(8 + header.storedLength)])
          let range = map.range(of: header.index)
          try copy.withUnsafeMutableBytes {
            try coder.decode(stored, into: UnsafeMutableRawBufferPointer(rebasing: $0[range]))
          }
          rest = UnsafeRawBufferPointer(rebasing: rest[(8 + header.storedLength)...])
        }
      }
    }
    #expect(try device.read(size, at: 0) == copy)
  }

  @Test func aDiskOfZerosIsSentAsAMapAlone() throws {
    let device = try BlockDevice(path: scratch.disk("disk", bytes: 4 << 20))
    let server = FakeServer { _ in FakeServer.Reply(204) }
    let session = ServerSession(
      server: try #require(ServerAddress(server.address)), timing: Timing(), log: AgentLog(output: nil))
    let outcome = try DiskReading(device: device, path: "/agent/v1/capture/w", session: session) { _ in }.run()
    #expect(outcome.sentBytes == 0 && outcome.map.dataCount == 0)
    #expect(server.requests.map(\.body.count) == [0, outcome.map.bytes.count])
  }

  @Test func aServerThatWantsItNoMoreEndsIt() throws {
    let device = try BlockDevice(path: scratch.disk("disk", bytes: 1 << 20))
    try device.write([1], at: 0)
    let server = FakeServer { _ in FakeServer.Reply(404) }
    let session = ServerSession(
      server: try #require(ServerAddress(server.address)), timing: Timing(), log: AgentLog(output: nil))
    #expect(throws: AgentError.self) {
      try DiskReading(device: device, path: "/agent/v1/capture/w", session: session) { _ in }.run()
    }
    #expect(server.requests.count == 1)
  }
}
