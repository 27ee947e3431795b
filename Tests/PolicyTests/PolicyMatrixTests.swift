import APISupport
import Glibc
import HTTPTypes
import Testing
import Wire

/// The policy of the whole site, generated from the endpoint tables: every endpoint, every role, every kind of object.
///
/// `STEELYARD_REWRITE=1 scripts/test-only PolicyTests` writes the golden files anew; the difference is read in review.
@Suite struct PolicyMatrixTests {
  private struct Row: Sendable {
    var service: String
    var method: String
    var path: String
    var rule: String
    /// Whose objects the path can name; empty when it names nothing that belongs to somebody.
    var columns: [Column]
    /// "200", "200 404 404" or "200 404 404 200" by caller.
    var cells: [Caller: [Int]] = [:]
    /// What the callers of one endpoint were told, with ids taken out.
    var words: [Caller: [String]] = [:]
    var adminSeesElsewhere = false

    var name: String { "\(service) \(method) \(path)" }
    var text: String {
      var line = "\(method) \(path)".padded(92) + rule.padded(46)
      for caller in Caller.allCases {
        line += (cells[caller] ?? []).map { "\($0)" }.joined(separator: "/").padded(15)
      }
      return line.trimmed
    }
  }

  @Test func abuse24_everyEndpointAnswersEveryRoleAsTheGoldenFileSays() async throws {
    let parts = 2
    let found = try await withThrowingTaskGroup(of: [Outcome].self) { group in
      for part in 0..<parts { group.addTask { try await outcomes(part, of: parts) } }
      return try await group.reduce(into: []) { $0 += $1 }.sorted { $0.place < $1.place }
    }
    let rows = found.compactMap(\.row)
    let uncovered = found.filter { $0.row == nil }.map(\.endpoint)

    // Foreign and nonexistent are the same to everybody but those who see the whole site; nothing fails; nobody gets in without a token.
    for row in rows {
      for caller in Caller.allCases {
        let cells = row.cells[caller] ?? []
        #expect(cells.allSatisfy { $0 < 500 }, "\(row.name) fails for \(caller.rawValue): \(cells)")
        guard cells.count >= 3, !caller.seesEverything else { continue }
        #expect(cells[1] == cells[2], "\(row.name) tells \(caller.rawValue) that a foreign object exists: \(cells)")
        if let words = row.words[caller], words.count >= 3, cells[1] == cells[2], cells[1] >= 400 {
          #expect(words[1] == words[2], "\(row.name) words a foreign object otherwise for \(caller.rawValue)")
          // What is shared, but not with the caller, is foreign too.
          if cells.count == 4, cells[3] == 404, !caller.isOfTenant {
            #expect(words[3] == words[2], "\(row.name) words a shared object otherwise for \(caller.rawValue)")
          }
        }
      }
      if row.rule != "open" {
        #expect(row.cells[.nobody]?.allSatisfy { $0 == 401 } == true, "\(row.name) answers without a token")
      }
    }
    // The other half of "nobody else sees it": it is there to be seen.
    for name in [
      "ironic GET /v1/nodes", "ironic GET /v1/ports", "ironic GET /v1/portgroups", "ironic GET /v1/volume/connectors",
      "ironic GET /v1/volume/targets", "keystone GET /v3/projects", "neutron GET /v2.0/networks",
      "esi-leap GET /v1/leases",
    ] {
      #expect(
        rows.contains { $0.name == name && $0.adminSeesElsewhere },
        "the site's administrator does not see all in \(name)")
    }
    try golden("roles.txt", header + render(rows))
    try golden("uncovered.txt", uncovered.sorted().joined(separator: "\n"))
    #expect(uncovered.isEmpty, "endpoints without a row in the policy matrix; add a fixture for their path")
  }

  private struct Outcome: Sendable {
    /// Of the endpoint in the tables.
    var place: Int
    var endpoint: String
    /// Nil when there is no fixture for its path.
    var row: Row?
  }
  /// Every `parts`-th endpoint, on a site of its own: each change is taken back, so they do not see each other.
  private func outcomes(_ part: Int, of parts: Int) async throws -> [Outcome] {
    let site = try await MatrixSite()
    var outcomes: [Outcome] = []
    var place = 0
    for (index, _) in site.services.enumerated() {
      for (position, _) in site.services[index].endpoints.enumerated() {
        place += 1
        guard place % parts == part else { continue }
        // Anew each time: a change is followed by other services over a fresh copy.
        let (service, endpoint) = (site.services[index], site.services[index].endpoints[position])
        outcomes.append(
          Outcome(
            place: place, endpoint: "\(service.name) \(endpoint.method) \(endpoint.path)",
            row: try await row(service, endpoint, on: site, index)))
      }
    }
    site.removeAll()
    return outcomes
  }

  private func row(_ service: Service, _ endpoint: Endpoint, on site: MatrixSite, _ index: Int) async throws -> Row? {
    guard let (_, columns) = Fixtures.path(endpoint.path, of: service.name, .story) else { return nil }
    var row = Row(
      service: service.name, method: endpoint.method.rawValue, path: endpoint.path, rule: endpoint.rule.name,
      columns: columns)
    let body = Fixtures.body(service.name, endpoint.method, endpoint.path)
    for caller in Caller.allCases {
      for column in columns.isEmpty ? [.story] : columns {
        guard let (path, _) = Fixtures.path(endpoint.path, of: service.name, column) else { return nil }
        let (status, words) = try await site.call(site.services[index], endpoint.method, path, body, as: caller)
        row.cells[caller, default: []].append(status)
        row.words[caller, default: []].append(ForeignWords.anonymous(words))
        if caller == .siteAdmin && endpoint.method == .get && columns.isEmpty {
          row.adminSeesElsewhere = ForeignWords.areIn(words)
        }
        if !caller.seesEverything && column != .elsewhere {
          #expect(
            !ForeignWords.areIn(words),
            "\(row.name) tells \(caller.rawValue) of another project's objects: \(words.prefix(400))")
        }
        if endpoint.method != .get && status < 400 { try await site.reset() }
      }
    }
    return row
  }

  private var header: String {
    """
    # Who gets what, generated from the endpoint tables by PolicyMatrixTests (STEELYARD_REWRITE=1 writes it anew).
    # Callers: site admin; system reader; domain manager (role manager, scope of the story's domain); project admin, project manager, lessee, member and reader are of the project that leases the
    # story's machine; owner is of the project that owns it; service has that role only; former lessee is of the project that had the machine before; sub-lessee of one that gets it later; stranger is of
    # another. Objects, where the path names one: the story's/another project's/none, and where there is such a thing a third project's that is shared: an image or
    # a subnet pool with the tenant's project, a network, an address scope, a security group and an offer with everyone, a machine that everyone may claim.

    """
  }
  private func render(_ rows: [Row]) -> String {
    var out = ""
    var service = ""
    for row in rows {
      if row.service != service {
        service = row.service
        out += "\n\(service)".padded(93) + "rule".padded(46) + Caller.allCases.map { $0.rawValue.padded(15) }.joined()
        out = out.trimmed + "\n"
      }
      out += row.text + "\n"
    }
    return out
  }

  // MARK: Golden files

  private func golden(_ name: String, _ text: String) throws {
    let here = #filePath
    let path = here.prefix(upTo: here.lastIndex(of: "/") ?? here.endIndex) + "/" + name
    if getenv("STEELYARD_REWRITE") != nil { try write(text, to: path) }
    let known = read(path)
    guard known != text else { return }
    let (old, new) = (Set(known.split(separator: "\n")), Set(text.split(separator: "\n")))
    let gone = known.split(separator: "\n").filter { !new.contains($0) }.prefix(20).map { "- \($0)" }
    let come = text.split(separator: "\n").filter { !old.contains($0) }.prefix(20).map { "+ \($0)" }
    Issue.record("\(name) differs; read it, then STEELYARD_REWRITE=1:\n\((gone + come).joined(separator: "\n"))")
  }
  private func read(_ path: String) -> String {
    guard let file = fopen(path, "r") else { return "" }
    defer { fclose(file) }
    var out: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 65_536)
    while true {
      let count = fread(&buffer, 1, buffer.count, file)
      if count == 0 { return String(decoding: out, as: UTF8.self) }
      out += buffer[..<count]
    }
  }
  private func write(_ text: String, to path: String) throws {
    guard let file = fopen(path, "w") else { throw MatrixSite.Broken() }
    fputs(text, file)
    fclose(file)
  }
}

extension String {
  fileprivate func padded(_ width: Int) -> String {
    count >= width ? self + " " : self + String(repeating: " ", count: width - count)
  }
  fileprivate var trimmed: String {
    var out = self[...]
    while out.last == " " { out.removeLast() }
    return String(out)
  }
}
