import Glibc
import Processes
import Testing

@Suite struct ExecutableFileTests {
  /// While other threads start programs: a script is open for writing nowhere when it can be run, and runs.
  @Test func aScriptJustWrittenRunsWhateverElseIsStarted() async throws {
    let folder = try makeTemporaryFolder("executable"), path = "\(folder)/script"
    defer { removeTree(folder) }
    try await withThrowingTaskGroup(of: Void.self) { group in
      for _ in 0..<4 {
        group.addTask {
          while !Task.isCancelled { _ = try? await run("true", []) }
        }
      }
      group.addTask {
        for number in 0..<1000 {
          try await writeExecutable("#!/bin/sh\necho \(number)\n", to: path)
          // fcntl(2): a lease for reading is given (F_SETLEASE, 1024) only on a file that nobody has open for writing.
          let script = open(path, O_RDONLY | O_CLOEXEC)
          #expect(fcntl(script, 1024, Int32(F_RDLCK)) == 0, "\(number)")
          close(script)
          if number % 20 == 0 { #expect(try await runChecked(path, []).text == "\(number)\n") }
        }
      }
      defer { group.cancelAll() }
      // The ones that start programs have no end of their own.
      try await group.next()
    }
  }

  @Test func itsModeIsTheOneAskedForAndOneInTheWayIsReplaced() async throws {
    let folder = try makeTemporaryFolder("executable")
    defer { removeTree(folder) }
    for mode: mode_t in [0o700, 0o755, 0o777] {
      try await writeExecutable("#!/bin/sh\n", to: "\(folder)/script", mode: mode)
      var information = stat()
      #expect(stat("\(folder)/script", &information) == 0 && information.st_mode & 0o777 == mode)
    }
    #expect(fileNames(in: folder) == ["script"])
  }

  @Test func whatCannotBeWrittenIsToldAndLeavesNothing() async throws {
    let folder = try makeTemporaryFolder("executable")
    defer { removeTree(folder) }
    let path = "\(folder)/none/script"
    await #expect(throws: CommandError(program: path, reason: .notStarted(ENOENT))) {
      try await writeExecutable("#!/bin/sh\n", to: path)
    }
    mkdir("\(folder)/taken", 0o700)
    await #expect(throws: CommandError.self) { try await writeExecutable("#!/bin/sh\n", to: "\(folder)/taken") }
    #expect(fileNames(in: folder) == ["taken"])
  }
}
