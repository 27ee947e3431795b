import ArgumentParser
import Glibc

struct ConsoleCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "console", abstract: "Shows a node's serial console since power-on, and goes on live until Ctrl-C.",
    discussion:
      "Credentials are those of the openstack client: OS_CLOUD and a clouds.yaml, or OS_AUTH_URL and its fellows.")
  @Argument(help: "The node's name or UUID.") var node: String
  @Flag(help: "Only what there is; does not follow.") var log = false
  @Option(help: "power-on, oldest or now.") var since = "power-on"

  func run() async throws {
    let client = try await CloudClient.login()
    do {
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
    } catch {
      await client.close()
      throw error
    }
    await client.close()
    if !log { print("\n-- the console was closed: the machine was returned, or the server stopped") }
  }
}

func percentEncoded(_ text: String) -> String {
  var out = ""
  for byte in text.utf8 {
    let isPlain =
      (byte >= 48 && byte <= 57) || (byte >= 65 && byte <= 90) || (byte >= 97 && byte <= 122)
      || [0x2d, 0x2e, 0x5f, 0x7e].contains(byte)
    out +=
      isPlain ? String(UnicodeScalar(byte)) : "%" + (byte < 16 ? "0" : "") + String(byte, radix: 16, uppercase: true)
  }
  return out
}
