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
        var backup = DiskBackup(projectID: schedule.projectID, nodeUUID: node.uuid, createdAt: now)
        backup.scheduleUUID = uuid
        backup.userID = schedule.userID
        let requester = Requester(projectID: schedule.projectID, userID: schedule.userID, requestID: nil)
        try self.backUpDisk(&node, as: backup, by: requester, in: session)
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

  /// Whether the machine can be theirs again: their lease goes on, or they own it.
  private func isTheirs(_ schedule: DiskBackupSchedule, _ node: Node, in session: any Session) throws -> Bool {
    guard let lease = schedule.leaseUUID else {
      return node.owner == nil || node.owner == schedule.projectID || node.lessee == schedule.projectID
    }
    return try node.leaseUUID == lease || LeaseStore.get(lease, in: session)?.status.isLive == true
  }

  /// Deletes what a schedule keeps no more: whole copies beyond its number, and failed ones that a later whole one has followed.
  private func retire(_ schedule: DiskBackupSchedule) async throws {
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
