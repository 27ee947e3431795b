import APISupport
import ArgumentParser
import Wire

/// Snapshots of disks, with the verbs of BMI (M2). The same is done by `openstack volume snapshot …`.
struct SnapCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "snap", abstract: "Snapshots of disks: what a disk was at one moment, to make others of.",
    discussion:
      "Also of a disk that a machine runs from; it then has what the machine had written. \(cloudCredentialsHelp)",
    subcommands: [SnapCreateCommand.self, SnapListCommand.self, SnapDeleteCommand.self])
}

struct SnapCreateCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(commandName: "create", abstract: "Keeps what a disk is now.")
  @Argument(help: "The disk's name or id.") var disk: String
  @Argument(help: "The snapshot's name.") var name: String

  func run() async throws {
    try await CloudClient.session { client in
      let volumes = try client.endpoint("block-storage")
      let found = try await client.find("disk", disk, in: volumes + "/volumes", "volumes")
      let body: JSONObject = ["volume_id": found["id"] ?? "", "name": .string(name), "force": true]
      let made = try await client.ask("POST", volumes + "/snapshots", ["snapshot": .object(body)])
      let id = made["snapshot"]?["id"]?.string ?? ""
      let end = try await client.wait(until: ["available", "error"], limit: .seconds(600)) {
        let snapshot = try await client.ask("GET", "\(volumes)/snapshots/\(id)")["snapshot"] ?? .null
        return (snapshot["status"]?.string ?? "gone", "")
      }
      guard end.state == "available" else {
        throw Failure("the snapshot could not be made: the server's log says why; `steelyard snap delete \(id)`")
      }
      print(id)
    }
  }
}

struct SnapListCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "list", abstract: "The project's snapshots.", aliases: ["ls"])
  @Option(help: "Only those of this disk, by name or id.") var disk: String?
  @Flag(help: "JSON, as the API has it.") var json = false

  func run() async throws {
    try await CloudClient.session { client in
      let volumes = try client.endpoint("block-storage")
      var url = volumes + "/snapshots/detail?limit=200"
      if let disk {
        let id = try await client.find("disk", disk, in: volumes + "/volumes", "volumes")["id"]?.string ?? ""
        url += "&volume_id=\(id)"
      }
      var snapshots: [JSON] = []
      while true {
        let marker = snapshots.last?["id"]?.string.map { "&marker=\($0)" } ?? ""
        let page = try await client.ask("GET", url + marker)["snapshots"]?.array ?? []
        snapshots += page
        if page.count < 200 { break }
      }
      if json { return print(JSON.array(snapshots)) }
      let rows = snapshots.map { snapshot in
        [
          snapshot["name"]?.string ?? "", snapshot["id"]?.string ?? "", "\(snapshot["size"]?.int ?? 0)",
          snapshot["status"]?.string ?? "", snapshot["volume_id"]?.string ?? "",
        ]
      }
      print(textTable([["name", "id", "GiB", "status", "disk"]] + rows))
    }
  }
}

struct SnapDeleteCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "delete", abstract: "Deletes a snapshot; disks that were made of it stay.", aliases: ["rm"])
  @Argument(help: "The snapshot's name or id.") var snapshot: String

  func run() async throws {
    try await CloudClient.session { client in
      let url = try client.endpoint("block-storage") + "/snapshots"
      let id = try await client.find("snapshot", snapshot, in: url, "snapshots")["id"]?.string ?? ""
      try await client.ask("DELETE", "\(url)/\(id)")
    }
  }
}
