import Domain
import Store
import Wire
import Workflows

extension Conductor {
  /// Bytes of the largest disk that is taken: its map is held in memory while the disk is copied.
  public static let largestBackedUpDisk = 16 << 40

  /// Starts a copy of what is on a machine's disk, in the caller's transaction: the machine is switched off, its agent sends what the store
  /// has not, and the machine goes on as it was.
  ///
  /// - Parameter node: as read in this transaction; written back with its reservation.
  /// - Throws: ``ConductorError`` `.conflict` while a workflow holds the node, when there is nothing that can be read, or when the
  ///   project has no room for one more.
  public func backUpDisk(
    _ node: inout Node, as backup: DiskBackup, by requester: Requester, in session: any Session
  ) throws {
    try requireBackupStore()
    try requireReadable(node, "backed up", in: session)
    try Self.requireRoom(.backups, adding: 1, project: backup.projectID, in: session)
    try DiskBackupStore.insert(backup, in: session)
    let id = Identifier.uuid()
    var params: JSONObject = [
      "backup": .string(backup.uuid), "was_on": .bool(node.powerState != .off), "lease": JSON(node.leaseUUID),
      "most_bytes": .int(Self.largestBackedUpDisk),
    ]
    if let hint = diskHint(node) { params["disk"] = .object(hint) }
    for member in without(node) { params[member.key] = member.value }
    node.reservation = id
    node.lastError = nil
    node.updatedAt = clock()
    try NodeStore.update(node, in: session)
    _ = try start("back-up-disk", id: id, subject: node.uuid, params: params, by: requester, in: session)
    try NodeStore.addEvent(
      "Asked for a backup of the disk: \(backup.uuid).", type: "provision", user: requester.userID, of: node.uuid,
      at: clock(), in: session)
  }

  /// Starts to make a machine's disk what a backup says, in the caller's transaction. What is on it is given up. It is a deployment without an
  /// image: the state is `deploying`, and `deploy failed` if it fails.
  ///
  /// - Parameter node: as read in this transaction; written back with its state and reservation.
  /// - Throws: ``ConductorError`` `.conflict` while a workflow holds the node, or when the backup is not whole; `.badRequest` when the
  ///   state does not allow it or the disk is too small.
  public func restoreDisk(
    _ backup: DiskBackup, to node: inout Node, by requester: Requester, in session: any Session
  ) throws {
    try requireBackupStore()
    guard backup.status == .available, let size = backup.size, let map = backup.mapSHA256 else {
      throw ConductorError(
        .conflict,
        "Disk backup \(backup.uuid) is \(backup.status.rawValue): only one that is available can be restored.")
    }
    try requireFree(node)
    guard !node.isProtected else {
      throw ConductorError(.conflict, "Node \(node.uuid) is protected: what is on its disk is not to be overwritten.")
    }
    guard hardwareType(named: node.driver)?.needsAgent != false else {
      throw ConductorError(.conflict, "Hardware of the kind \(node.driver) boots no agent: its disk cannot be written.")
    }
    try requireNotInMaintenance(node)
    try requireNetworkBoot(node, in: session)
    let isNew = node.provisionState == .available
    guard node.provisionState.after(isNew ? .deploy : .rebuild) != nil else {
      throw ConductorError(
        .badRequest,
        "Node \(node.uuid) is \(node.provisionState.rawValue): a disk is restored when it is available, active, deploy failed or error."
      )
    }
    guard isNew || node.provisionState != .active || imageSource(of: node) == .localDisk else {
      throw ConductorError(.conflict, "Node \(node.uuid) boots from a volume: undeploy it first.")
    }
    let disks = try NodeStore.inventory(of: node.uuid, in: session)?["disks"]?.array ?? []
    if let largest = disks.compactMap({ $0["size_bytes"]?.int }).max(), size > largest {
      throw ConductorError(
        .badRequest,
        "The backup is of a disk of \(size >> 20) MiB and the largest disk of node \(node.uuid) has \(largest >> 20) MiB: choose another node."
      )
    }
    let wasOn = isNew || node.powerState != .off
    if node.instanceUUID == nil { node.instanceUUID = Identifier.uuid() }
    let restoredBefore = node.instanceInfo["disk_backup"]
    node.instanceInfo["disk_backup"] = .string(backup.uuid)
    var params: JSONObject = [
      "backup": .string(backup.uuid), "project": .string(backup.projectID), "map_sha256": .string(map),
      "was_on": .bool(wasOn), "lease": JSON(node.leaseUUID),
    ]
    if node.provisionState == .active { params["was_active"] = ["disk_backup": restoredBefore ?? .null] }
    if let hint = diskHint(node) { params["disk"] = .object(hint) }
    try begin(
      "restore-disk", isNew ? .deploy : .rebuild, "active", &node, params, by: requester, in: session)
    try NodeStore.addEvent(
      "Asked to restore the disk from backup \(backup.uuid).", type: "provision", user: requester.userID,
      of: node.uuid, at: clock(), in: session)
  }

  /// - Throws: ``ConductorError`` `.conflict` while it is made or brought back.
  public func deleteDiskBackup(_ backup: DiskBackup, by requester: Requester, in session: any Session) throws {
    guard backup.status.isAtRest else {
      throw ConductorError(.conflict, "Disk backup \(backup.uuid) is \(backup.status.rawValue): wait for its end.")
    }
    let isInUse = try WorkflowStore.open(in: session).contains {
      $0.kind == "restore-disk" && $0.params["backup"]?.string == backup.uuid
    }
    guard !isInUse else {
      throw ConductorError(.conflict, "Disk backup \(backup.uuid) is being restored to a machine: wait for its end.")
    }
    var backup = backup
    backup.status = .deleting
    backup.fault = nil
    try DiskBackupStore.update(backup, in: session)
    _ = try start("delete-disk-backup", subject: backup.uuid, params: [:], by: requester, in: session)
  }

  /// Stores a schedule, new or changed.
  /// - Throws: ``ConductorError`` `.conflict` when the machine has as many as it may.
  public func keepDiskBackupSchedule(_ schedule: DiskBackupSchedule, isNew: Bool, in session: any Session) throws {
    if isNew {
      if schedule.destination == .backup { try requireBackupStore() }
      var others = DiskBackupScheduleStore.Filter()
      others.node = schedule.nodeUUID
      guard try DiskBackupScheduleStore.list(others, in: session).count < DiskBackupSchedule.most else {
        throw ConductorError(
          .conflict,
          "Node \(schedule.nodeUUID) has \(DiskBackupSchedule.most) schedules, which is the most: delete one first.")
      }
      try DiskBackupScheduleStore.insert(schedule, in: session)
    } else {
      try DiskBackupScheduleStore.update(schedule, in: session)
    }
    session.afterCommit { [wakeups] in wakeups.signal(Self.diskBackupsName) }
  }

  private func requireBackupStore() throws {
    guard keepsBackups else {
      throw ConductorError(.conflict, "This site keeps no backups: ask the administrator.")
    }
  }
  /// The quota of volumes' backups holds for those of disks, too.
  static func requireRoom(
    _ resource: VolumeResource, adding: Int, project: String, in session: any Session
  ) throws {
    let limit = try VolumeStore.limits(project: project, in: session)[resource.rawValue] ?? resource.usualLimit
    guard limit >= 0 else { return }
    let used = try VolumeStore.used(resource, project: project, in: session)
    guard used + adding > limit else { return }
    throw ConductorError(
      .conflict,
      "The project's quota of \(resource.rawValue) is \(limit), of which \(used) are used, and \(adding) more are needed: delete backups, or ask the administrator for more."
    )
  }
}
