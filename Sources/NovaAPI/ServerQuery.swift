import APISupport
import Conductor
import Domain
import Store
import Wire

/// The filters and the order of a list of servers. Source: Nova API reference, "List Servers".
///
/// What narrows to few rows is done by the database, with bound values; the rest on what it gave.
struct ServerQuery: Sendable {
  let scope: NodePolicy.Scope
  let project: String?
  let showsDeleted: Bool
  let changesSince: Timestamp?
  let changesBefore: Timestamp?
  private let ids: [String]?
  private let isNothing: Bool
  private let tests: [@Sendable (ServerRow) -> Bool]
  private let order: @Sendable (ServerRow, ServerRow) -> Bool

  init(_ request: APIRequest) throws {
    let (query, actor) = (request.query, try request.actor())
    let version = try Microversion(request.headers)
    let allProjects = query["all_tenants"] == "" ? true : try query.bool("all_tenants") ?? false
    guard !allProjects || actor.isSiteReader else {
      throw APIError.forbidden("Policy doesn't allow os_compute_api:servers:index:get_all_tenants to be performed.")
    }
    // A caller without a project reads the whole site or nothing.
    scope = ComputePolicy.scope(actor, allProjects: allProjects || (actor.projectID == nil && actor.isSiteReader))
    project = actor.isSiteReader ? query["project_id"] ?? query["tenant_id"] : nil
    func time(_ name: String) throws -> Timestamp? {
      guard let text = query[name], !text.isEmpty else { return nil }
      guard let time = Timestamp(parsing: text) else {
        throw APIError.badRequest("Invalid input for query parameters \(name). Value: \(text.prefix(60)).")
      }
      return time
    }
    changesSince = try time("changes-since")
    changesBefore = version.minor >= 66 ? try time("changes-before") : nil
    let asksDeleted = try query["deleted"].flatMap { $0.isEmpty ? nil : $0 } == nil ? nil : query.bool("deleted")
    // Deleted ones are the administrator's, but for those who follow changes.
    showsDeleted = changesSince != nil || (asksDeleted ?? false) && actor.isSiteReader
    let onlyDeleted = asksDeleted == true && actor.isSiteReader && changesSince == nil
    var tests: [@Sendable (ServerRow) -> Bool] = []
    if onlyDeleted { tests.append { $0.server.deletedAt != nil } }
    var ids: [String]?
    var isNothing = false
    for (name, value) in query {
      switch name {
      case "name": tests.append(try Pattern(value).test { $0.server.name })
      case "hostname" where version.minor >= 90: tests.append(try Pattern(value).test { $0.server.hostname })
      case "uuid": ids = (ids ?? []) + [value.lowercased()]
      case "status": (tests, isNothing) = try Self.status(query.all("status"), actor, version, tests)
      case "vm_state" where actor.isSiteReader: tests.append { $0.condition.vmState == value }
      case "task_state" where actor.isSiteReader:
        tests.append { $0.condition.taskState == (value.lowercased() == "none" ? nil : value) }
      case "image": tests.append { $0.server.imageID == (value.split(separator: "/").last.map { String($0) } ?? value) }
      case "flavor":
        tests.append {
          $0.server.flavor["id"]?.string == (value.split(separator: "/").last.map { String($0) } ?? value)
        }
      case "key_name": tests.append { $0.server.keyName == value }
      case "user_id": tests.append { $0.server.userID == value }
      case "availability_zone": tests.append { $0.machine != nil && value == "nova" }
      case "reservation_id": tests.append { $0.server.reservationID == value }
      case "description" where version.minor >= 19:
        tests.append(try Pattern(value).test { $0.server.description ?? "" })
      case "access_ip_v4": tests.append(try Pattern(value).test { $0.server.accessIPv4 })
      case "access_ip_v6": tests.append(try Pattern(value).test { $0.server.accessIPv6 })
      case "node", "hypervisor_hostname":
        guard actor.isSiteReader else { continue }
        tests.append { $0.machine?.uuid == value || $0.machine?.name == value }
      case "host":
        guard actor.isSiteReader else { continue }
        tests.append { $0.machine != nil && value == "steelyard" }
      case "locked" where version.minor >= 73:
        let flag = try query.bool("locked") ?? false
        tests.append { ($0.server.lock != nil) == flag }
      case "power_state" where actor.isSiteReader: tests.append { "\($0.condition.powerState)" == value }
      case "tags" where version.minor >= 26:
        let wanted = Set(value.split(separator: ",").map { String($0) })
        tests.append { wanted.isSubset(of: $0.server.tags) }
      case "tags-any" where version.minor >= 26:
        let wanted = Set(value.split(separator: ",").map { String($0) })
        tests.append { !wanted.isDisjoint(with: $0.server.tags) }
      case "not-tags" where version.minor >= 26:
        let wanted = Set(value.split(separator: ",").map { String($0) })
        tests.append { !wanted.isSubset(of: $0.server.tags) }
      case "not-tags-any" where version.minor >= 26:
        let wanted = Set(value.split(separator: ",").map { String($0) })
        tests.append { wanted.isDisjoint(with: $0.server.tags) }
      default: break
      }
    }
    self.tests = tests
    self.ids = ids
    self.isNothing = isNothing
    order = try Self.order(query)
  }

