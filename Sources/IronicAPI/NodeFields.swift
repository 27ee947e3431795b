import APISupport
import Domain
import DriverInterfaces
import Store
import Synchronization
import Wire

/// One member of a node as the API shows it.
struct NodeField: Sendable {
  enum Content: Sendable {
    case text(NodeColumn)
    /// A provision state, in the words of the request's version.
    case state(NodeColumn)
    case flag(NodeColumn)
    case time(NodeColumn)
    /// A ``Reason``: the sentence for everyone, and what those read who see the site's devices.
    case reason(NodeColumn, whole: NodeColumn)
    /// A stored JSON document.
    case json(NodeColumn)
    /// The same with what looks like a secret masked.
    case masked(NodeColumn)
    /// The same as an empty object for a lessee.
    case hidden(NodeColumn)
    /// The same, with until when the machine's agent waits for a deployment (`fast_track_until`), if it does.
    case standing(NodeColumn, until: NodeColumn)
    /// JSON that is the same for every node.
    case constant(StaticString)
    /// The implementation of an interface that holds for the node.
    case interface(InterfaceKind)
    case conductor
    /// Links to what lies below the node.
    case below(StaticString)
  }
  let name: StaticString
  /// The microversion 1.N that brought it.
  let since: Int
  let content: Content

  init(_ name: StaticString, _ since: Int, _ content: Content) {
    self.name = name
    self.since = since
    self.content = content
  }

  /// All of them, in the order in which they are shown. Source: Ironic, "REST API Version History".
  static let all: [NodeField] = [
    NodeField("uuid", 1, .text(.uuid)),
    NodeField("name", 5, .text(.name)),
    NodeField("driver", 1, .text(.driver)),
    NodeField("driver_info", 1, .hidden(.driverInfo)),
    NodeField("driver_internal_info", 3, .standing(.driverInternalInfo, until: .standByUntil)),
    NodeField("properties", 1, .masked(.properties)),
    NodeField("extra", 1, .json(.extra)),
    NodeField("instance_info", 1, .masked(.instanceInfo)),
    NodeField("instance_uuid", 1, .text(.instanceUUID)),
    NodeField("chassis_uuid", 1, .text(.chassisUUID)),
    NodeField("console_enabled", 1, .flag(.consoleEnabled)),
    NodeField("maintenance", 1, .flag(.maintenance)),
    NodeField("maintenance_reason", 1, .reason(.maintenanceReason, whole: .maintenanceReasonWhole)),
    NodeField("last_error", 1, .reason(.lastError, whole: .lastErrorWhole)),
    NodeField("power_state", 1, .text(.powerState)),
    NodeField("target_power_state", 1, .text(.targetPowerState)),
    NodeField("provision_state", 1, .state(.provisionState)),
    NodeField("target_provision_state", 1, .text(.targetProvisionState)),
    NodeField("provision_updated_at", 1, .time(.provisionUpdatedAt)),
    NodeField("reservation", 1, .text(.reservation)),
    NodeField("created_at", 1, .time(.createdAt)),
    NodeField("updated_at", 1, .time(.updatedAt)),
    NodeField("inspection_started_at", 6, .time(.inspectionStartedAt)),
    NodeField("inspection_finished_at", 6, .time(.inspectionFinishedAt)),
    NodeField("clean_step", 7, .json(.cleanStep)),
    NodeField("raid_config", 12, .constant("{}")),
    NodeField("target_raid_config", 12, .json(.targetRAIDConfig)),
    NodeField("network_interface", 20, .interface(.network)),
    NodeField("resource_class", 21, .text(.resourceClass)),
    NodeField("boot_interface", 31, .interface(.boot)),
    NodeField("console_interface", 31, .interface(.console)),
    NodeField("deploy_interface", 31, .interface(.deploy)),
    NodeField("inspect_interface", 31, .interface(.inspect)),
    NodeField("management_interface", 31, .interface(.management)),
    NodeField("power_interface", 31, .interface(.power)),
    NodeField("raid_interface", 31, .interface(.raid)),
    NodeField("vendor_interface", 31, .interface(.vendor)),
    NodeField("storage_interface", 33, .interface(.storage)),
    NodeField("traits", 37, .json(.traits)),
    NodeField("rescue_interface", 38, .interface(.rescue)),
    NodeField("bios_interface", 40, .interface(.bios)),
    NodeField("fault", 42, .text(.fault)),
    NodeField("deploy_step", 44, .json(.deployStep)),
    NodeField("conductor_group", 46, .text(.conductorGroup)),
    NodeField("automated_clean", 47, .flag(.automatedClean)),
    NodeField("protected", 48, .flag(.isProtected)),
    NodeField("protected_reason", 48, .text(.protectedReason)),
    NodeField("conductor", 49, .conductor),
    NodeField("owner", 50, .text(.owner)),
    NodeField("description", 51, .text(.description)),
    NodeField("allocation_uuid", 52, .text(.allocationUUID)),
    NodeField("retired", 61, .flag(.isRetired)),
    NodeField("retired_reason", 61, .text(.retiredReason)),
    NodeField("lessee", 65, .text(.lessee)),
    NodeField("network_data", 66, .json(.networkData)),
    NodeField("boot_mode", 75, .text(.bootMode)),
    NodeField("secure_boot", 75, .flag(.isSecureBoot)),
    NodeField("shard", 82, .text(.shard)),
    NodeField("parent_node", 83, .text(.parentNode)),
    NodeField("firmware_interface", 86, .interface(.firmware)),
    NodeField("service_step", 87, .constant("{}")),
    NodeField("ports", 1, .below("ports")),
    NodeField("states", 14, .below("states")),
    NodeField("portgroups", 24, .below("portgroups")),
    NodeField("volume", 32, .below("volume")),
  ]
  var isInterface: Bool { if case .interface = content { true } else { false } }
  static let byName = Dictionary(uniqueKeysWithValues: all.map { ("\($0.name)", $0) })
  /// What a list shows when nothing else is asked for.
  static let listed: Set<String> = ["uuid", "name", "instance_uuid", "maintenance", "power_state", "provision_state"]

