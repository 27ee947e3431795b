import APISupport
import Conductor
import Domain
import Store
import Wire

/// When copies of machines' internal disks are made by themselves. The routes are this server's own: upstream has none.
extension LeapAPI {
  private static let noun = "disk backup schedule"

  var diskBackupScheduleEndpoints: [Endpoint] {
    let readers = "the project that made it, and administrators"
    let path = "/v1/disk-backup-schedules", one = path + "/{disk_backup_schedule}"
    return [
      Endpoint(
        .get, path, rule("disk_backup_schedule:get_all", readers), "schedules of copies, the newest first",
        handler: schedules),
      Endpoint(
        .post, path,
        rule("disk_backup_schedule:create", "who has the machine: its lessee, else its owner; administrators"),
        "have a machine's disk copied regularly", handler: createSchedule),
      Endpoint(.get, one, rule("disk_backup_schedule:get", readers), "one schedule") { request in
        try request.allowOnly([])
        let schedule = try await database.read { try ownSchedule(request, in: $0) }
        return APIResponse(json: shown(schedule))
      },
      Endpoint(
        .patch, one, rule("disk_backup_schedule:update", readers), "change how often, and how many are kept",
        handler: updateSchedule),
      Endpoint(.delete, one, rule("disk_backup_schedule:delete", readers), "end a schedule; its copies stay") {
        request in
        try request.allowOnly([])
        try await database.write { session in
          let schedule = try ownSchedule(request, toChange: true, in: session)
          try DiskBackupScheduleStore.delete(schedule.uuid, in: session)
        }
        return .noContent
      },
    ]
  }

  /// `{"uuid", "node_uuid", "lease_uuid", "project_id", "destination", "every_hours", "keep", "next_at", "fault", "created_at"}`.
  private func shown(_ schedule: DiskBackupSchedule) -> JSON {
    [
      "uuid": .string(schedule.uuid), "node_uuid": .string(schedule.nodeUUID), "lease_uuid": JSON(schedule.leaseUUID),
      "project_id": .string(schedule.projectID), "destination": .string(schedule.destination.rawValue),
      "every_hours": .int(schedule.everyHours), "keep": .int(schedule.keep),
      "next_at": .string(schedule.nextAt.iso8601Zulu),
      "fault": JSON(schedule.fault?.sentence), "created_at": .string(schedule.createdAt.iso8601Zulu),
    ]
  }

  /// 200 `{"disk_backup_schedules": […]}`. Filters: `node`, and `project_id` for administrators; `limit`, `marker`.
  private func schedules(_ request: APIRequest) async throws -> APIResponse {
    try request.allowOnly(["node", "project_id", "limit", "marker"])
    let actor = try request.actor()
    let limit = min(try request.pageLimit() ?? 1000, 1000)
    let schedules = try await database.read { session -> [DiskBackupSchedule] in
      var filter = DiskBackupScheduleStore.Filter(
        project: try listedProject(request, "disk_backup_schedule:get_all", in: session))
      filter.node = try request.query["node"].map { try resourceID($0, in: session) }
      if let marker = request.query["marker"] {
        guard let last = try DiskBackupScheduleStore.get(marker, in: session),
          DiskBackupPolicy.sees(project: last.projectID, actor)
        else { throw APIRequest.unknownMarker(marker) }
        filter.marker = marker
      }
      filter.limit = limit
      return try DiskBackupScheduleStore.list(filter, in: session)
    }
    return APIResponse(json: ["disk_backup_schedules": .array(schedules.map { shown($0) })])
  }

  /// POST `{"node": UUID or name, "every_hours": 1 to 8760, "keep": 1 to 100, "at": time, "destination": "backup" or "image"}` → 201. Without
  /// `at` the first copy is made at once; without `destination` it is a backup.
  private func createSchedule(_ request: APIRequest) async throws -> APIResponse {
    try request.allowOnly([])
    let input = try await LeapInput(
      request, "new_disk_backup_schedule", accepted: ["node", "every_hours", "keep", "at", "destination"])
    let asked = try input.required("node", limit: 255)
    guard let hours = try input.number("every_hours", within: DiskBackupSchedule.hours) else {
      throw APIError.badRequest(
        "Invalid input for field/attribute every_hours. Value: 'None'. Mandatory field missing.")
    }
    let keep = try input.number("keep", within: DiskBackupSchedule.kept) ?? 7
    let at = try time(input, request)
    let destination = try destination(input)
    return try await database.write { session in
      let node = try ownMachine(asked, request, "disk_backup_schedule:create", in: session)
      let actor = try request.actor()
      guard let project = actor.projectID ?? node.lessee ?? node.owner else {
        throw APIError.badRequest("The token has no project that the schedule could belong to.")
      }
      var schedule = DiskBackupSchedule(
        projectID: project, nodeUUID: node.uuid, leaseUUID: node.leaseUUID, everyHours: hours, keep: keep,
        destination: destination, nextAt: at ?? request.now, createdAt: request.now)
      schedule.userID = actor.userID
      try conductor.keepDiskBackupSchedule(schedule, isNew: true, in: session)
      return APIResponse(.created, json: shown(schedule))
    }
  }

  /// PATCH `{"every_hours", "keep", "at"}`, each as it is to be → 200.
  private func updateSchedule(_ request: APIRequest) async throws -> APIResponse {
    try request.allowOnly([])
    let input = try await LeapInput(request, "disk_backup_schedule", accepted: ["every_hours", "keep", "at"])
    let hours = try input.number("every_hours", within: DiskBackupSchedule.hours)
    let keep = try input.number("keep", within: DiskBackupSchedule.kept)
    let at = try time(input, request)
    return try await database.write { session in
      var schedule = try ownSchedule(request, toChange: true, in: session)
      schedule.everyHours = hours ?? schedule.everyHours
      schedule.keep = keep ?? schedule.keep
      schedule.nextAt = at ?? schedule.nextAt
      try conductor.keepDiskBackupSchedule(schedule, isNew: false, in: session)
      return APIResponse(json: shown(schedule))
    }
  }

  private func destination(_ input: LeapInput) throws -> DiskBackupSchedule.Destination {
    guard let word = try input.text("destination", limit: 20) else { return .backup }
    guard let destination = DiskBackupSchedule.Destination(rawValue: word) else {
      let words = DiskBackupSchedule.Destination.allCases.map(\.rawValue).joined(separator: " or ")
      throw APIError.badRequest("destination is what a copy becomes: \(words).")
    }
    return destination
  }

  /// When the next copy is made.
  private func time(_ input: LeapInput, _ request: APIRequest) throws -> Timestamp? {
    guard let at = try input.time("at") else { return nil }
    guard at >= request.now, at <= request.now + .seconds(DiskBackupSchedule.hours.upperBound * 3600) else {
      throw APIError.badRequest("at is when the next copy is made: a time from now on, within a year.")
    }
    return at
  }

  /// The schedule in the path.
  private func ownSchedule(
    _ request: APIRequest, toChange: Bool = false, in session: any Session
  ) throws -> DiskBackupSchedule {
    let (actor, id) = (try request.actor(), try request.parameter("disk_backup_schedule"))
    guard let schedule = try DiskBackupScheduleStore.get(id.lowercased(), in: session),
      DiskBackupPolicy.sees(project: schedule.projectID, actor)
    else { throw Refusal.missing(Self.noun, id) }
    guard !toChange || DiskBackupPolicy.mayChange(project: schedule.projectID, actor) else {
      throw Refusal.access(Self.noun, schedule.uuid)
    }
    return schedule
  }
}
