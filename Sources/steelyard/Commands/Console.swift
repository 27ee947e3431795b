import APISupport
import ArgumentParser
import Glibc

struct ConsoleCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "console", abstract: "Shows a node's serial console since power-on, and goes on live until Ctrl-C.",
    discussion: cloudCredentialsHelp)
  @Argument(help: "The node's name or UUID.") var node: String
  @Flag(help: "Only what there is; does not follow.") var log = false
  @Option(help: "power-on, oldest or now.") var since = "power-on"

  func run() async throws {
    try await CloudClient.session { client in
      let url =
        try client.endpoint("baremetal")
        + "/v1/nodes/\(percentEncoded(node))/console?since=\(percentEncoded(since))&follow=\(!log)"
      try await client.stream(url) { chunk in
        let bytes = Array(chunk.readableBytesView)
        var sent = 0
        while sent < bytes.count {
          let count = bytes.withUnsafeBytes {
            write(STDOUT_FILENO, $0.baseAddress?.advanced(by: sent), bytes.count - sent)
          }
          guard count > 0 else { return }
          sent += count
        }
      }
    }
    if !log { print("\n-- the console was closed: the machine was returned, or the server stopped") }
  }
}
