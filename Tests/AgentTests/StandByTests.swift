import Glibc
import Synchronization
import Testing
import Wire

@testable import Agent

/// The agent of a machine that stands by for its next deployment, with no server in reach.
extension AgentTests {
  private static func standBy(_ seconds: JSON, id: String = "s") -> JSON {
    ["id": .string(id), "kind": "stand-by", "parameters": ["seconds": seconds]]
  }
  private static let erase: JSON = ["id": "e", "kind": "erase", "parameters": ["mode": "metadata", "disks": nil]]

  @Test func aMachineThatStandsByOutlastsAServerThatIsAwayAndKeepsItsSession() async throws {
    let script = Script([Self.standBy(60), Self.erase])
    let comesBack = Mutex<FakeServer?>(nil)
    let server = FakeServer { request in
      // From the answer on the machine is in quarantine.
      if request.path == "/agent/v1/result", let server = comesBack.withLock({ $0.take() }) {
        server.stop()
        startThread {
          usleep(1_200_000)
          server.start()
        }
      }
      return script.answer(request)
    }
    comesBack.withLock { $0 = server }

    // Longer than a server may be away that is wanted.
    let (ending, log) = try await run(server, patience: 0.3)

    #expect(ending == .dismissed("the server asked for it"), "\(log.text)")
    #expect(results(server).compactMap { $0["id"]?.string } == ["s", "e", "off"])
    #expect(results(server).allSatisfy { $0["ok"]?.bool == true })
    #expect(server.requests("/agent/v1/claim").count == 1)
    #expect(log.text.contains("the server is there again"))
    #expect(!log.text.contains(Self.session))
  }

  @Test func aMachineThatNobodyDeploysSwitchesItselfOff() async throws {
    let script = Script([Self.standBy(1)])
    // Nobody there any more: the answer to every poll after that is lost.
    let server = FakeServer { request in
      let reply = script.answer(request)
      if request.path.hasPrefix("/agent/v1/command?wait=0") { return FakeServer.Reply(503) }
      return reply
    }
    let (ending, _) = try await run(server)
    #expect(ending == .dismissed("nobody has deployed it for as long as it was to stand by"))
    #expect(results(server).compactMap { $0["id"]?.string } == ["s"])
  }

  @Test func aMachineWhoseSessionIsOverWhileItStandsBySwitchesItselfOff() async throws {
    let script = Script([Self.standBy(60)])
    let server = FakeServer { request in
      if request.path.hasPrefix("/agent/v1/command?wait=0") { return FakeServer.Reply(401) }
      return script.answer(request)
    }
    let (ending, _) = try await run(server)
    #expect(ending == .dismissed("the session is over"))
  }

  @Test func aResultThatWasNotHeardIsToldAgainAndTheMachineStandsByStill() async throws {
    let script = Script([Self.standBy(60), Self.standBy(60), Self.erase])
    let server = FakeServer { script.answer($0) }
    let (ending, _) = try await run(server)
    #expect(ending == .dismissed("the server asked for it"))
    #expect(results(server).compactMap { $0["id"]?.string } == ["s", "s", "e", "off"])
    // Asked for the same in the manner of one that stands by.
    #expect(server.requests("/agent/v1/command?wait=0").count >= 2)
  }

  @Test(arguments: [0, -1, 604_801, "60", nil] as [JSON]) func aTimeThatIsNoneIsRefused(seconds: JSON) async throws {
    let script = Script([Self.standBy(seconds), Self.erase])
    let server = FakeServer { script.answer($0) }
    let (ending, _) = try await run(server)
    #expect(ending == .dismissed("the server asked for it"))
    #expect(results(server).first?["ok"]?.bool == false)
    #expect(results(server).first?["error"]?.string?.contains("1 to 604800 seconds") == true)
    #expect(server.requests("/agent/v1/command?wait=0").isEmpty)
  }
}
