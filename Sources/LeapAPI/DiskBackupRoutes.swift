import APISupport
import Conductor
import Domain
import Store
import Wire

/// Copies of machines' internal disks. The routes are this server's own: upstream has none.
///
/// They are here and not below a node, because a copy outlives the lease, and who left a machine does not see it any more.
extension LeapAPI {
  private static let noun = "disk backup"

  var diskBackupEndpoints: [Endpoint] {
    let readers = "the project that made it, and administrators"
    let makers = "who has the machine: its lessee, else its owner; administrators"
    return [
      Endpoint(
        .get, "/v1/disk-backups", rule("disk_backup:get_all", readers), "copies of disks, the newest first",
        handler: diskBackups),
      Endpoint(
        .post, "/v1/disk-backups", rule("disk_backup:create", makers), "copy a machine's disk", handler: backUpDisk),
      Endpoint(.get, "/v1/disk-backups/{disk_backup}", rule("disk_backup:get", readers), "one copy of a disk") {
        request in
        try request.allowOnly([])
        let backup = try await database.read { try ownBackup(request, in: $0) }
        return APIResponse(json: shown(backup))
      },
      Endpoint(
        .delete, "/v1/disk-backups/{disk_backup}", rule("disk_backup:delete", readers), "delete a copy of a disk"
      ) { request in
        try request.allowOnly([])
        try await database.write { session in
          let backup = try ownBackup(request, toChange: true, in: session)
          try conductor.deleteDiskBackup(backup, by: try requester(request), in: session)
        }
        return .noContent
      },
      Endpoint(
        .post, "/v1/disk-backups/{disk_backup}/restore", rule("disk_backup:restore", makers),
        "make a machine's disk what a copy says", handler: restoreDisk),
    ]
  }

  // MARK: Answers

  /// `{"uuid", "name", "node_uuid", "project_id", "status", "schedule_uuid", "size_bytes", "data_bytes", "sent_bytes", "map_sha256",
  /// "fault", "created_at", "completed_at"}`.
  private func shown(_ backup: DiskBackup) -> JSON {
    [
      "uuid": .string(backup.uuid), "name": JSON(backup.name), "node_uuid": .string(backup.nodeUUID),
      "project_id": .string(backup.projectID), "status": .string(backup.status.rawValue),
      "schedule_uuid": JSON(backup.scheduleUUID), "size_bytes": JSON(backup.size),
      "data_bytes": JSON(backup.dataBytes), "sent_bytes": JSON(backup.sentBytes), "map_sha256": JSON(backup.mapSHA256),
      "fault": JSON(backup.fault?.sentence), "created_at": .string(backup.createdAt.iso8601Zulu),
      "completed_at": JSON(backup.completedAt?.iso8601Zulu),
    ]
  }

  /// 200 `{"disk_backups": […]}`. Filters: `node`, `status`, and `project_id` for administrators; `limit`, `marker`.
  private func diskBackups(_ request: APIRequest) async throws -> APIResponse {
    try request.allowOnly(["node", "project_id", "status", "limit", "marker"])
    let actor = try request.actor()
    let limit = min(try request.pageLimit() ?? 1000, 1000)
    let backups = try await database.read { session -> [DiskBackup] in
      var filter = DiskBackupStore.Filter(
        project: try listedProject(request, "disk_backup:get_all", in: session))
      filter.node = try request.query["node"].map { try resourceID($0, in: session) }
      if let word = request.query["status"] {
        guard let status = DiskBackup.Status(rawValue: word) else { return [] }
        filter.status = status
      }
      if let marker = request.query["marker"] {
        guard let last = try DiskBackupStore.get(marker, in: session),
          DiskBackupPolicy.sees(project: last.projectID, actor)
        else { throw APIRequest.unknownMarker(marker) }
        filter.marker = marker
      }
      filter.limit = limit
      return try DiskBackupStore.list(filter, in: session)
    }
    return APIResponse(json: ["disk_backups": .array(backups.map { shown($0) })])
  }

  // MARK: Verbs

