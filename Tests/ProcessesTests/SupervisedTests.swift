import Glibc
import Processes
import Synchronization
import Testing

@Suite struct SupervisedTests {
  /// A folder with a script as the program, removed at the end.
  private func supervise(
    _ script: String, logLimit: Int = 1 << 20, grace: Duration = .milliseconds(200),
    beforeStart: @escaping @Sendable () throws -> Void = {},
    _ body: (SupervisedProcess, _ folder: String) async throws -> Void
  ) async throws {
    let folder = "/tmp/steelyard-supervised-\(getpid())-\(UInt32.random(in: 0 ... .max))"
    mkdir(folder, 0o700)
    let process = try SupervisedProcess(
      "sh", ["-c", script, folder], logFile: "\(folder)/log", logLimit: logLimit, pidFile: "\(folder)/pid",
      grace: grace,
      backoff: .milliseconds(5)...(.milliseconds(40)), beforeStart: beforeStart)
    let running = Task { try await process.run() }
    var failure: (any Error)?
    do { try await body(process, folder) } catch { failure = error }
    running.cancel()
    let result = await running.result
    #expect(throws: Never.self) { try result.get() }
    #expect(process.state.process == nil)
    #expect(text("\(folder)/pid").isEmpty, "the number of a process that has ended is kept")
    _ = try await run("rm", ["-rf", folder])
    if let failure { throw failure }
  }
  private func text(_ path: String) -> String {
    guard let file = fopen(path, "re") else { return "" }
    defer { fclose(file) }
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 65536)
    while case let count = fread(&buffer, 1, buffer.count, file), count > 0 { bytes += buffer[..<count] }
    return String(decoding: bytes, as: UTF8.self)
  }
  private func isGone(_ process: pid_t) -> Bool { kill(process, 0) != 0 || state(of: process) == "Z" }

  @Test func aProgramThatDiesIsStartedAgainWithGrowingPauses() async throws {
    let begin = ContinuousClock.now
    try await supervise("echo life; echo trouble >&2; exit 3") { process, folder in
      try await until { process.state.starts >= 6 }
      // 5 + 10 + 20 + 40 + 40 ms of pauses.
      #expect(ContinuousClock.now - begin > .milliseconds(100))
      #expect(process.state.lastEnding == .exited(3))
      let log = text("\(folder)/log")
      #expect(log.contains("life\n") && log.contains("trouble\n") && log.contains("steelyard: sh ended: "))
    }
  }

  @Test func oneThatDoesNotWantToEndIsKilledWithAllItStarted() async throws {
    var seen: [pid_t] = []
    try await supervise("trap '' TERM; sh -c 'trap \"\" TERM; echo $$ >$0/child; sleep 60' $0 & sleep 60; sleep 60") {
      process, folder in
      try await until { text("\(folder)/child").hasSuffix("\n") }
      seen = [try #require(process.state.process), try #require(pid_t(text("\(folder)/child").dropLast()))]
      #expect(text("\(folder)/pid") == "\(seen[0])\n")
    }
    for process in seen { try await until { isGone(process) } }
  }

  @Test func whatADeadOneLeftRunningIsEndedBeforeTheNextStart() async throws {
    try await supervise(
      "[ -e $0/child ] && exec sleep 60; sleep 60 & echo $! >$0/child.new; mv $0/child.new $0/child; exit 1"
    ) {
      process, folder in
      try await until { process.state.starts == 2 && process.state.process != nil }
      let child = try #require(pid_t(text("\(folder)/child").dropLast()))
      try await until { isGone(child) }
    }
  }

  @Test func aRestartIsAtOnceAndCountsAsNoDeath() async throws {
    try await supervise("exec sleep 60") { process, folder in
      for round in 1...20 {
        try await until { process.state.starts == round && process.state.process != nil }
        process.restart()
      }
      try await until { process.state.starts == 21 && process.state.process != nil }
      #expect(process.state.lastEnding == .signalled(SIGTERM))
      #expect(!text("\(folder)/log").contains("ended"))
    }
  }

  @Test func whatCannotBePreparedIsTriedAgain() async throws {
    struct Unready: Error, CustomStringConvertible { let description = "the disk is full" }
    let attempts = Attempts()
    try await supervise("exec sleep 60", beforeStart: { if attempts.next() < 3 { throw Unready() } }) {
      process, folder in
      try await until { process.state.process != nil }
      #expect(process.state.starts == 1 && attempts.next() == 4)
      #expect(text("\(folder)/log") == String(repeating: "steelyard: sh was not started: the disk is full\n", count: 2))
    }
  }

  @Test func theLogKeepsWhatIsNewAndNeverGrowsBeyondItsLimit() async throws {
    try await supervise(
      "i=0; while [ $i -lt 3000 ]; do echo \"line $i\"; i=$((i+1)); done; exec sleep 60", logLimit: 8192
    ) {
      process, folder in
      try await until { text("\(folder)/log").hasSuffix("line 2999\n") }
      let (now, before) = (text("\(folder)/log"), text("\(folder)/log.1"))
      #expect(now.utf8.count <= 8192 && before.utf8.count <= 8192)
      #expect(text("\(folder)/log.2").isEmpty)
      #expect((before + now).split(separator: "\n").suffix(100) == (2900..<3000).map { "line \($0)" }[...])
    }
  }

  @Test func aProcessWithTheNumberOfAnEarlierOneThatIsAnotherProgramIsLeftAlone() async throws {
    let folder = "/tmp/steelyard-supervised-\(getpid())-\(UInt32.random(in: 0 ... .max))"
    mkdir(folder, 0o700)
    let stranger = try #require(
      pid_t(try await run("sh", ["-c", "sleep 61 >/dev/null 2>&1 & echo $!"]).text.dropLast()))
    let leftover = try #require(
      pid_t(try await run("sh", ["-c", "sleep 62 >/dev/null 2>&1 & echo $!"]).text.dropLast()))
    for (file, number) in [("stranger", stranger), ("leftover", leftover)] {
      _ = try await runChecked("sh", ["-c", "echo $1 >$0", "\(folder)/\(file)", "\(number)"])
      let process = try SupervisedProcess("sleep", ["62"], logFile: "\(folder)/log", pidFile: "\(folder)/\(file)")
      let running = Task { try await process.run() }
      try await until { process.state.process != nil }
      #expect(isGone(number) == (file == "leftover"))
      running.cancel()
      try await running.value
    }
    kill(stranger, SIGKILL)
    _ = try await run("rm", ["-rf", folder])
  }
}

private final class Attempts: Sendable {
  private let count = Mutex(0)
  func next() -> Int {
    count.withLock { count in
      count += 1
      return count
    }
  }
}