  private static func status(
    _ words: [String], _ actor: Actor, _ version: Microversion, _ tests: [@Sendable (ServerRow) -> Bool]
  ) throws -> ([@Sendable (ServerRow) -> Bool], Bool) {
    let known = Set(words.compactMap { ServerCondition.Status(rawValue: $0.uppercased()) })
    guard known.isEmpty else { return (tests + [{ known.contains($0.condition.status) }], false) }
    guard version.minor < 38 || words.allSatisfy({ upstreamStatuses.contains($0.uppercased()) }) else {
      throw APIError.badRequest("Invalid status value")
    }
    return (tests, true)
  }
  /// Statuses that servers of machines never have.
  private static let upstreamStatuses: Set<String> = [
    "PAUSED", "SUSPENDED", "VERIFY_RESIZE", "REVERT_RESIZE", "RESIZE", "MIGRATING", "PASSWORD", "SHELVED",
    "SOFT_DELETED", "UNKNOWN", "",
  ]

  /// The servers that match, in order; three statements at most.
  func servers(in session: any Session) throws -> [ServerRow] {
    if isNothing { return [] }
    let rows = try ServerStore.list(in: session) { sql in
      sql.append("WHERE 1 = 1")
      switch scope {
      case .everything: if let project { sql.append("AND s.project_id = ?", .text(project)) }
      case .project(let id): sql.append("AND s.project_id = ?", .text(id))
      case .nothing: sql.append("AND 1 = 0")
      }
      if !showsDeleted { sql.append("AND s.deleted_at IS NULL") }
      if let ids { sql.appendIn("AND s.id IN", ids.map { .text($0) }) }
      if let changesSince {
        sql.append(
          "AND (s.updated_at >= ? OR COALESCE(n.updated_at, 0) >= ?)", Value(changesSince), Value(changesSince))
      }
      if let changesBefore { sql.append("AND s.updated_at <= ?", Value(changesBefore)) }
    }
    return rows.filter { row in tests.allSatisfy { $0(row) } }.sorted(by: order)
  }