  /// POST `{"node": UUID or name, "name": text}` → 202 the copy, `creating`.
  ///
  /// Answers: 404 for a node that the caller does not see, 403 for one that is another's at present, 409 while a workflow holds it, when
  /// there is nothing to read, and beyond the quota.
  private func backUpDisk(_ request: APIRequest) async throws -> APIResponse {
    try request.allowOnly([])
    let input = try await LeapInput(request, "new_disk_backup", accepted: ["node", "name"])
    let asked = try input.required("node", limit: 255)
    let name = try input.text("name", limit: 255)
    return try await database.write { session in
      var node = try ownMachine(asked, request, "disk_backup:create", in: session)
      let actor = try request.actor()
      guard let project = actor.projectID ?? node.lessee ?? node.owner else {
        throw APIError.badRequest("The token has no project that the backup could belong to.")
      }
      var backup = DiskBackup(projectID: project, nodeUUID: node.uuid, createdAt: request.now)
      backup.userID = actor.userID
      backup.name = name
      try conductor.backUpDisk(&node, as: backup, by: try requester(request), in: session)
      return APIResponse(.accepted, json: shown(backup))
    }
  }

  /// POST `{"node": UUID or name}` → 202 the copy.
  ///
  /// Answers: 404 for a copy of another project's and for a node that the caller does not see, 403 for a node that is another's at present,
  /// 400 when its state does not allow it or its disks are too small, 409 while a workflow holds it, and for a copy that is not whole.
  private func restoreDisk(_ request: APIRequest) async throws -> APIResponse {
    try request.allowOnly([])
    let input = try await LeapInput(request, "restore", accepted: ["node"])
    let asked = try input.required("node", limit: 255)
    return try await database.write { session in
      let backup = try ownBackup(request, toChange: true, in: session)
      var node = try ownMachine(asked, request, "disk_backup:restore", in: session)
      try conductor.restoreDisk(backup, to: &node, by: try requester(request), in: session)
      return APIResponse(.accepted, json: shown(backup))
    }
  }

  // MARK: What the caller may touch

  private func requester(_ request: APIRequest) throws -> Requester {
    Requester(try request.actor(), requestID: request.requestID)
  }
  /// The copy in the path.
  private func ownBackup(_ request: APIRequest, toChange: Bool = false, in session: any Session) throws -> DiskBackup {
    let (actor, id) = (try request.actor(), try request.parameter("disk_backup"))
    guard let backup = try DiskBackupStore.get(id.lowercased(), in: session),
      DiskBackupPolicy.sees(project: backup.projectID, actor)
    else { throw Refusal.missing(Self.noun, id) }
    guard !toChange || DiskBackupPolicy.mayChange(project: backup.projectID, actor) else {
      throw Refusal.access(Self.noun, backup.uuid)
    }
    return backup
  }
  /// Whose are listed: nil for everybody's.
  func listedProject(_ request: APIRequest, _ rule: String, in session: any Session) throws -> String? {
    let actor = try request.actor()
    guard LeasePolicy.mayRead(actor) else { throw Refusal.rule(rule) }
    if let project = request.query["project_id"] {
      return try LeapLookup.ownProject(project, actor, rule: rule, in: session)
    }
    return LeasePolicy.isAdmin(actor) || actor.isSiteReader ? nil : actor.projectID ?? ""
  }
  /// A machine whose disk is the caller's to read and to overwrite.
  func ownMachine(_ asked: String, _ request: APIRequest, _ rule: String, in session: any Session) throws -> Node {
    let actor = try request.actor()
    guard let node = try NodeStore.find(asked, in: session), NodePolicy.sees(node, actor) else {
      throw Refusal.missingResource(Lease.defaultResourceType, asked)
    }
    guard NodePolicy.allows(.provision(.rebuild), node, actor) else { throw Refusal.rule(rule) }
    guard DiskBackupPolicy.hasDisk(of: node, actor) else {
      throw APIError.forbidden("Node \(node.uuid) is leased: what is on its disk is its lessee's.")
    }
    return node
  }
}
