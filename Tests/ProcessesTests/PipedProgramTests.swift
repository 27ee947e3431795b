import Processes
import Testing

@Suite struct PipedProgramTests {
  @Test func aConversationGoesBothWays() async throws {
    let program = try await PipedProgram.start(
      "sh", ["-c", "while read line; do echo \"<$line>\"; echo heard >&2; done"])
    for word in ["one", "two"] {
      program.write(Array("\(word)\n".utf8))
      let answer = try await program.read(within: .seconds(10))
      #expect(answer.map { String(decoding: $0, as: UTF8.self) } == "<\(word)>\n")
    }
    program.end()
    #expect(await program.ending() == .signalled(15))
    #expect(try await program.read(within: .seconds(10)) == nil)
    #expect(program.errorText == "heard\nheard\n")
  }

  @Test func aSilentProgramIsNotWaitedForLongerThanAsked() async throws {
    let program = try await PipedProgram.start("sleep", ["1000"])
    let error = await #expect(throws: CommandError.self) { _ = try await program.read(within: .milliseconds(50)) }
    #expect(error?.reason == .timeout(.milliseconds(50)))
    program.end()
    _ = await program.ending()
  }

  @Test func muchIsReadWholeAndTheEndIsSeen() async throws {
    let program = try await PipedProgram.start("head", ["-c", "5000000", "/dev/zero"])
    var count = 0
    while let bytes = try await program.read(within: .seconds(10)) { count += bytes.count }
    #expect(count == 5_000_000)
    #expect(await program.ending() == .exited(0))
  }

  @Test func aProgramThatIsNotThereIsAnErrorOfItsOwn() async throws {
    await #expect(throws: CommandError(program: "no-such-program", reason: .notFound)) {
      _ = try await PipedProgram.start("no-such-program", [])
    }
  }
}
