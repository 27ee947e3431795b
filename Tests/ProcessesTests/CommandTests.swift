import Glibc
import Processes
import Testing

@Suite struct CommandTests {
  @Test func inputGoesInAndOutputStatusAndErrorsComeOut() async throws {
    let echoed = try await run("cat", [], input: Array(String(repeating: "long ", count: 100_000).utf8))
    #expect(echoed.status == 0 && echoed.output.count == 500_000)

    let failed = try await run("sh", ["-c", "echo out; echo first >&2; echo last >&2; exit 3"])
    #expect(failed.status == 3 && failed.text == "out\n" && failed.lastErrorLine == "last")
    await #expect(throws: CommandError(program: "sh", reason: .failed(status: 3, detail: "last"))) {
      try await runChecked("sh", ["-c", "echo last >&2; exit 3"])
    }
  }

  @Test func theEnvironmentIsMinimalPlusWhatIsAdded() async throws {
    setenv("STEELYARD_TEST_SECRET", "leaked", 1)
    let text = try await run("env", [], environment: ["ADDED": "yes"]).text
    #expect(text.contains("ADDED=yes\n") && text.contains("LC_ALL=C.UTF-8\n") && text.contains("PATH="))
    #expect(!text.contains("leaked"))
  }

  @Test func argumentsAreNotReadByAShell() async throws {
    let result = try await run("printf", ["%s", "$(id) `id`; \"x\" '\n"])
    #expect(result.text == "$(id) `id`; \"x\" '\n")
  }

  @Test func aProgramThatDoesNotExistIsNamed() async throws {
    await #expect(throws: CommandError(program: "no-such-program", reason: .notFound)) {
      try await run("no-such-program", [])
    }
    await #expect(throws: CommandError(program: "true", reason: .badNamespace)) {
      try await run("true", [], namespace: "../x")
    }
    #expect(CommandError(program: "x", reason: .notFound).description == "x: not found; is it installed?")
  }

  @Test func whenTimeIsUpTheWholeGroupIsKilled() async throws {
    let started = ContinuousClock.now
    let file = "/tmp/steelyard-command-\(getpid())-\(UInt32.random(in: 0 ... .max))"
    defer { unlink(file) }
    await #expect(throws: CommandError(program: "sh", reason: .timeout(.milliseconds(300)))) {
      try await run(
        "sh", ["-c", "sh -c 'trap \"\" TERM; echo $$ >\(file); sleep 60 & wait; sleep 60' & wait"],
        timeout: .milliseconds(300))
    }
    #expect(ContinuousClock.now - started < .seconds(5))
    let text = try await run("cat", [file]).text
    let grandchild = try #require(Int32(text.dropLast()))
    // Init may not have reaped it yet: dead is gone or a zombie.
    try await until { kill(grandchild, 0) != 0 || state(of: grandchild) == "Z" }
  }

  @Test func cancellingTheTaskEndsTheProgram() async throws {
    let task = Task { try await run("sleep", ["60"]) }
    let started = ContinuousClock.now
    task.cancel()
    await #expect(throws: CancellationError.self) { try await task.value }
    #expect(ContinuousClock.now - started < .seconds(5))
  }

  @Test func aDaemonLeftBehindIsNotWaitedFor() async throws {
    let started = ContinuousClock.now
    let result = try await run("sh", ["-c", "sleep 20 & echo $!"])
    #expect(ContinuousClock.now - started < .seconds(5))
    let daemon = try #require(Int32(result.text.dropLast()))
    #expect(kill(daemon, 0) == 0)
    kill(daemon, SIGKILL)
  }

  @Test func tooMuchOutputAndSignalsAreErrors() async throws {
    await #expect(throws: CommandError(program: "yes", reason: .outputLimit(10_000))) {
      try await run("yes", [], outputLimit: 10_000)
    }
    await #expect(throws: CommandError(program: "sh", reason: .signal(SIGSEGV))) {
      try await run("sh", ["-c", "kill -SEGV $$"])
    }
  }

  @Test func aHundredAtOnceLeaveNoDescriptorsBehind() async throws {
    try await withThrowingTaskGroup(of: Void.self) { group in
      for number in 0..<100 {
        group.addTask {
          let result = try await run("echo", ["\(number)"])
          #expect(result.text == "\(number)\n")
        }
      }
      try await group.waitForAll()
    }
    let result = try await run("ls", ["/proc/self/fd"])
    #expect(result.text.split(separator: "\n").count == 4, "a child has only the standard three: \(result.text)")
  }
}

@Suite struct TerminalTests {
  @Test func aProgramInATerminalHasAControllingTerminal() async throws {
    let terminal = try await Terminal.start(
      "sh", ["-c", "test -t 0 && test -t 1 && echo yes >/dev/tty; ps -o tty= -p $$"])
    var text = ""
    for try await bytes in terminal.output { text += String(decoding: bytes, as: UTF8.self) }
    #expect(text.contains("yes") && text.contains("pts/"))
    #expect(await terminal.ending() == .exited(0))
  }

  @Test func endingATerminalKillsWhatRunsInIt() async throws {
    let terminal = try await Terminal.start("sh", ["-c", "trap '' TERM HUP; echo ready; sleep 60; sleep 60"])
    var text = ""
    for try await bytes in terminal.output {
      text += String(decoding: bytes, as: UTF8.self)
      if text.contains("ready") { terminal.end() }
    }
    #expect(await terminal.ending() == .signalled(SIGKILL))
    #expect(kill(terminal.process, 0) != 0)
  }

  @Test func whatIsTypedArrives() async throws {
    let terminal = try await Terminal.start("sh", ["-c", "read line; echo got $line"])
    try terminal.write(Array("hello\n".utf8))
    var text = ""
    for try await bytes in terminal.output { text += String(decoding: bytes, as: UTF8.self) }
    #expect(text.contains("got hello"))
  }
}

func until(_ condition: () -> Bool) async throws {
  let deadline = ContinuousClock.now + .seconds(5)
  while !condition() {
    guard ContinuousClock.now < deadline else {
      Issue.record("waited 5 s in vain")
      return
    }
    try await Task.sleep(for: .milliseconds(10))
  }
}

func state(of process: Int32) -> String? {
  guard let file = fopen("/proc/\(process)/stat", "r") else { return nil }
  defer { fclose(file) }
  var buffer = [UInt8](repeating: 0, count: 512)
  let count = fread(&buffer, 1, buffer.count, file)
  let text = String(decoding: buffer[..<count], as: UTF8.self)
  return text.split(separator: ")").last?.split(separator: " ").first.map { String($0) }
}
