import APISupport
import Conductor
import Domain
import HTTPTypes
import Store
import Wire

/// `POST /servers/{server}/action`. Source: Nova API reference, "Servers - run an action".
struct ServerActionRoutes: Sendable {
  let nova: NovaAPI

  var endpoints: [Endpoint] {
    [
      Endpoint(
        .post, "/v2.1/servers/{server}/action", .authenticated, "Does something with a server", handler: act)
    ]
  }

  private func act(_ request: APIRequest) async throws -> APIResponse {
    let (actor, id) = (try request.actor(), try request.parameter("server"))
    let body = try await request.object()
    let version = try nova.microversion(request)
    guard body.count == 1, let member = body.members.first else {
      throw APIError.badRequest("The request body must have one action, by its name.")
    }
    let (name, value) = (member.key, member.value)
    // Reading what a machine printed changes nothing.
    if name == "os-getConsoleOutput" { return try await console(request, value) }
    guard ComputePolicy.isMember(actor) else {
      // Foreign is not found for them, too.
      _ = try await nova.database.read { try Lookup.server(id, actor, $0) }
      throw APIError.forbidden("Policy doesn't allow os_compute_api:servers:\(name.prefix(40)) to be performed.")
    }
    if name == "createImage" { return try await ServerImages(nova: nova).create(request, value) }
    if name == "rebuild" { return try await ServerRebuild(nova: nova).rebuild(request, value) }
    if let reason = Self.refused[name] {
      return try await refuse(request, reason)
    }
    let requester = Requester(actor, requestID: request.requestID)
    return try await nova.database.write { session in
      let row = try Lookup.changeable(id, actor, session, evenLocked: name == "unlock" || name == "lock")
      return try perform(name, value, row, request, version, requester, in: session)
    }
  }

  private func perform(
    _ name: String, _ value: JSON, _ row: ServerRow, _ request: APIRequest, _ version: Microversion,
    _ requester: Requester, in session: any Session
  ) throws -> APIResponse {
    switch name {
    case "os-start": try power(row, .on, "start", needs: [.shutoff], requester, in: session)
    case "os-stop": try power(row, .off, "stop", needs: [.active, .error, .rescue], requester, in: session)
    case "reboot":
      let input = ComputeInput(value.object ?? [:])
      try input.allow(["type"])
      guard let type = input.value("type")?.string?.uppercased(), ["SOFT", "HARD"].contains(type) else {
        throw APIError.badRequest("Invalid input for field/attribute type: SOFT or HARD is expected.")
      }
      let isSoft = type == "SOFT"
      try power(
        row, isSoft ? .softReboot : .reboot, "reboot",
        needs: isSoft ? [.active, .rescue] : [.active, .shutoff, .error, .rescue],
        requester, in: session)
    case "lock": return try lock(row, value, version, request, in: session)
    case "unlock": return try unlock(row, request, in: session)
    case "rescue": return try rescue(row, value, requester, in: session)
    case "unrescue":
      try Self.require(row, [.rescue, .error], "unrescue")
      var node = try nova.conductor.machine(of: row.server, in: session)
      try provision(.unrescue, &node, requester, in: session)
      try nova.conductor.record("unrescue", row.server.id, node.reservation, by: requester, in: session)
    case "shelve", "shelveOffload", "unshelve":
      let shelving = ServerShelving(nova: nova, row: row, requester: requester)
      switch name {
      case "shelve": try shelving.shelve(in: session)
      case "shelveOffload": try shelving.offload(in: session)
      default: try shelving.unshelve(value, version, try request.actor(), in: session)
      }
    case "forceDelete":
      try nova.conductor.deleteServer(row.server, by: requester, in: session)
    case "os-resetState":
      guard try request.actor().isSiteAdmin else {
        throw APIError.forbidden("Policy doesn't allow this to be performed.")
      }
      let input = ComputeInput(value.object ?? [:])
      try input.allow(["state"])
      guard ["active", "error"].contains(input.value("state")?.string) else {
        throw APIError.badRequest("Invalid input for field/attribute state: active or error is expected.")
      }
      throw APIError.conflict(
        "The state of a server is that of its machine: look at `openstack baremetal node show`.")
    case "addSecurityGroup", "removeSecurityGroup":
      try changeGroups(row, name == "addSecurityGroup", value, request, in: session)
    case "addFixedIp", "removeFixedIp":
      try version.requireBefore(44)
      try ServerInterfaceRoutes(nova: nova).changeFixedIP(row, name == "addFixedIp", value, request, in: session)
    default: throw APIError.badRequest("There is no such action: \(name.prefix(60))")
    }
    return .accepted
  }