  var columns: [NodeColumn] {
    switch content {
    case .text(let column), .state(let column), .flag(let column), .time(let column), .json(let column),
      .masked(let column),
      .hidden(let column):
      [column]
    case .reason(let sentence, let whole): [sentence, whole]
    case .standing(let stored, let until): [stored, until]
    case .interface: [.interfaces]
    case .constant, .conductor, .below: []
    }
  }
}

/// How to write nodes for one request: which fields, in its version, for its caller.
///
/// Writes straight from rows. The first four columns are always there: uuid, driver, owner, lessee.
struct NodeView: Sendable {
  /// Which fields, and the statement that reads them: the same for every request that asks for the same.
  private struct Plan: Sendable {
    let fields: [(field: NodeField, column: Int)]
    let selection: NodeSelection
    let hasInterfaces: Bool

    init(_ version: Microversion, _ wanted: Set<String>?) {
      var columns: [NodeColumn] = [.uuid, .driver, .owner, .lessee]
      var fields: [(NodeField, Int)] = []
      for field in NodeField.all where field.since <= version.minor && (wanted?.contains("\(field.name)") ?? true) {
        // Links to what lies below are shown only with everything.
        if case .below = field.content, wanted != nil { continue }
        if case .interface = field.content, let known = fields.first(where: { $0.0.isInterface }) {
          // One column for all of them.
          fields.append((field, known.1))
        } else {
          fields.append((field, columns.count))
          columns += field.columns
        }
      }
      self.fields = fields
      selection = NodeSelection(columns)
      hasInterfaces = fields.contains { $0.0.isInterface }
    }
  }
  private struct PlanKey: Hashable {
    var minor: Int
    var defaults: Set<String>?
  }
  /// Of the requests that name no fields: two for each version.
  private static let plans = Mutex<[PlanKey: Plan]>([:])

  private let plan: Plan
  var selection: NodeSelection { plan.selection }
  /// The value of `links` up to the node's UUID, and from there on up to the second one.
  private let linkHead: [UInt8]
  private let linkMiddle: [UInt8]
  private let hostname: String
  private let actor: Actor
  /// The caller's relation to every node, when it is the same.
  private let relation: NodePolicy.Relation?
  private let implementations: Implementations

  /// What nodes have that were not told otherwise, by driver.
  typealias Implementations = [String: [InterfaceKind: String]]
  private let version: Microversion

