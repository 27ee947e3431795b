import ArgumentParser
import Cryptography
import Store
import Wire
import Workflows

struct WorkflowCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "workflow", abstract: "Shows the site's workflows, and helps those that are stuck.",
    subcommands: [List.self, Show.self, Retry.self, SkipStep.self, Abandon.self], defaultSubcommand: List.self)

  struct List: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Open workflows, oldest first; with --all those that ended too.")
    @OptionGroup var site: SiteOptions
    @Flag(help: "Also workflows that have ended.") var all = false
    @Option(help: "Only those of this node or lease (its UUID).") var subject: String?

    func run() async throws {
      let everything = all, wanted = subject
      try await withDatabase(site) { database in
        let records = try await database.read { session in
          try WorkflowStore.list(in: session) { query in
            query.append("WHERE 1 = 1")
            if !everything { query.append("AND state IN ('running','waiting','unwinding','stuck')") }
            if let wanted { query.append("AND subject = ?", .text(wanted)) }
            query.append("ORDER BY created_at LIMIT 1000")
          }
        }
        for record in records {
          print(
            "\(record.id)  \(pad(record.kind, 16))  \(pad(record.state.rawValue, 9))  \(record.subject)  \(record.createdAt.iso8601Zulu)  \(record.reason?.whole ?? "")"
          )
        }
        if records.isEmpty { print(everything ? "There are no workflows." : "Nothing is going on.") }
      }
    }
  }

  struct Show: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "A workflow and its log.")
    @OptionGroup var site: SiteOptions
    @Argument(help: "The workflow's id.") var id: String

    func run() async throws {
      let id = id
      try await withDatabase(site) { database in
        let (record, events) = try await database.read { session in
          (try WorkflowStore.get(id, in: session), try WorkflowStore.events(of: id, in: session))
        }
        guard let record else { throw Failure("There is no workflow \(id).") }
        print("id        \(record.id)\nkind      \(record.kind) version \(record.version)\nsubject   \(record.subject)")
        print(
          "state     \(record.state.rawValue)\ncreated   \(record.createdAt.iso8601Zulu)\nchanged   \(record.updatedAt.iso8601Zulu)"
        )
        if let wake = record.wakeAt {
          print("wakes     \(wake.iso8601Zulu)\(record.wakeOn.map { " or on \($0)" } ?? "")")
        }
        if let reason = record.reason { print("error     \(reason.whole)") }
        for event in events {
          let data = event.kind == .succeeded ? nil : event.data
          print(
            "  \(event.at.iso8601Zulu)  \(pad(event.kind.rawValue, 12))  \(event.step)\(data.map { ": \($0)" } ?? "")")
        }
      }
    }
  }

  struct Retry: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Tries the failed undo of a stuck workflow again.")
    @OptionGroup var site: SiteOptions
    @Argument(help: "The workflow's id.") var id: String
    func run() async throws { try await intervene(.retry, id, site) }
  }
  struct SkipStep: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "skip-step", abstract: "Takes the failed undo of a stuck workflow as done: you have done it by hand."
    )
    @OptionGroup var site: SiteOptions
    @Argument(help: "The workflow's id.") var id: String
    func run() async throws { try await intervene(.skipStep, id, site) }
  }
  struct Abandon: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract:
        "Ends a stuck workflow as it is; what it left outside is yours. The node stays in maintenance and is free again."
    )
    @OptionGroup var site: SiteOptions
    @Argument(help: "The workflow's id.") var id: String
    func run() async throws { try await intervene(.abandon, id, site) }
  }
}

private func intervene(_ intervention: WorkflowStore.Intervention, _ id: String, _ site: SiteOptions) async throws {
  try await withDatabase(site) { database in
    let done = try await database.write { session in
      try WorkflowStore.intervene(intervention, in: id, at: systemClock(), session: session)
    }
    guard done else {
      throw Failure("Workflow \(id) is not stuck, or there is none: `steelyard workflow list --all` shows them.")
    }
    print("recorded; a running server takes it up within seconds")
  }
}

/// Opens the site's database beside a server that may be running.
func withDatabase<T>(_ site: SiteOptions, _ body: (Database) async throws -> T) async throws -> T {
  let database = try Database(
    path: site.database, secrets: try SecretBox.fromFile(site.keyFile, create: false), readers: 1,
    upgrades: false)
  defer { database.close() }
  return try await body(database)
}

func pad(_ text: String, _ width: Int) -> String {
  text.count >= width ? text : text + String(repeating: " ", count: width - text.count)
}
