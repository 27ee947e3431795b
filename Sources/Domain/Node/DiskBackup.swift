import Wire

/// A copy of the whole content of a machine's internal disk at one time, in the backup store.
///
/// It is of the project that asked for it and outlives the lease and the machine. An extension of ours: upstream has none.
public struct DiskBackup: Sendable, Equatable {
  public enum Status: String, Sendable, CaseIterable {
    case creating, available, deleting, error
    case errorDeleting = "error_deleting"
    /// May be deleted.
    public var isAtRest: Bool { self == .available || self == .error || self == .errorDeleting }
  }
  public var uuid: String
  public var projectID: String
  public var userID: String?
  /// The machine that it was made of; it may be gone.
  public var nodeUUID: String
  public var name: String?
  public var status: Status
  /// Of the disk, in bytes; nil until the agent has said so.
  public var size: Int?
  /// Bytes of the disk in blocks that are not zero: what counts in the quota.
  public var dataBytes: Int?
  /// Bytes that the agent sent, packed: what the store had not.
  public var sentBytes: Int?
  /// SHA-256 of the disk's block map in lower-case hex: it stands for the whole content.
  public var mapSHA256: String?
  /// The schedule that asked for it; it may be gone.
  public var scheduleUUID: String?
  /// Why it is in an error state, in words.
  public var fault: Reason?
  public var createdAt: Timestamp
  /// When the copy was whole.
  public var completedAt: Timestamp?

  public init(uuid: String = Identifier.uuid(), projectID: String, nodeUUID: String, createdAt: Timestamp) {
    self.uuid = uuid
    self.projectID = projectID
    self.nodeUUID = nodeUUID
    self.createdAt = createdAt
    status = .creating
  }

  /// GiB of data, begun ones counted: what the quota `backup_gigabytes` counts.
  public static func gigabytes(_ bytes: Int) -> Int { (bytes + (1 << 30) - 1) >> 30 }
}

/// When copies of a machine's disk are made by themselves. It belongs to a lease and ends with it; the copies stay.
public struct DiskBackupSchedule: Sendable, Equatable {
  public static let hours = 1...8760
  public static let kept = 1...100
  /// Of one machine.
  public static let most = 10
  /// What a copy becomes.
  public enum Destination: String, Sendable, CaseIterable {
    /// A ``DiskBackup``: every byte of the disk, of which only what is new is sent and kept.
    case backup
    /// An image of the project: what can be deployed on other machines.
    case image
  }
  /// The property of the images that a schedule has made; its value is the schedule's UUID. An image that has it no more is kept for good.
  public static let imageProperty = "disk_backup_schedule"

  public var uuid: String
  public var projectID: String
  public var userID: String?
  public var nodeUUID: String
  /// Whose end is the schedule's; nil for an owner's own machine.
  public var leaseUUID: String?
  /// Hours from one copy to the next, ``hours``.
  public var everyHours: Int
  /// So many whole copies are kept, ``kept``; older ones of this schedule are deleted.
  public var keep: Int
  public let destination: Destination
  public var nextAt: Timestamp
  /// Why the last one that was due could not be begun, or did not become an image.
  public var fault: Reason?
  public var createdAt: Timestamp

  public init(
    uuid: String = Identifier.uuid(), projectID: String, nodeUUID: String, leaseUUID: String?, everyHours: Int,
    keep: Int, destination: Destination = .backup, nextAt: Timestamp, createdAt: Timestamp
  ) {
    self.uuid = uuid
    self.projectID = projectID
    self.nodeUUID = nodeUUID
    self.leaseUUID = leaseUUID
    self.everyHours = everyHours
    self.keep = keep
    self.destination = destination
    self.nextAt = nextAt
    self.createdAt = createdAt
  }

  /// The first of its times after `now`: times that were missed are not made up for.
  public func time(after now: Timestamp) -> Timestamp {
    guard nextAt <= now else { return nextAt }
    let period = everyHours * 3600
    return nextAt + .seconds((Int((now - nextAt).inSeconds) / period + 1) * period)
  }
}

/// Who may see, make and bring back copies of disks. What belongs to one project is nobody else's: foreign and nonexistent look the same.
public enum DiskBackupPolicy {
  public static func sees(project: String, _ actor: Actor) -> Bool {
    LeasePolicy.isAdmin(actor) || actor.isSiteReader || (!actor.roles.isEmpty && actor.projectID == project)
  }
  public static func mayChange(project: String, _ actor: Actor) -> Bool {
    LeasePolicy.isAdmin(actor) || (actor.projectID == project && NodePolicy.isMember(actor))
  }
  /// What is on a leased machine's disk is its lessee's, not its owner's: to read and to overwrite.
  public static func hasDisk(of node: Node, _ actor: Actor) -> Bool {
    actor.isSiteAdmin || node.lessee == nil || node.lessee == actor.projectID
  }
  /// Whether a project still has the machine as it had when it made a schedule.
  public static func holds(_ schedule: DiskBackupSchedule, _ node: Node) -> Bool {
    guard schedule.leaseUUID == nil else { return schedule.leaseUUID == node.leaseUUID }
    return node.lessee == nil || node.lessee == schedule.projectID
  }
}
