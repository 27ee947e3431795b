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
      case "/agent/v1/image/i1":
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
  static let stream = encode(extents, size: imageSize)
  static let rawDigest = digest(raw)

  static func writeImage(id: String = "w", sha256: String = rawDigest, size: Int = imageSize) -> JSON {
    [
      "id": .string(id), "kind": "write-image",
      "parameters": [
        "disk": ["name": "vda"], "config_drive": nil,
        "image": ["url": "/agent/v1/image/i1", "size_bytes": .int(size), "sha256": .string(sha256)],
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
    script.onImage { _ in FakeServer.Reply(200, Self.stream) }
    let server = FakeServer { script.answer($0) }

    let (ending, log) = try await run(server)

    #expect(ending == .dismissed("the server asked for it"), "\(log.text)")
    let result = try #require(results(server).first)
    #expect(result["ok"]?.bool == true, "\(result)")
    #expect(result["output"]?["disk"]?.string?.hasSuffix("/vda") == true)
    #expect(result["output"]?["neighbors"]?.array?.isEmpty == true, "nobody speaks LLDP here")
    #expect(try diskBytes(0..<Self.imageSize) == Self.raw)
    #expect(try diskBytes(Self.imageSize..<Self.diskSize).allSatisfy { $0 == 0xee }, "behind the image")
    #expect(server.requests("/agent/v1/image").first?.headers["x-steelyard-extents"] == "1")
    #expect(!log.text.contains(Self.session) && !log.text.contains(Self.bootToken))
  }

  @Test func aChunkedBodyIsTheSame() async throws {
    let script = Script([Self.writeImage()])
    script.onImage { _ in
      var reply = FakeServer.Reply(200, Self.stream)
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
    #expect(claim["version"]?.int == 1)
    let disk = try #require(claim["inventory"]?["disks"]?.array?.first)
    #expect(disk["serial"]?.string == "DISK1")
    #expect(disk["size_bytes"]?.int == Self.diskSize)
    #expect(disk["transport"]?.string == "virtio")
    #expect(results(server).first?["output"]?["inventory"]?["disks"] == claim["inventory"]?["disks"])
  }

  // MARK: - A server that goes away

  @Test func aTransferThatBreaksIsResumedWhereItBroke() async throws {
    let script = Script([Self.writeImage()])
    let tag = [("ETag", "\"v1\"")]
    script.onImage(
      { _ in
        var reply = FakeServer.Reply(200, Self.stream, headers: tag)
        reply.cutAfter = 1_234_567
        return reply
      },
      { request in
        guard request.headers["if-range"] == "\"v1\"",
          let start = request.headers["range"].flatMap({ Int($0.dropFirst(6).dropLast()) })
        else { return FakeServer.Reply(400) }
        let range = ("Content-Range", "bytes \(start)-\(Self.stream.count - 1)/\(Self.stream.count)")
        return FakeServer.Reply(206, Array(Self.stream[start...]), headers: tag + [range])
      })
    let server = FakeServer { script.answer($0) }

    let (_, log) = try await run(server)

    #expect(results(server).first?["ok"]?.bool == true, "\(log.text)")
    #expect(try diskBytes(0..<Self.imageSize) == Self.raw)
    #expect(server.requests("/agent/v1/image").map { $0.headers["range"] } == [nil, "bytes=1234567-"])
  }

  @Test func aServerThatCannotResumeIsAskedForAllOfIt() async throws {
    let script = Script([Self.writeImage()])
    script.onImage(
      { _ in
        var reply = FakeServer.Reply(200, Self.stream)
        reply.cutAfter = 2_000_005
        return reply
      }, { _ in FakeServer.Reply(503) }, { _ in FakeServer.Reply(200, Self.stream) })
    let server = FakeServer { script.answer($0) }
    _ = try await run(server)
    #expect(results(server).first?["ok"]?.bool == true)
    #expect(try diskBytes(0..<Self.imageSize) == Self.raw)
    #expect(server.requests("/agent/v1/image").allSatisfy { $0.headers["range"] == nil })
  }

  @Test func twoHalvesThatDoNotFitAreFetchedAgain() async throws {
    let script = Script([Self.writeImage()])
    let tag = [("ETag", "\"v1\"")]
    script.onImage(
      { _ in
        var reply = FakeServer.Reply(200, Self.stream, headers: tag)
        reply.cutAfter = 1_000_000
        return reply
      },
      { request in
        // Says it resumes, and sends the beginning.
        FakeServer.Reply(206, Self.stream, headers: tag + [("Content-Range", "bytes 1000000-2/3")])
      }, { _ in FakeServer.Reply(200, Self.stream, headers: tag) })
    let server = FakeServer { script.answer($0) }
    let (_, log) = try await run(server)
    #expect(results(server).first?["ok"]?.bool == true, "\(log.text)")
    #expect(try diskBytes(0..<Self.imageSize) == Self.raw)
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
      { _ in
        var reply = FakeServer.Reply(200, Self.stream)
        reply.cutAfter = 1_000_000
        return reply
      },
      { _ in
        // Held back until the agent's other thread has been told, and a second longer.
        let left = sayingSo.withLock { left in
          left = left.map { $0 - 1 }
          return left ?? 1
        }
        return left > 0 ? FakeServer.Reply(503) : FakeServer.Reply(200, Self.stream)
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

  /// Runs one write-image that must fail, and answers its error. The disk must not boot afterwards.
  func refusal(_ body: [UInt8], sha256: String = AgentTests.rawDigest) async throws -> String {
    let script = Script([Self.writeImage(sha256: sha256)])
    script.onImage { _ in FakeServer.Reply(200, body) }
    let server = FakeServer { script.answer($0) }
    let (ending, log) = try await run(server, patience: 0.3)
    #expect(ending == .dismissed("the server asked for it"), "\(log.text)")
    let result = try #require(results(server).first)
    #expect(result["ok"]?.bool == false)
    #expect(result["log"]?.string?.contains("failed") == true)
    #expect(server.requests("/agent/v1/log").count == 1)
    #expect(try diskBytes(0..<Self.mebibyte).allSatisfy { $0 == 0 }, "half an image could boot")
    #expect(try diskBytes((15 * Self.mebibyte)..<Self.diskSize).allSatisfy { $0 == 0 })
    #expect(try diskBytes(Self.imageSize..<(15 * Self.mebibyte)).allSatisfy { $0 == 0xee }, "written behind the image")
    return result["error"]?.string ?? ""
  }

  @Test func aWrongDigestIsRefusedAndTheDiskDoesNotBoot() async throws {
    let error = try await refusal(Self.stream, sha256: String(repeating: "0", count: 64))
    #expect(error.contains("SHA-256") && error.contains("Deploy again"))
  }

  @Test func extentsThatGoBackAreRefused() async throws {
    let body = header(8192, 4) + [1, 2, 3, 4] + header(8190, 4) + [1, 2, 3, 4]
    #expect(try await refusal(body).contains("goes back"))
  }

  @Test func extentsBeyondTheImageAreRefused() async throws {
    #expect(try await refusal(header(Self.imageSize - 2, 4) + [1, 2, 3, 4]).contains("beyond"))
    #expect(try await refusal(header(UInt64(Self.imageSize), 1 << 40)).contains("beyond"))
  }

  @Test func extentsThatOverflowAreRefused() async throws {
    #expect(try await refusal(header(UInt64.max, 1)).contains("no disk has"))
    #expect(try await refusal(header(4096, UInt64(Int.max))).contains("beyond"))
  }

  @Test func aStreamThatEndsElsewhereIsRefused() async throws {
    #expect(try await refusal(header(5, 0)).contains("ends at byte 5"))
    #expect(try await refusal(Array(Self.stream.dropLast(16))).contains("broke off for good"))
  }

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
        "image": ["url": .string(url), "size_bytes": 4096, "sha256": .string(Self.rawDigest)],
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
