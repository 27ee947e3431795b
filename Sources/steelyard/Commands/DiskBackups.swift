import APISupport
import ArgumentParser
import Wire

/// Copies of machines' internal disks.
struct DiskBackupCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "disk-backup",
    abstract:
      "Copies of machines' internal disks, made and brought back. Each holds the whole disk; only what is new is sent and kept.",
    discussion: cloudCredentialsHelp,
    subcommands: [Create.self, List.self, Show.self, Restore.self, Delete.self])
  fileprivate static let path = "/disk-backups"

  struct Create: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Copies a machine's disk: it is switched off, read, and goes on as before. Prints the copy's id.")
    @Argument(help: "The node's UUID or name.") var node: String
    @Option(help: "What the copy is to be called.") var name: String?
    @Flag(help: "Return at once; `steelyard disk-backup show` tells when it is available.") var noWait = false

    func run() async throws {
      try await CloudClient.session { client in
        let made = try await client.lease("POST", path, ["node": .string(node), "name": JSON(name)])
        let id = made["uuid"]?.string ?? ""
        if noWait { return print(id) }
        let end = try await client.wait(until: ["available", "error"], limit: .seconds(86_400)) {
          let backup = try await client.lease("GET", "\(path)/\(id)")
          return (backup["status"]?.string ?? "gone", backup["fault"]?.string ?? "")
        }
        guard end.state == "available" else { throw Failure("no copy was made: \(end.detail)") }
        print(id)
      }
    }
  }

  struct List: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "The project's copies, the newest first.", aliases: ["ls"])
    @Option(help: "Only of this machine (UUID or name).") var node: String?
    @Option(help: "Only in this state: available, creating, deleting, error, error_deleting.") var status: String?
    @Flag(help: "JSON, as the API has it.") var json = false

    func run() async throws {
      try await CloudClient.session { client in
        let backups = try await client.leaseList(path, "disk_backups", [("node", node), ("status", status)])
        if json { return print(JSON.array(backups)) }
        let rows = backups.map { backup in
          ["uuid", "name", "status", "created_at", "node_uuid", "size_bytes", "data_bytes", "sent_bytes"].map {
            SignedDocument.word(backup[$0])
          }
        }
        print(textTable([["id", "name", "status", "made", "machine", "size", "data", "sent"]] + rows))
      }
    }
  }

  struct Show: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "All that is known of a copy, as JSON.")
    @Argument(help: "The copy's id.") var backup: String

    func run() async throws {
      try await CloudClient.session { print(try await $0.lease("GET", "\(path)/\(percentEncoded(backup))")) }
    }
  }

  struct Restore: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Makes a machine's disk what a copy says. What is on it is lost; the machine then boots it.",
      discussion: "The disk must be as large as the one that was copied, or larger.")
    @Argument(help: "The copy's id.") var backup: String
    @Argument(help: "The node's UUID or name: the machine that was copied, or another.") var node: String

    func run() async throws {
      try await CloudClient.session { client in
        _ = try await client.lease("POST", "\(path)/\(percentEncoded(backup))/restore", ["node": .string(node)])
      }
    }
  }

  struct Delete: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Deletes a copy.", aliases: ["rm"])
    @Argument(help: "The copy's id.") var backup: String

    func run() async throws {
      try await CloudClient.session { _ = try await $0.lease("DELETE", "\(path)/\(percentEncoded(backup))") }
    }
  }
}

