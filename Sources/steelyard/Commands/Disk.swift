import APISupport
import ArgumentParser
import Wire

/// Disks that machines boot from: volumes, with the verbs of BMI (M2). The same is done by `openstack volume …`.
struct DiskCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "disk", abstract: "Disks that machines boot from: copies of images, made at once.",
    discussion: """
      A disk is a volume: `openstack volume` shows and changes the same. \(cloudCredentialsHelp)
      """,
    subcommands: [
      DiskCreateCommand.self, DiskListCommand.self, DiskShowCommand.self, DiskDeleteCommand.self,
    ])
}

/// How every command that asks a site says who asks.
let cloudCredentialsHelp =
  "Credentials are those of the openstack client: OS_CLOUD and a clouds.yaml, or OS_AUTH_URL and its fellows."

struct DiskCreateCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "create", abstract: "Makes a disk of an image, a snapshot or another disk.")
  @Argument(help: "The disk's name.") var name: String
  @Argument(help: "The image to copy, by name or id.") var image: String?
  @Option(help: "The snapshot to copy instead, by name or id.") var snapshot: String?
  @Option(help: "The disk to copy instead, by name or id.") var disk: String?
  @Option(help: "GiB; as large as what is copied when it is not given.") var size: Int?

  func validate() throws {
    guard [image, snapshot, disk].compactMap({ $0 }).count == 1 else {
      throw ValidationError("Say what to copy: an image, --snapshot or --disk, one of them.")
    }
    if let size, size < 1 { throw ValidationError("--size: a number of GiB is expected, 1 or more.") }
  }

  func run() async throws {
    try await CloudClient.session { client in
      let volumes = try client.endpoint("block-storage")
      var body: JSONObject = ["name": .string(name)]
      if let snapshot {
        let found = try await client.find("snapshot", snapshot, in: volumes + "/snapshots", "snapshots")
        body["snapshot_id"] = found["id"]
        body["size"] = .int(size ?? found["size"]?.int ?? 1)
      } else if let disk {
        let found = try await client.find("disk", disk, in: volumes + "/volumes", "volumes")
        body["source_volid"] = found["id"]
        body["size"] = .int(try await client.size(size, orOf: found))
      } else if let image {
        let found = try await client.find("image", image, in: client.endpoint("image") + "/v2/images", "images")
        body["imageRef"] = found["id"]
        body["size"] = .int(size ?? Self.gibibytes(found))
      }
      let made = try await client.ask("POST", volumes + "/volumes", ["volume": .object(body)])
      let id = made["volume"]?["id"]?.string ?? ""
      let end = try await client.wait(until: ["available", "error"], limit: .seconds(3600)) {
        let volume = try await client.ask("GET", "\(volumes)/volumes/\(id)")["volume"] ?? .null
        return (volume["status"]?.string ?? "gone", "")
      }
      guard end.state == "available" else {
        throw Failure(
          "the disk could not be made: `openstack volume message list` says why; `steelyard disk delete \(id)`")
      }
      print(id)
    }
  }

  /// The disk that an image unpacks to, in whole GiB.
  private static func gibibytes(_ image: JSON) -> Int {
    let bytes = image["virtual_size"]?.int ?? image["size"]?.int ?? 0
    return max(image["min_disk"]?.int ?? 0, 1, (bytes + (1 << 30) - 1) >> 30)
  }
}

extension CloudClient {
  /// GiB that are asked for, else of a volume, which a short list does not have.
  fileprivate func size(_ asked: Int?, orOf volume: JSON) async throws -> Int {
    if let size = asked ?? volume["size"]?.int { return size }
    let id = volume["id"]?.string ?? ""
    return try await ask("GET", "\(try endpoint("block-storage"))/volumes/\(id)")["volume"]?["size"]?.int ?? 1
  }
}

struct DiskListCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "list", abstract: "The project's disks, and the machines that have them.", aliases: ["ls"])
  @Flag(help: "JSON, as the API has it.") var json = false

  func run() async throws {
    try await CloudClient.session { client in
      let url = try client.endpoint("block-storage") + "/volumes/detail"
      var volumes: [JSON] = []
      while true {
        let marker = volumes.last?["id"]?.string.map { "&marker=\($0)" } ?? ""
        let page = try await client.ask("GET", url + "?limit=200" + marker)["volumes"]?.array ?? []
        volumes += page
        if page.count < 200 { break }
      }
      if json { return print(JSON.array(volumes)) }
      let rows = volumes.map { volume in
        [
          volume["name"]?.string ?? "", volume["id"]?.string ?? "", "\(volume["size"]?.int ?? 0)",
          volume["status"]?.string ?? "",
          (volume["attachments"]?.array ?? []).compactMap { $0["server_id"]?.string }.joined(separator: " "),
        ]
      }
      print(textTable([["name", "id", "GiB", "status", "machine"]] + rows))
    }
  }
}

struct DiskShowCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "show", abstract: "All that is known of a disk, as JSON.")
  @Argument(help: "The disk's name or id.") var disk: String

  func run() async throws {
    try await CloudClient.session { client in
      let url = try client.endpoint("block-storage") + "/volumes"
      let id = try await client.find("disk", disk, in: url, "volumes")["id"]?.string ?? ""
      print(try await client.ask("GET", "\(url)/\(id)")["volume"] ?? .null)
    }
  }
}

struct DiskDeleteCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "delete", abstract: "Deletes a disk and what is on it.", aliases: ["rm"])
  @Argument(help: "The disk's name or id.") var disk: String

  func run() async throws {
    try await CloudClient.session { client in
      let url = try client.endpoint("block-storage") + "/volumes"
      let id = try await client.find("disk", disk, in: url, "volumes")["id"]?.string ?? ""
      try await client.ask("DELETE", "\(url)/\(id)")
    }
  }
}
