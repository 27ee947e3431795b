import Glibc
import Synchronization
import Testing
import Wire

@testable import Agent

/// Stands in for the kernel: nothing is started here.
private final class FakeStarter: SystemStarter {
  struct State {
    var kernel = ""
    var initrd: String?
    var commandLine = ""
    var done: [String] = []
  }
  let state = Mutex(State())
  let against: String?
  let refusal: String?
  let isPressed: Bool
  let stuckLink: String?
  init(against: String? = nil, refusal: String? = nil, isPressed: Bool = true, stuckLink: String? = nil) {
    (self.against, self.refusal, self.isPressed, self.stuckLink) = (against, refusal, isPressed, stuckLink)
  }
  func problem(on machine: Machine) -> String? { against }
  func load(kernel: String, initrd: String?, commandLine: String) -> String? {
    state.withLock { state in
      state.kernel = String(decoding: Machine.bytes(of: kernel) ?? [], as: UTF8.self)
      state.initrd = initrd.map { String(decoding: Machine.bytes(of: $0) ?? [], as: UTF8.self) }
      state.commandLine = commandLine
    }
    return refusal
  }
  func takeLinksDown(on machine: Machine) -> String? {
    state.withLock { $0.done.append("links") }
    return stuckLink
  }
  func awaitPowerButton(on machine: Machine, seconds: Int) -> Bool {
    state.withLock { $0.done.append("button \(seconds)") }
    return isPressed
  }
  func start() -> String {
    state.withLock { $0.done.append("start") }
    return "it is a fake"
  }
}

/// The command `load-system`, against a server on loopback and a disk that a distribution's tools made.
@Suite struct LoadSystemTests {
  private let files = [
    "boot/grub/grub.cfg": "menuentry one { linux /boot/vmlinuz root=LABEL=x\n initrd /boot/first /boot/second\n }",
    "boot/vmlinuz": "the kernel", "boot/first": "12345", "boot/second": "678",
  ]
  private static func command(_ parameters: JSONObject = ["disk": ["name": "vda"], "button_seconds": 7]) -> JSON {
    ["id": "l", "kind": "load-system", "parameters": .object(parameters)]
  }

  /// Runs an agent that is told `command` first and then to switch off.
  private func run(
    _ command: JSON, _ starter: (any SystemStarter)?, memory: String? = nil, session: Int? = nil
  ) async throws -> (ending: Agent.Ending, result: JSON?, log: AgentLog) {
    let disk = try await BootDisk.make(files)
    let machine = try disk.scratch.machine(diskBytes: BootDisk.size)
    guard rename(disk.path, machine.dev + "/vda") == 0 else { throw AgentError(.refused, "cannot move the disk") }
    if let memory { try disk.scratch.write("proc/meminfo", memory) }
    let script = AgentTests.Script([command])
    if let session { script.refuse("/agent/v1/result", [session]) }
    let server = FakeServer { script.answer($0) }
    let log = AgentLog(output: nil)
    let parameters = KernelParameters(
      server: try #require(ServerAddress(server.address)), token: AgentTests.bootToken, mac: "52:54:00:00:00:01")
    var timing = Timing()
    timing.poll = 1
    let limits = timing, folder = disk.scratch.path + "/load"
    let ending = await withCheckedContinuation { continuation in
      startThread {
        continuation.resume(
          returning: Agent(
            parameters: parameters, machine: machine, timing: limits, log: log, starter: starter, loadFolder: folder
          ).run())
      }
    }
    #expect(Machine.names(in: folder).isEmpty, "the tenant's files stay behind")
    return (ending, server.requests("/agent/v1/result").map(\.json).first { $0["id"] == "l" }, log)
  }

  @Test func theSystemIsLoadedAndTheAgentWaitsForTheButton() async throws {
    let starter = FakeStarter()
    let (ending, result, log) = try await run(Self.command(), starter)
    let word = try #require(result?["output"]?["word"]?.string)
    #expect(result?["ok"] == true && result?["output"]?["loaded"] == true && result?["output"]?["title"] == "one")
    #expect(ending == .loaded(LoadedSystem(word: word, seconds: 7)), "\(log.text)")
    let seen = starter.state.withLock { $0 }
    #expect(seen.kernel == "the kernel" && seen.commandLine == "BOOT_IMAGE=/boot/vmlinuz root=LABEL=x")
    #expect(seen.initrd == "12345\0\0\0678\0", "each archive begins at a multiple of four")
    #expect(seen.done.isEmpty, "nothing happens before the session has ended")
    #expect(!log.text.contains(word), "the word is said when the system starts, and not before")
  }

  @Test func theButtonStartsItWithEveryLinkDown() {
    let starter = FakeStarter(), log = AgentLog(output: nil)
    let why = LoadedSystem(word: "W0rd", seconds: 7).run(starter, log: log)
    #expect(starter.state.withLock { $0.done } == ["links", "button 7", "start"])
    #expect(log.text.contains("starting the installed system (W0rd)") && why.contains("it is a fake"))
  }

  @Test func withoutThePressNothingStarts() {
    let starter = FakeStarter(isPressed: false), log = AgentLog(output: nil)
    let why = LoadedSystem(word: "W0rd", seconds: 7).run(starter, log: log)
    #expect(starter.state.withLock { $0.done } == ["links", "button 7"])
    #expect(!log.text.contains("W0rd") && why.contains("within 7 s"))
  }

  @Test func aLinkThatStaysUpEndsIt() {
    let starter = FakeStarter(stuckLink: "eth1: busy")
    let why = LoadedSystem(word: "W0rd", seconds: 7).run(starter, log: AgentLog(output: nil))
    #expect(starter.state.withLock { $0.done } == ["links"] && why.contains("eth1"))
  }

  @Test func whatStandsAgainstItIsSaidAndTheAgentGoesOn() async throws {
    let cases: [(starter: FakeStarter?, memory: String?, why: String)] = [
      (nil, nil, "starts no other system"), (FakeStarter(against: "Secure Boot is on"), nil, "Secure Boot is on"),
      (FakeStarter(refusal: "Operation not permitted"), nil, "not permitted"),
      (FakeStarter(), "MemTotal: 400000 kB\nMemAvailable: 9000 kB\n", "of memory"),
    ]
    for (starter, memory, why) in cases {
      let (ending, result, _) = try await run(Self.command(), starter, memory: memory)
      #expect(ending == .dismissed("the server asked for it"))
      #expect(result?["ok"] == true && result?["output"]?["loaded"] == false)
      #expect(result?["output"]?["why"]?.string?.contains(why) == true, "\(result ?? .null)")
    }
  }

  @Test(
    arguments: [
      [:], ["button_seconds": 0], ["button_seconds": 1_000_000], ["button_seconds": "7"],
      ["button_seconds": 7, "disk": ["nmae": "vda"]],
    ] as [JSONObject]) func aCommandThatSaysSomethingElseFails(parameters: JSONObject) async throws
  {
    let (ending, result, _) = try await run(Self.command(parameters), FakeStarter())
    #expect(ending == .dismissed("the server asked for it") && result?["ok"] == false)
  }

  @Test func aSessionThatIsOverSwitchesTheMachineOff() async throws {
    let (ending, _, _) = try await run(Self.command(), FakeStarter(), session: 401)
    #expect(ending == .dismissed("the session is over"))
  }
}
