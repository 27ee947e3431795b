import Domain
import Store
import Wire
import Workflows

extension Conductor {
  static let diskBackupsName = "disk-backups"

  /// Does what schedules say: copies that are due are begun, those beyond what is kept are deleted, and a schedule whose lease is over goes.
  public func keepDiskBackups() async throws {
    let now = clock()
    var due = DiskBackupScheduleStore.Filter()
    due.due = now
    for schedule in try await database.read({ [due] in try DiskBackupScheduleStore.list(due, in: $0) }) {
      try await begin(schedule.uuid, at: now)
    }
    let schedules = try await database.read { try DiskBackupScheduleStore.list(.init(), in: $0) }
    for schedule in schedules { try await retire(schedule) }
  }

  /// Begins the copy that a schedule asks for. One that cannot be begun says why, and is tried again in the next round.
  private func begin(_ uuid: String, at now: Timestamp) async throws {
    do {
      try await database.write { session in
        guard var schedule = try DiskBackupScheduleStore.get(uuid, in: session), schedule.nextAt <= now else { return }
        let machine = try NodeStore.get(schedule.nodeUUID, in: session)
        guard var node = machine, DiskBackupPolicy.holds(schedule, node), try self.isTheirs(schedule, node, in: session)
        else {
          guard let machine, try self.isTheirs(schedule, machine, in: session) else {
            return try DiskBackupScheduleStore.delete(uuid, in: session)
          }
          // Somebody else has the machine for a time, by a lease or a sub-lease: the copies go on after it.
          schedule.nextAt = schedule.time(after: now)
          return try DiskBackupScheduleStore.update(schedule, in: session)
        }
        try self.copyDisk(of: &node, for: schedule, at: now, in: session)
        schedule.nextAt = schedule.time(after: now)
        schedule.fault = nil
        try DiskBackupScheduleStore.update(schedule, in: session)
      }
    } catch let error as ConductorError {
      try await database.write { session in
        guard var schedule = try DiskBackupScheduleStore.get(uuid, in: session),
          schedule.fault?.sentence != error.description
        else { return }
        schedule.fault = Reason(error.description)
        try DiskBackupScheduleStore.update(schedule, in: session)
      }
    }
  }

  private func copyDisk(
    of node: inout Node, for schedule: DiskBackupSchedule, at now: Timestamp, in session: any Session
  ) throws {
    let requester = Requester(projectID: schedule.projectID, userID: schedule.userID, requestID: nil)
    switch schedule.destination {
    case .backup:
      var backup = DiskBackup(projectID: schedule.projectID, nodeUUID: node.uuid, createdAt: now)
      backup.scheduleUUID = schedule.uuid
      backup.userID = schedule.userID
      try backUpDisk(&node, as: backup, by: requester, in: session)
    case .image:
      var image = Image(
        name: "\((node.name ?? node.uuid).prefix(200)) \(now.iso8601Zulu)", owner: schedule.projectID,
        visibility: .private,
        createdAt: now)
      image.properties[DiskBackupSchedule.imageProperty] = .string(schedule.uuid)
      image.properties["user_id"] = schedule.userID.map { .string($0) }
      try capture(&node, as: image, by: requester, in: session)
    }
  }

  /// Tells the schedule that an image was made for, if there is one, how it ended.
  static func noteScheduled(image id: String, _ failure: Reason?, _ parts: Parts, in session: any Session) throws {
    guard let image = try ImageStore.get(id, in: session),
      let uuid = image.properties[DiskBackupSchedule.imageProperty]?.string,
      var schedule = try DiskBackupScheduleStore.get(uuid, in: session), schedule.projectID == image.owner
    else { return }
    schedule.fault = failure
    try DiskBackupScheduleStore.update(schedule, in: session)
    session.afterCommit { parts.wakeups.signal(diskBackupsName) }
  }

  /// Whether the machine can be theirs again: their lease goes on, or they own it.
  private func isTheirs(_ schedule: DiskBackupSchedule, _ node: Node, in session: any Session) throws -> Bool {
    guard let lease = schedule.leaseUUID else {
      return node.owner == nil || node.owner == schedule.projectID || node.lessee == schedule.projectID
    }
    return try node.leaseUUID == lease || LeaseStore.get(lease, in: session)?.status.isLive == true
  }

  /// Deletes what a schedule keeps no more: whole copies beyond its number, and failed ones that a later whole one has followed.
  private func retire(_ schedule: DiskBackupSchedule) async throws {
    switch schedule.destination {
    case .backup: try await retireBackups(schedule)
    case .image: try await retireImages(schedule)
    }
  }
  /// A protected image is kept beyond the number, and so is one that is not the schedule's any more.
  private func retireImages(_ schedule: DiskBackupSchedule) async throws {
    @Sendable func over(_ session: any Session) throws -> [String] {
      let all = try ImageStore.list(
        owner: schedule.projectID, property: DiskBackupSchedule.imageProperty, value: schedule.uuid, in: session)
      return all.filter { $0.status.hasContent && !$0.isProtected }.dropFirst(schedule.keep).map(\.id)
    }
    guard try await !database.read(over).isEmpty else { return }
    let deleted = try await database.write { session in
      let deleted = try over(session)
      for id in deleted { try ImageStore.delete(id, in: session) }
      return deleted
    }
    // What a killed server leaves of them is nobody's, and goes with the sweeper.
    for id in deleted { try await parts.images.discard(imageID: id) }
  }
  private func retireBackups(_ schedule: DiskBackupSchedule) async throws {
    var filter = DiskBackupStore.Filter()
    filter.schedule = schedule.uuid
    let all = try await database.read { [filter] in try DiskBackupStore.list(filter, in: $0) }
    let whole = all.filter { $0.status == .available }
    let failed = all.drop { $0.status != .available }.filter { $0.status == .error }
    for backup in Array(whole.dropFirst(schedule.keep)) + failed {
      do {
        try await database.write { session in
          guard let backup = try DiskBackupStore.get(backup.uuid, in: session) else { return }
          try self.deleteDiskBackup(backup, by: .system, in: session)
        }
      } catch let error as ConductorError { logger.info("disk backup \(backup.uuid): \(error.description)") }
    }
  }
}
