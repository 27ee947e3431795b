/// What of volumes is counted and limited per project. Source: Block Storage API reference v3, "Quota sets".
public enum VolumeResource: String, Sendable, CaseIterable {
  case volumes, snapshots, backups
  /// GiB of volumes and snapshots together.
  case gigabytes
  case backupGigabytes = "backup_gigabytes"
  /// GiB of one volume.
  case perVolumeGigabytes = "per_volume_gigabytes"
  /// Volume groups, which are not offered.
  case groups

  /// The site's limit where a project has none of its own; -1 is no limit. Source: Cinder's defaults.
  public var usualLimit: Int {
    switch self {
    case .volumes, .snapshots, .backups, .groups: 10
    case .gigabytes, .backupGigabytes: 1000
    case .perVolumeGigabytes: -1
    }
  }
}
