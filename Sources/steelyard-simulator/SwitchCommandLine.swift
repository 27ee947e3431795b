import ArgumentParser
import Glibc
import Simulators

struct SwitchCommandLine: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "switch-cli",
    abstract: "The command line of a switch, as sshd's ForceCommand.",
    discussion: """
      The configuration lies in FOLDER (running.json, startup.json), with a log of every line typed. FOLDER/faults.json makes
      it misbehave: {"lies": true}, {"stall": 2}, {"sessions_refused": 1}, {"drops": 1}, {"vnis_down": true}, {"refused_port": "…"}.
      """)
  @Option(help: "Where the switch keeps its configuration.") var folder: String
  @Option(help: "Whose command line.") var vendor: String

  func run() throws {
    guard let dialect = CommandLineDialect.all.first(where: { $0.vendor == vendor }) else {
      throw ValidationError("--vendor is one of \(CommandLineDialect.all.map(\.vendor).joined(separator: ", "))")
    }
    var device = try CommandLineSwitch(dialect, folder: folder) { text in
      let bytes = Array(text.utf8)
      _ = write(1, bytes, bytes.count)
    }
    let status = try device.converse { readLine(strippingNewline: true) }
    throw ExitCode(status)
  }
}

struct NETCONFRelayCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "netconf-relay",
    abstract: "Between sshd and a real NETCONF server: keeps a log, and misbehaves as FOLDER/faults.json says.")
  @Option(help: "Where the log and faults.json are.") var folder: String
  @Argument(parsing: .captureForPassthrough, help: "The server's subsystem and its arguments.") var command: [String]

  func run() async throws {
    let words = command.filter { $0 != "--" }
    guard let program = words.first else { throw ValidationError("which program?") }
    try await NETCONFRelay(folder: folder).run(program, Array(words.dropFirst()))
  }
}
