import BlockMaps
import Glibc
import Synchronization
import Testing
import Wire

@testable import Agent

/// The agent as a whole against a server on loopback, with files for disks.
@Suite struct AgentTests {
  static let mebibyte = 1 << 20
  static let session = String(repeating: "s", count: 43)
  static let bootToken = String(repeating: "b", count: 43)
  static let imageSize = 8 * mebibyte

  /// What the server is to do, and where it is with it.
  final class Script: Sendable {
    typealias Answer = @Sendable (FakeServer.Request) -> FakeServer.Reply
    struct State {
      var commands: [JSON] = []
      var claims = 0
      var imageReplies: [Answer] = []
      var refusals: [String: [Int]] = [:]
    }
    let state: Mutex<State>
    init(_ commands: [JSON]) { state = Mutex(State(commands: commands + [AgentTests.powerOff])) }

    func onImage(_ replies: Answer...) {
      state.withLock { $0.imageReplies = replies }
    }

    /// Answers the next calls of `path` with these statuses before it behaves.
    func refuse(_ path: String, _ statuses: [Int]) { state.withLock { $0.refusals[path] = statuses } }

    func answer(_ request: FakeServer.Request) -> FakeServer.Reply {
      let path = String(request.path.prefix { $0 != "?" })
      let refusal = state.withLock { state -> Int? in
        guard let statuses = state.refusals[path], let first = statuses.first else { return nil }
        state.refusals[path] = Array(statuses.dropFirst())
        return first
      }
      if let refusal { return FakeServer.Reply(refusal) }
      if path != "/agent/v1/claim", request.headers["authorization"] != "Bearer \(AgentTests.session)" {
        return FakeServer.Reply(401)
      }
      switch path {
      case "/agent/v1/claim":
        let count = state.withLock { state in
          state.claims += 1
          return state.claims
        }
        guard count == 1, request.json["token"]?.string == AgentTests.bootToken else { return FakeServer.Reply(403) }
        return FakeServer.Reply([
          "node": "11111111-2222-4333-8444-555555555555", "session": .string(AgentTests.session),
          "heartbeat_seconds": 1,
        ])
      case "/agent/v1/command":
        guard let command = state.withLock({ $0.commands.first }) else { return FakeServer.Reply(401) }
        return FakeServer.Reply(command)
      case "/agent/v1/result":
        let id = request.json["id"]
        state.withLock { state in if state.commands.first?["id"] == id { state.commands.removeFirst() } }
        return FakeServer.Reply(204)
      case "/agent/v1/rescue/w1": return FakeServer.Reply(200, Array("archive".utf8))
      case "/agent/v1/image/i1/map": return FakeServer.Reply(200, AgentTests.packed.map.bytes)
      case "/agent/v1/image/i1/blocks":
        let reply = state.withLock { state in
          state.imageReplies.count > 1 ? state.imageReplies.removeFirst() : state.imageReplies.first
        }
        return reply?(request) ?? FakeServer.Reply(404)
      default:
        return FakeServer.Reply(204)
      }
    }
  }

  static let powerOff: JSON = ["id": "off", "kind": "power-off", "parameters": [:]]

  /// An image with three islands, at odd places, and its raw form.
  static let extents: [(offset: Int, bytes: [UInt8])] = [
    (0, randomBytes(5000)), (300_001, randomBytes(2_000_000)), (7_000_000, randomBytes(1_000_003)),
  ]
  static let raw: [UInt8] = {
    var raw = [UInt8](repeating: 0, count: imageSize)
    for extent in extents {
      raw.replaceSubrange(extent.offset..<(extent.offset + extent.bytes.count), with: extent.bytes)
    }
    return raw
  }()
  static let packed = TestImage(raw)
  static let whole: Script.Answer = { FakeServer.Reply(200, packed.frames($0.body)) }

  static func writeImage(id: String = "w", mapSHA256: String = packed.mapSHA256, size: Int = imageSize) -> JSON {
    [
      "id": .string(id), "kind": "write-image",
      "parameters": [
        "disk": ["name": "vda"], "config_drive": nil,
        "image": [
          "url": "/agent/v1/image/i1", "size_bytes": .int(size), "map_bytes": .int(packed.map.bytes.count),
          "map_sha256": .string(mapSHA256),
        ],
      ],
    ]
  }