  /// What virtual machines do and machines do not; why, in a sentence.
  static let refused: [String: String] = [
    "resize": "A machine has the size that it has: create a server of the other flavor.",
    "confirmResize": "Nothing is being resized: a machine has the size that it has.",
    "revertResize": "Nothing is being resized: a machine has the size that it has.",
    "migrate": "A server is its machine, and stays on it.",
    "os-migrateLive": "A server is its machine, and stays on it.",
    "evacuate": "A server is its machine: create another one in its place.",
    "pause": "A machine cannot be paused: stop it.",
    "unpause": "The server is not paused: machines cannot be.",
    "suspend": "A machine cannot be suspended: stop it.",
    "resume": "The server is not suspended: machines cannot be.",
    "createBackup": "Backups of machines' disks are not made by this API: make images.",
    "changePassword": "The server is not reached inside: give keys or user data when it is created or rebuilt.",
    "restore": "A deleted server has given its machine back: it cannot be restored.",
    "trigger_crash_dump": "This machine cannot be told to dump its memory.",
    "os-getVNCConsole": "Machines have serial consoles only.",
    "os-getSPICEConsole": "Machines have serial consoles only.",
    "os-getRDPConsole": "Machines have serial consoles only.",
    "resetNetwork": "The network of a machine is reset by its own system.",
    "injectNetworkInfo": "The network of a machine is told by its config drive.",
  ]
  private func refuse(_ request: APIRequest, _ reason: String) async throws -> APIResponse {
    let (actor, id) = (try request.actor(), try request.parameter("server"))
    _ = try await nova.database.read { try Lookup.changeable(id, actor, $0) }
    throw APIError.conflict(reason)
  }

  /// - Throws: 409 when the server is otherwise, or something is done with it.
  static func require(_ row: ServerRow, _ statuses: Set<ServerCondition.Status>, _ action: String) throws {
    let condition = row.condition
    if let task = condition.taskState {
      throw APIError.conflict("Cannot '\(action)' instance \(row.server.id) while it is in task_state \(task)")
    }
    guard statuses.contains(condition.status) else {
      throw APIError.conflict(
        "Cannot '\(action)' instance \(row.server.id) while it is in vm_state \(condition.vmState)")
    }
  }
  private func power(
    _ row: ServerRow, _ target: PowerTarget, _ action: String, needs statuses: Set<ServerCondition.Status>,
    _ requester: Requester, in session: any Session
  ) throws {
    try Self.require(row, statuses, action)
    var node = try nova.conductor.machine(of: row.server, in: session)
    try nova.conductor.setPower(target, node: &node, timeout: nil, by: requester, in: session)
    try nova.conductor.record(action, row.server.id, node.reservation, by: requester, in: session)
  }
  private func provision(
    _ verb: ProvisionVerb, _ node: inout Node, _ requester: Requester, in session: any Session
  ) throws {
    do {
      try nova.conductor.provision(verb, node: &node, parameters: [:], by: requester, in: session)
    } catch let error as ConductorError { throw APIError.conflict(error.description) }
  }

  private func rescue(
    _ row: ServerRow, _ value: JSON, _ requester: Requester, in session: any Session
  ) throws -> APIResponse {
    if !value.isNull {
      let input = ComputeInput(value.object ?? [:])
      try input.allow(["adminPass", "rescue_image_ref"])
      if input.value("rescue_image_ref") != nil {
        throw APIError.badRequest("A machine is rescued with the site's own system: no rescue_image_ref.")
      }
    }
    try Self.require(row, [.active, .shutoff, .error], "rescue")
    guard row.server.imageID != nil || row.server.nodeUUID == nil else {
      throw APIError.badRequest(
        "Cannot rescue a volume-backed instance: stop the server, and attach its volume to another machine.")
    }
    var node = try nova.conductor.machine(of: row.server, in: session)
    let password = value["adminPass"]?.string ?? String(Identifier.hex().prefix(12))
    node.instanceInfo["rescue_password"] = .string(password)
    try provision(.rescue, &node, requester, in: session)
    try nova.conductor.record("rescue", row.server.id, node.reservation, by: requester, in: session)
    return APIResponse(json: ["adminPass": .string(password)])
  }

