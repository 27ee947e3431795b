import APISupport
import ArgumentParser
import Wire

struct NodeCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "node", abstract: "What the openstack client has no command for.", subcommands: [Capture.self])

  struct Capture: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Makes an image of what is on a machine's disk: it is switched off, read, and goes on as before.",
      discussion:
        "Credentials are those of the openstack client: OS_CLOUD and a clouds.yaml, or OS_AUTH_URL and its fellows. Prints the image's id; `openstack image show` tells when it is active."
    )
    @Argument(help: "The node's UUID or name.") var node: String
    @Option(help: "What the image is to be called.") var name: String

    func run() async throws {
      let client = try await CloudClient.login()
      let answer: CloudClient.Answer
      do {
        let url = try client.endpoint("baremetal")
        answer = try await client.send(
          "POST", (url.hasSuffix("/v1") ? url : url + "/v1") + "/nodes/\(percentEncoded(node))/capture",
          ["name": .string(name)])
      } catch {
        await client.close()
        throw error
      }
      await client.close()
      guard answer.status == 202, let image = answer.json["image_id"]?.string else { throw Failure(answer.fault) }
      print(image)
    }
  }
}
