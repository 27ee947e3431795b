import ArgumentParser
import Domain
import Store
import Wire

struct UsageCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "usage", abstract: "Machine time by project, owner and class.",
    discussion: """
      From the hand-over of a machine to the end of its lessee's access; taking it back and cleaning it is nobody's time. \
      A project that sub-leases has the machine from its owner all the time and gives part of that on: that part is shown \
      as sub-leased, and taken off the total once.
      """)

  enum Format: String, ExpressibleByArgument, CaseIterable { case table, csv, json }

  @OptionGroup var site: SiteOptions
  @Option(help: "The first moment that counts: 2026-11-01 or 2026-11-01T08:00:00 (UTC).") var from: String?
  @Option(help: "The first moment that counts no more; now when it is not given.") var to: String?
  @Option(help: "What to group by, separated by commas: project, owner, class.") var by = "project,owner,class"
  @Option(help: "table, csv or json.") var format = Format.table
  @Flag(help: "Counts from the recorded events instead of the leases; the two must agree.") var fromEvents = false

  func run() async throws {
    let dimensions = try by.split(separator: ",").map { word in
      guard let dimension = Usage.Dimension(rawValue: String(word)) else {
        throw Failure("--by \(word): project, owner and class are expected")
      }
      return dimension
    }
    let now = systemClock()
    let period = TimeRange(try time(from, "--from") ?? Timestamp(seconds: 0), try time(to, "--to") ?? now)
    guard period.isValid else { throw Failure("--from must be before --to") }
    let countsEvents = fromEvents
    try await withDatabase(site) { database in
      let (uses, names) = try await database.read { session in
        (
          countsEvents
            ? try UsageStore.fromEvents(period, now: now, in: session)
            : try UsageStore.fromLeases(period, now: now, in: session),
          try ProjectStore.names(in: session)
        )
      }
      let report = UsageReport(rows: Usage.sum(uses, by: dimensions), dimensions: dimensions, names: names)
      switch format {
      case .table: print(report.table)
      case .csv: print(report.csv, terminator: "")
      case .json: print(report.json(period).description)
      }
    }
  }
  private func time(_ text: String?, _ option: String) throws -> Timestamp? {
    guard let text else { return nil }
    guard let time = Timestamp(parsing: text) else {
      throw Failure("\(option) \(text): a time such as 2026-11-01T08:00:00 is expected")
    }
    return time
  }
}

/// Usage as people and programs read it.
struct UsageReport {
  let rows: [Usage]
  let dimensions: [Usage.Dimension]
  /// Of projects, by id.
  let names: [String: String]

  /// Each dimension's value, and the id behind a name.
  private func value(_ dimension: Usage.Dimension, _ key: Usage.Key) -> (name: String, id: String) {
    switch dimension {
    case .project: (names[key.projectID ?? ""] ?? key.projectID ?? "", key.projectID ?? "")
    case .owner: (names[key.ownerID ?? ""] ?? key.ownerID ?? "", key.ownerID ?? "")
    case .class: (key.resourceClass ?? "", key.resourceClass ?? "")
    }
  }
  /// Hours to four places, rounded to the nearest: a third of a second.
  static func hours(_ time: Duration) -> String {
    let parts = (time.wholeMicroseconds + 180_000) / 360_000
    let fraction = String(parts % 10_000)
    return "\(parts / 10_000)." + String(repeating: "0", count: 4 - fraction.count) + fraction
  }
  private var total: (leases: Int, machines: Duration) {
    rows.reduce(into: (0, .zero)) { sum, row in
      sum.0 += row.leases
      sum.1 += row.time - row.subLeased
    }
  }

  var table: String {
    var lines = [dimensions.map(\.rawValue) + ["leases", "node hours", "sub-leased"]]
    for row in rows {
      lines.append(
        dimensions.map { value($0, row.key).name } + ["\(row.leases)", Self.hours(row.time), Self.hours(row.subLeased)])
    }
    let sum = total
    lines.append(
      dimensions.enumerated().map { $0.offset == 0 ? "machines' time" : "" }
        + ["\(sum.leases)", Self.hours(sum.machines), ""])
    let widths = lines[0].indices.map { column in lines.map { $0[column].count }.max() ?? 0 }
    return lines.map { line in
      line.enumerated().map { index, text in
        index < dimensions.count
          ? pad(text, widths[index]) : String(repeating: " ", count: widths[index] - text.count) + text
      }.joined(separator: "  ")
    }.joined(separator: "\n")
  }

  /// RFC 4180; what begins like a formula is quoted as text for those who open it in a spreadsheet.
  var csv: String {
    func field(_ text: String) -> String {
      let plain = "=+-@\t\r".contains(text.first ?? " ") ? "'" + text : text
      let mustQuote = plain.contains { ",\"\n\r".contains($0) }
      return mustQuote ? "\"" + plain.replacing("\"", with: "\"\"") + "\"" : plain
    }
    var lines = [
      dimensions.flatMap { $0 == .class ? ["class"] : [$0.rawValue, "\($0.rawValue)_id"] }
        + ["leases", "node_hours", "sub_leased_hours"]
    ]
    for row in rows {
      lines.append(
        dimensions.flatMap { dimension in
          let (name, id) = value(dimension, row.key)
          return (dimension == .class ? [name] : [name, id]).map(field)
        } + ["\(row.leases)", Self.hours(row.time), Self.hours(row.subLeased)])
    }
    return lines.map { $0.joined(separator: ",") + "\r\n" }.joined()
  }

  func json(_ period: TimeRange) -> JSON {
    let sum = total
    return [
      "from": .string(period.start.iso8601), "to": .string(period.end.iso8601),
      "usage": .array(
        rows.map { row in
          var object = JSONObject()
          for dimension in dimensions {
            let (name, id) = value(dimension, row.key)
            object[dimension.rawValue] = .string(name)
            if dimension != .class { object["\(dimension.rawValue)_id"] = .string(id) }
          }
          object["leases"] = .int(row.leases)
          object["node_microseconds"] = .int(row.time.wholeMicroseconds)
          object["sub_leased_microseconds"] = .int(row.subLeased.wholeMicroseconds)
          return .object(object)
        }),
      "leases": .int(sum.leases), "machine_microseconds": .int(sum.machines.wholeMicroseconds),
    ]
  }
}