  private func lock(
    _ row: ServerRow, _ value: JSON, _ version: Microversion, _ request: APIRequest, in session: any Session
  ) throws -> APIResponse {
    var row = row
    if !value.isNull, value.object?.isEmpty != true {
      guard version.minor >= 73, let object = value.object else {
        throw APIError.badRequest("Invalid input for field/attribute lock: null is expected.")
      }
      let input = ComputeInput(object)
      try input.allow(["locked_reason"])
      row.server.lockedReason = try input.text("locked_reason", 1...255)
    }
    let isAdmin = try request.actor().isSiteAdmin && request.actor().projectID != row.server.projectID
    if row.server.lock != .admin || isAdmin { row.server.lock = isAdmin ? .admin : .owner }
    try ServerStore.update(row.server, in: session)
    try nova.conductor.record(
      "lock", row.server.id, nil, by: Requester(request.actor(), requestID: request.requestID), in: session)
    return .accepted
  }
  private func unlock(_ row: ServerRow, _ request: APIRequest, in session: any Session) throws -> APIResponse {
    var row = row
    guard try row.server.lock != .admin || request.actor().isSiteAdmin else {
      throw APIError.forbidden(
        "Policy doesn't allow os_compute_api:os-lock-server:unlock:unlock_override to be performed.")
    }
    row.server.lock = nil
    row.server.lockedReason = nil
    try ServerStore.update(row.server, in: session)
    try nova.conductor.record(
      "unlock", row.server.id, nil, by: Requester(request.actor(), requestID: request.requestID), in: session)
    return .accepted
  }

  private func changeGroups(
    _ row: ServerRow, _ isAdded: Bool, _ value: JSON, _ request: APIRequest, in session: any Session
  ) throws {
    let input = ComputeInput(value.object ?? [:])
    try input.allow(["name"])
    let name = try input.required("name")
    let ports = try ServerInterfaceRoutes.ports(of: row, in: session).filter(\.isPortSecurityEnabled)
    guard !ports.isEmpty else {
      throw APIError.badRequest("The server has no port with port security: security groups cannot be applied to it.")
    }
    let actor = try request.actor()
    for port in ports {
      var groups = Set(port.securityGroupIDs)
      let found = try SecurityGroupStore.list(in: session) {
        $0.append("WHERE project_id = ? AND (name = ? OR id = ?)", .text(port.projectID), .text(name), .text(name))
      }.first
      guard let found else {
        throw APIError.notFound("Security group \(name) not found for project \(row.server.projectID).")
      }
      if isAdded {
        guard groups.insert(found.id).inserted || ports.count > 1 else {
          throw APIError.badRequest("Security group \(name) is already associated with instance \(row.server.id).")
        }
      } else {
        guard groups.remove(found.id) != nil else {
          throw APIError.notFound("Security group \(name) not associated with the instance \(row.server.id)")
        }
      }
      try translating {
        try nova.networks.changePort(
          port.id, groups: groups.sorted(), fixedIPs: nil, for: actor, at: request.now, in: session)
      }
    }
  }

  /// What the machine printed since it was last powered on, the last `length` lines of it.
  private func console(_ request: APIRequest, _ value: JSON) async throws -> APIResponse {
    let (actor, id) = (try request.actor(), try request.parameter("server"))
    let row = try await nova.database.read { try Lookup.server(id, actor, $0) }
    let input = ComputeInput(value.object ?? [:])
    try input.allow(["length"])
    let length = try input.int("length", -1...1_000_000)
    guard ComputePolicy.mayChange(row.server, actor) else {
      throw APIError.forbidden("Policy doesn't allow os_compute_api:os-console-output to be performed.")
    }
    let conductor = nova.conductor
    guard row.condition.status != .build else { throw APIError.conflict("Instance \(id) is not ready") }
    let node = try await nova.database.read { try conductor.machine(of: row.server, in: $0) }
    let consoles: any NodeConsoles
    do { consoles = try await conductor.consoles(of: node) } catch let error as ConductorError {
      throw APIError.notFound(error.description)
    }
    let bytes = await consoles.text(node: node.uuid, since: .powerOn, limit: 102_400)
    var text = String(decoding: bytes, as: UTF8.self)
    if let length, length >= 0 {
      let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
      // A line break at the end begins no line.
      let endsWithBreak = text.hasSuffix("\n") || text.hasSuffix("\r\n")
      let kept = (endsWithBreak ? lines.dropLast() : lines[...]).suffix(length)
      text = kept.joined(separator: "\n") + (endsWithBreak && !kept.isEmpty ? "\n" : "")
    }
    return APIResponse(json: ["output": .string(text)])
  }
}