  /// - Parameters:
  ///   - names: nil shows `defaults`, or all.
  /// - Throws: 400 for a field that does not exist, 406 for one of a later version.
  init(
    _ request: APIRequest, hostname: String, implementations: Implementations, fields names: [String]?,
    defaults: Set<String>? = nil
  ) throws {
    let version = try Microversion(request.headers)
    if let names {
      for name in names where name != "links" {
        guard let field = NodeField.byName[name] else {
          throw APIError.badRequest("Field(s) \"\(name)\" are not valid")
        }
        try version.require(field.since, "the field \(name)")
      }
      plan = Plan(version, Set(names))
    } else {
      let key = PlanKey(minor: version.minor, defaults: defaults)
      plan = Self.plans.withLock { plans in
        if let known = plans[key] { return known }
        let made = Plan(version, defaults)
        plans[key] = made
        return made
      }
    }
    /// The text of a JSON string without its end.
    func begun(_ text: String) -> [UInt8] { Array(JSON.string(text).description.utf8.dropLast()) }
    linkHead = Array("[{\"href\":".utf8) + begun("\(request.serviceURL)/v1/nodes/")
    linkMiddle = Array("\",\"rel\":\"self\"},{\"href\":".utf8) + begun("\(request.serviceURL)/nodes/")
    self.hostname = hostname
    self.implementations = implementations
    actor = try request.actor()
    relation = actor.isSiteAdmin ? .administrator : nil
    self.version = version
  }

  func relation(_ row: borrowing Row) -> NodePolicy.Relation {
    relation ?? NodePolicy.relation(actor, owner: row.optionalText(2), lessee: row.optionalText(3))
  }

  func write(_ row: borrowing Row, _ writer: inout JSONWriter) {
    let seesSite = NodePolicy.seesSite(relation(row))
    let defaults = plan.hasInterfaces ? implementations[row.text(1)] : nil
    writer.beginObject()
    for (field, column) in plan.fields {
      writer.key(field.name)
      switch field.content {
      case .text: text(row, column, &writer)
      case .state:
        if version.minor >= 39 {
          row.withText(column) { writer.text($0) }
        } else if let word = ProvisionState(rawValue: row.text(column)).flatMap({ version.word(for: $0) }) {
          writer.value(word)
        } else {
          writer.null()
        }
      case .flag:
        if row.isNull(column) { writer.null() } else { writer.value(row.bool(column)) }
      case .time:
        if row.isNull(column) { writer.null() } else { writer.value(row.time(column).iso8601WithOffset) }
      case .json:
        row.withText(column) { $0.isEmpty ? writer.null() : writer.raw($0) }
      case .masked:
        row.withText(column) { SecretMask.write($0, &writer) }
      case .hidden:
        if seesSite { row.withText(column) { SecretMask.write($0, &writer) } } else { writer.constant("{}") }
      case .standing:
        guard seesSite else {
          writer.constant("{}")
          continue
        }
        guard !row.isNull(column + 1) else {
          row.withText(column) { SecretMask.write($0, &writer) }
          continue
        }
        var members = row.object(column)
        members["fast_track_until"] = .string(row.time(column + 1).iso8601WithOffset)
        Array(JSON.object(members).description.utf8).withUnsafeBufferPointer { SecretMask.write($0, &writer) }
      case .reason: text(row, seesSite ? column + 1 : column, &writer)
      case .constant(let json): writer.constant(json)
      case .interface(let kind):
        let isChosen = row.withText(column) { $0.count > 2 }
        let name = isChosen ? row.object(column)[kind.rawValue]?.string ?? defaults?[kind] : defaults?[kind]
        if let name { writer.value(name) } else { writer.null() }
      case .conductor: writer.value(hostname)
      case .below(let name): links(row, below: name, &writer)
      }
    }
    writer.key("links")
    links(row, below: nil, &writer)
    writer.endObject()
  }
  private func text(_ row: borrowing Row, _ column: Int, _ writer: inout JSONWriter) {
    // An empty text has a place, NULL has none.
    row.withText(column) { $0.baseAddress == nil ? writer.null() : writer.text($0) }
  }
  private func links(_ row: borrowing Row, below: StaticString?, _ writer: inout JSONWriter) {
    row.withText(0) { uuid in
      writer.beginPieces()
      writer.piece(linkHead)
      place(uuid, below, &writer)
      writer.piece(linkMiddle)
      place(uuid, below, &writer)
      writer.piece("\",\"rel\":\"bookmark\"}]")
    }
  }
  private func place(_ uuid: UnsafeBufferPointer<UInt8>, _ below: StaticString?, _ writer: inout JSONWriter) {
    writer.piece(uuid)
    guard let below else { return }
    writer.piece("/")
    writer.piece(below)
  }
}