  private static func order(_ query: QueryParameters) throws -> @Sendable (ServerRow, ServerRow) -> Bool {
    var keys = Array(zip(query.all("sort_key"), query.all("sort_dir") + Array(repeating: "desc", count: 20)))
    if query.all("sort_key").isEmpty { keys = [("created_at", query["sort_dir"] ?? "desc")] }
    keys.append(("uuid", "desc"))
    guard keys.count <= 12 else { throw APIError.badRequest("There are too many sort keys.") }
    var comparisons: [@Sendable (ServerRow, ServerRow) -> Int] = []
    for (key, direction) in keys {
      guard direction == "asc" || direction == "desc" else {
        throw APIError.badRequest("Invalid sort direction \(direction.prefix(40))")
      }
      guard let value = sortKeys[key] else { throw APIError.badRequest("Invalid sort key \(key.prefix(40))") }
      let sign = direction == "asc" ? 1 : -1
      comparisons.append { a, b in
        let (x, y) = (value(a), value(b))
        return x < y ? -sign : x == y ? 0 : sign
      }
    }
    return { [comparisons] a, b in
      for compare in comparisons {
        let result = compare(a, b)
        if result != 0 { return result < 0 }
      }
      return false
    }
  }
  private static func padded(_ time: Timestamp?) -> String {
    let digits = "\(time?.microseconds ?? 0)"
    return String(repeating: "0", count: max(0, 20 - digits.count)) + digits
  }
  private static let sortKeys: [String: @Sendable (ServerRow) -> String] = [
    "uuid": { $0.server.id }, "display_name": { $0.server.name }, "name": { $0.server.name },
    "hostname": { $0.server.hostname },
    "created_at": { padded($0.server.createdAt) }, "updated_at": { padded($0.server.updatedAt) },
    "launched_at": { padded($0.server.launchedAt) }, "deleted_at": { padded($0.server.deletedAt) },
    "terminated_at": { padded($0.server.deletedAt) },
    "vm_state": { $0.condition.vmState }, "task_state": { $0.condition.taskState ?? "" },
    "status": { $0.condition.status.rawValue }, "power_state": { "\($0.condition.powerState)" },
    "project_id": { $0.server.projectID }, "user_id": { $0.server.userID }, "key_name": { $0.server.keyName ?? "" },
    "image_ref": { $0.server.imageID ?? "" }, "display_description": { $0.server.description ?? "" },
    "instance_type_id": { $0.server.flavor["id"]?.string ?? "" }, "access_ip_v4": { $0.server.accessIPv4 },
    "access_ip_v6": { $0.server.accessIPv6 }, "availability_zone": { _ in "" }, "config_drive": { _ in "" },
    "launch_index": { "\($0.server.launchIndex)" }, "node": { $0.machine?.uuid ?? "" }, "host": { _ in "" },
    "locked": { "\($0.server.lock != nil)" }, "locked_by": { $0.server.lock?.rawValue ?? "" },
    "root_device_name": { _ in "" },
  ]
}

/// The part of regular expressions that people filter names with: `^`, `$`, `.`, `.*`, `.+` and escaped characters; everything else
/// stands for itself. Matching takes time proportional to pattern times text, whatever the pattern.
struct Pattern: Sendable {
  private enum Item: Sendable, Equatable {
    case character(Character), any
    /// Any number of any character.
    case anything
  }
  private let items: [Item]

  /// - Throws: 400 for one longer than a name.
  init(_ text: String) throws {
    guard text.count <= 255 else { throw APIError.badRequest("Invalid filter: it is longer than a name.") }
    var items: [Item] = []
    var rest = Array(text)[...]
    let isAnchored = rest.first == "^"
    if isAnchored { rest = rest.dropFirst() } else { items.append(.anything) }
    var endsAnchored = false
    while let character = rest.popFirst() {
      switch character {
      case "$" where rest.isEmpty: endsAnchored = true
      case "\\": items.append(.character(rest.popFirst() ?? "\\"))
      case "." where rest.first == "*":
        rest = rest.dropFirst()
        items.append(.anything)
      case "." where rest.first == "+":
        rest = rest.dropFirst()
        items += [.any, .anything]
      case ".": items.append(.any)
      default: items.append(.character(character))
      }
    }
    if !endsAnchored { items.append(.anything) }
    self.items = items
  }

  func matches(_ text: String) -> Bool {
    let letters = Array(text)
    // The classic of wildcards: only the last `anything` is ever gone back to.
    var (item, letter) = (0, 0)
    var back: (item: Int, letter: Int)?
    while letter < letters.count {
      if item < items.count, items[item] == .anything {
        back = (item, letter)
        item += 1
      } else if item < items.count, items[item] == .any || items[item] == .character(letters[letter]) {
        item += 1
        letter += 1
      } else if let last = back {
        item = last.item + 1
        letter = last.letter + 1
        back = (last.item, letter)
      } else {
        return false
      }
    }
    return items[item...].allSatisfy { $0 == .anything }
  }
  func test(_ value: @escaping @Sendable (ServerRow) -> String) -> @Sendable (ServerRow) -> Bool {
    { matches(value($0)) }
  }
}