/// When copies of machines' internal disks are made by themselves.
struct DiskBackupScheduleCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "disk-backup-schedule",
    abstract: "Has machines' internal disks copied regularly. A schedule ends with the lease; its copies stay.",
    discussion: cloudCredentialsHelp,
    subcommands: [Create.self, List.self, Show.self, Set.self, Delete.self])
  fileprivate static let path = "/disk-backup-schedules"

  struct Create: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Has a machine's disk copied regularly. Prints the id.")
    @Argument(help: "The node's UUID or name.") var node: String
    @Option(help: "Hours from one copy to the next: 1 to 8760.") var everyHours: Int
    @Option(help: "So many copies are kept, 1 to 100; older ones of this schedule are deleted.") var keep = 7
    @Option(
      help:
        "What each becomes: backup (all of the disk, in the backup store), or image (of the project, without the config drive)."
    ) var destination: String?
    @Option(help: "When the first is made: 2026-11-23T02:00:00 (UTC); at once without it.") var at: String?

    func run() async throws {
      try await CloudClient.session { client in
        let made = try await client.lease(
          "POST", path,
          [
            "node": .string(node), "every_hours": .int(everyHours), "keep": .int(keep), "at": JSON(at),
            "destination": JSON(destination),
          ])
        print(made["uuid"]?.string ?? "")
      }
    }
  }

  struct List: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "The project's schedules, the newest first.", aliases: ["ls"])
    @Option(help: "Only of this machine (UUID or name).") var node: String?
    @Flag(help: "JSON, as the API has it.") var json = false

    func run() async throws {
      try await CloudClient.session { client in
        let schedules = try await client.leaseList(path, "disk_backup_schedules", [("node", node)])
        if json { return print(JSON.array(schedules)) }
        let rows = schedules.map { schedule in
          ["uuid", "node_uuid", "destination", "every_hours", "keep", "next_at", "fault"].map {
            SignedDocument.word(schedule[$0])
          }
        }
        print(textTable([["id", "machine", "becomes", "hours", "keep", "next", "problem"]] + rows))
      }
    }
  }

  struct Show: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "All that is known of a schedule, as JSON.")
    @Argument(help: "The schedule's id.") var schedule: String

    func run() async throws {
      try await CloudClient.session { print(try await $0.lease("GET", "\(path)/\(percentEncoded(schedule))")) }
    }
  }

  struct Set: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Changes a schedule.")
    @Argument(help: "The schedule's id.") var schedule: String
    @Option(help: "Hours from one copy to the next: 1 to 8760.") var everyHours: Int?
    @Option(help: "So many copies are kept, 1 to 100.") var keep: Int?
    @Option(help: "When the next is made: 2026-11-23T02:00:00 (UTC).") var at: String?

    func run() async throws {
      try await CloudClient.session { client in
        _ = try await client.lease(
          "PATCH", "\(path)/\(percentEncoded(schedule))",
          ["every_hours": JSON(everyHours), "keep": JSON(keep), "at": JSON(at)])
      }
    }
  }

  struct Delete: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Ends a schedule; its copies stay.", aliases: ["rm"])
    @Argument(help: "The schedule's id.") var schedule: String

    func run() async throws {
      try await CloudClient.session { _ = try await $0.lease("DELETE", "\(path)/\(percentEncoded(schedule))") }
    }
  }
}

extension CloudClient {
  /// Asks the lease API, and takes what is not a success for the error that it is.
  /// - Parameter path: behind "/v1".
  func lease(_ method: String, _ path: String, _ body: JSON? = nil) async throws -> JSON {
    let url = try endpoint("lease")
    let answer = try await send(method, (url.hasSuffix("/v1") ? url : url + "/v1") + path, body)
    guard (200...299).contains(answer.status) else {
      throw Failure(answer.json["faultstring"]?.string ?? answer.fault)
    }
    return answer.json
  }
  /// All of a list, page by page.
  fileprivate func leaseList(_ path: String, _ member: String, _ filters: [(String, String?)]) async throws -> [JSON] {
    let words = filters.compactMap { name, value in value.map { "&\(name)=\(percentEncoded($0))" } }.joined()
    var items: [JSON] = []
    while true {
      let marker = items.last?["uuid"]?.string.map { "&marker=\($0)" } ?? ""
      let page = try await lease("GET", "\(path)?limit=200\(words)\(marker)")[member]?.array ?? []
      items += page
      if page.count < 200 { return items }
    }
  }
}