  let scratch = Scratch()
  static let diskSize = 16 * mebibyte

  /// Runs an agent to its end in a thread of its own: it blocks.
  func run(_ server: FakeServer, patience: Double = 20) async throws -> (ending: Agent.Ending, log: AgentLog) {
    let machine = try scratch.machine(diskBytes: Self.diskSize)
    let dirty = try BlockDevice(path: machine.dev + "/vda")
    try dirty.write([UInt8](repeating: 0xee, count: Self.diskSize), at: 0)
    let log = AgentLog(output: nil)
    var timing = Timing()
    timing.patience = patience
    timing.firstPause = 0.02
    timing.longestPause = 0.1
    timing.poll = 1
    timing.silence = 2
    timing.standByPause = 0.05
    timing.standByTimeout = 1
    let limits = timing, rescueFolder = rescueFolder
    let parameters = KernelParameters(
      server: try #require(ServerAddress(server.address)), token: Self.bootToken, mac: "52:54:00:00:00:01")
    let ending = await withCheckedContinuation { continuation in
      startThread {
        continuation.resume(
          returning: Agent(
            parameters: parameters, machine: machine, timing: limits, log: log, rescueFolder: rescueFolder
          ).run())
      }
    }
    return (ending, log)
  }

  /// Where a rescue system is left.
  var rescueFolder: String { "\(scratch.path)/rescue" }

  func diskBytes(_ range: Range<Int>) throws -> [UInt8] {
    try BlockDevice(path: scratch.path + "/dev/vda").read(range.count, at: range.lowerBound)
  }

  func results(_ server: FakeServer) -> [JSON] { server.requests("/agent/v1/result").map(\.json) }

  // MARK: - The straight way

  @Test func anImageIsWrittenWithItsHolesAsZeros() async throws {
    let script = Script([Self.writeImage()])
    script.onImage(Self.whole)
    let server = FakeServer { script.answer($0) }

    let (ending, log) = try await run(server)

    #expect(ending == .dismissed("the server asked for it"), "\(log.text)")
    let result = try #require(results(server).first)
    #expect(result["ok"]?.bool == true, "\(result)")
    let output = result["output"]
    #expect(output?["bytes_sent"]?.int == Self.packed.allFrames.count)
    #expect(output?["bytes_written"]?.int == Self.packed.map.dataBytes)
    #expect(output?["bytes_zeroed"]?.int == Self.imageSize - Self.packed.map.dataBytes)
    #expect(output?["bytes_reused"]?.int == 0)
    #expect((output?["bytes_verified"]?.int ?? 0) >= Self.packed.map.dataBytes)
    #expect(result["output"]?["disk"]?.string?.hasSuffix("/vda") == true)
    #expect(result["output"]?["neighbors"]?.array?.isEmpty == true, "nobody speaks LLDP here")
    #expect(try diskBytes(0..<Self.imageSize) == Self.raw)
    #expect(try diskBytes(Self.imageSize..<Self.diskSize).allSatisfy { $0 == 0xee }, "behind the image")
    #expect(!log.text.contains(Self.session) && !log.text.contains(Self.bootToken))
  }

  @Test func aChunkedBodyIsTheSame() async throws {
    let script = Script([Self.writeImage()])
    script.onImage { request in
      var reply = Self.whole(request)
      reply.isChunked = true
      return reply
    }
    let server = FakeServer { script.answer($0) }
    _ = try await run(server)
    #expect(results(server).first?["ok"]?.bool == true)
    #expect(try diskBytes(0..<Self.imageSize) == Self.raw)
  }

  @Test func theClaimTellsWhatTheMachineIs() async throws {
    let script = Script([["id": "i", "kind": "inspect", "parameters": ["lldp_seconds": 0]]])
    let server = FakeServer { script.answer($0) }
    _ = try await run(server)
    let claim = try #require(server.requests("/agent/v1/claim").first?.json)
    #expect(claim["version"]?.int == AgentProtocol.version)
    let disk = try #require(claim["inventory"]?["disks"]?.array?.first)
    #expect(disk["serial"]?.string == "DISK1")
    #expect(disk["size_bytes"]?.int == Self.diskSize)
    #expect(disk["transport"]?.string == "virtio")
    #expect(results(server).first?["output"]?["inventory"]?["disks"] == claim["inventory"]?["disks"])
  }

  // MARK: - A server that goes away

  @Test func aTransferThatBreaksGoesOnWithTheBlocksThatAreMissing() async throws {
    let script = Script([Self.writeImage()])
    script.onImage(
      { request in
        var reply = Self.whole(request)
        reply.cutAfter = 1_234_567
        return reply
      }, { _ in FakeServer.Reply(503) }, Self.whole)
    let server = FakeServer { script.answer($0) }

    let (_, log) = try await run(server)

    #expect(results(server).first?["ok"]?.bool == true, "\(log.text)")
    #expect(try diskBytes(0..<Self.imageSize) == Self.raw)
    let asked = try server.requests("/agent/v1/image/i1/blocks").map { try BlockRanges.parse($0.body, count: 16) }
    // Two whole blocks and a part of the third had come; all but zeros are asked for in one range.
    #expect(asked == [[0..<16], [2..<16], [2..<16]])
  }

  @Test func aServerThatIsRestartedFindsTheAgentAndGetsTheResult() async throws {
    let script = Script([["id": "e", "kind": "erase", "parameters": ["mode": "full", "disks": nil]]])
    let comesBack = Mutex<FakeServer?>(nil)
    let server = FakeServer { request in
      // Dies with the first result in its hands.
      if request.path == "/agent/v1/result", let server = comesBack.withLock({ $0.take() }) {
        server.stop()
        startThread {
          usleep(300_000)
          server.start()
        }
        var reply = FakeServer.Reply(200, Array("lost".utf8))
        reply.cutAfter = 0
        return reply
      }
      return script.answer(request)
    }
    comesBack.withLock { $0 = server }

    let (ending, log) = try await run(server)

    #expect(ending == .dismissed("the server asked for it"), "\(log.text)")
    let reports = results(server).filter { $0["id"]?.string == "e" }
    #expect(reports.count >= 2)
    #expect(reports.allSatisfy { $0 == reports.first })
    #expect(log.text.contains("the server is back"))
    #expect(log.text.components("erasing").count == 2, "erased once: \(log.text)")
  }

  @Test func aCommandGivenTwiceIsRunOnce() async throws {
    let inspect: JSON = ["id": "same", "kind": "erase", "parameters": ["mode": "metadata", "disks": nil]]
    let script = Script([inspect, inspect])
    let server = FakeServer { script.answer($0) }
    let (_, log) = try await run(server)
    let reports = results(server).filter { $0["id"]?.string == "same" }
    #expect(reports.count == 2)
    #expect(reports.first == reports.last)
    #expect(log.text.contains("was run before"))
  }

  @Test func aServerThatStaysAwayIsGivenUp() async throws {
    let script = Script([Self.writeImage()])
    let server = FakeServer { script.answer($0) }
    server.stop()
    let (ending, _) = try await run(server, patience: 0.3)
    guard case .failed(let reason) = ending else {
      Issue.record("\(ending)")
      return
    }
    #expect(reason.contains("Gave up"))
  }

  @Test func aSessionThatIsOverEndsTheAgent() async throws {
    let script = Script([Self.writeImage()])
    script.refuse("/agent/v1/command", [401])
    let server = FakeServer { script.answer($0) }
    let (ending, _) = try await run(server)
    #expect(ending == .dismissed("the session is over"))
    #expect(results(server).isEmpty)
    #expect(try diskBytes(0..<4096).allSatisfy { $0 == 0xee })
  }

  @Test func aSessionThatEndsDuringACommandStopsIt() async throws {
    let script = Script([Self.writeImage()])
    let sayingSo = Mutex<Int?>(nil)
    script.onImage(
      { request in
        var reply = Self.whole(request)
        reply.cutAfter = 1_000_000
        return reply
      },
      { request in
        // Held back until the agent's other thread has been told, and a second longer.
        let left = sayingSo.withLock { left in
          left = left.map { $0 - 1 }
          return left ?? 1
        }
        return left > 0 ? FakeServer.Reply(503) : Self.whole(request)
      })
    let server = FakeServer { request in
      if request.path == "/agent/v1/progress" {
        sayingSo.withLock { $0 = $0 ?? 10 }
        return FakeServer.Reply(401)
      }
      return script.answer(request)
    }

    let (ending, log) = try await run(server)

    #expect(ending == .dismissed("the session is over"), "\(log.text)")
    #expect(results(server).isEmpty)
    #expect(try diskBytes(0..<4096).allSatisfy { $0 == 0 }, "half an image could boot")
  }

  @Test func aClaimWhoseAnswerWasLostIsMadeAgainWithTheSameSecret() async throws {
    let script = Script([])
    script.refuse("/agent/v1/claim", [503])
    let server = FakeServer { script.answer($0) }
    let (ending, log) = try await run(server)
    #expect(ending == .dismissed("the server asked for it"), "\(log.text)")
    let secrets = server.requests("/agent/v1/claim").compactMap { $0.json["secret"]?.string }
    #expect(secrets.count == 2 && secrets[0] == secrets[1])
    #expect(secrets[0].utf8.count == 43 && secrets[0].utf8.allSatisfy(isBase64URL))
    #expect(!log.text.contains(secrets[0]))
  }

  @Test func base64ForAddressesIsTheKnownOne() {
    // RFC 4648, section 10, without padding.
    for (text, encoded) in [("", ""), ("f", "Zg"), ("fo", "Zm8"), ("foo", "Zm9v"), ("foob", "Zm9vYg")] {
      #expect(base64URL(Array(text.utf8)) == encoded)
    }
    #expect(base64URL([0xfb, 0xff]) == "-_8")
  }

  @Test func aTokenThatWasUsedBeforeIsTheEnd() async throws {
    let script = Script([])
    script.refuse("/agent/v1/claim", [403])
    let server = FakeServer { script.answer($0) }
    let (ending, _) = try await run(server)
    #expect(ending == .failed("The server answered 403."))
    #expect(server.requests.count == 1)
  }

  // MARK: - What is refused

  @Test func aDiskThatIsTooSmallIsNamedWithBothSizes() async throws {
    let script = Script([Self.writeImage(size: 99 * Self.mebibyte)])
    let server = FakeServer { script.answer($0) }
    _ = try await run(server)
    let error = try #require(results(server).first?["error"]?.string)
    #expect(error.contains("\(99 * Self.mebibyte)") && error.contains("\(Self.diskSize)"))
    #expect(error.contains("choose a smaller image, or another disk by instance_info/root_device"))
    #expect(server.requests("/agent/v1/image").isEmpty)
    #expect(try diskBytes(0..<Self.mebibyte).allSatisfy { $0 == 0xee })
  }

  @Test(arguments: [
    "http://6.6.6.6/x", "/v1/nodes", "/agent/v1/image/a b", "/agent/v1/x\r\nHost: y", "file:///etc/passwd",
  ])
  func anImageFromElsewhereIsNotFetched(url: String) async throws {
    let command: JSON = [
      "id": "w", "kind": "write-image",
      "parameters": [
        "disk": ["name": "vda"], "config_drive": nil,
        "image": [
          "url": .string(url), "size_bytes": 4096, "map_bytes": 64, "map_sha256": .string(Self.packed.mapSHA256),
        ],
      ],
    ]
    let script = Script([command])
    let server = FakeServer { script.answer($0) }
    _ = try await run(server)
    #expect(results(server).first?["ok"]?.bool == false)
    #expect(server.requests.allSatisfy { $0.path.hasPrefix("/agent/v1/") && !$0.path.contains("image") })
  }

  @Test func anUnknownCommandIsAnsweredWithASentence() async throws {
    let script = Script([["id": "x", "kind": "run-shell", "parameters": ["command": "reboot"]]])
    let server = FakeServer { script.answer($0) }
    _ = try await run(server)
    #expect(results(server).first?["error"]?.string?.contains("run-shell") == true)
  }
}
