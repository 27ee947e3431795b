import Domain
import DriverInterfaces
import Logging
import VolumeDrivers

extension Configuration {
  /// Where volumes are kept, and where machines reach them.
  struct Volumes: Codable, Sendable {
    /// False: this site keeps no volumes.
    var enabled = true
    /// Of the volumes, a path of at most 58 bytes; absent for `volumes` in the data folder.
    var folder: String?
    /// Where iSCSI initiators come to; absent for the server's address on the provisioning network, or loopback.
    var portals: [String]?
    /// The network namespace of the portals; absent for that of `provisioning`.
    var namespace: String?
    /// Where backups of volumes and of machines' disks are kept: a folder, best on another disk, or an S3-compatible bucket
    /// (`https://HOST/BUCKET[/PREFIX]`); absent for `backups` in the data folder.
    var backups: String?
    /// The bucket's keys: a shared credentials file, as AWS's own programs read it.
    var backup_credentials: String?
    /// Certificates to trust for the bucket instead of the system's: a PEM file.
    var backup_authority: String?
    /// The first has the volumes whose type names none; absent for one on this machine, "local".
    var backends: [VolumeBackend]?
  }

  /// - Throws: ``DriverError`` when the folder cannot be made, or the bucket cannot be meant.
  func backupStore(data: String) throws -> (any BackupInterface)? {
    // Disks of machines are backed up also where there are no volumes.
    guard volumes.enabled || volumes.backups != nil else { return nil }
    let place = volumes.backups ?? "\(data)/backups"
    guard place.contains("://") else { return try BackupPieces(folder: place) }
    guard let file = volumes.backup_credentials else {
      throw Failure("volumes.backups is a bucket: volumes.backup_credentials must name the file with its keys")
    }
    return BackupPieces(
      bucket: try S3Bucket(
        url: place, credentials: .init(parsing: readFile(file)), authority: volumes.backup_authority))
  }

  /// Where initiators come to: the portals of all backends.
  var volumePortals: [String] {
    let backends = volumes.backends ?? []
    let own = backends.compactMap(\.portals).flatMap { $0 }
    // Nobody is at the common ones when every backend has its own.
    return !backends.isEmpty && backends.allSatisfy { $0.portals != nil } ? own : commonPortals + own
  }
  /// Those of the backends that have none of their own.
  var commonPortals: [String] { volumes.portals ?? ["\(provisioning?.address ?? "127.0.0.1"):3260"] }
  /// The network namespace in which `tgtd` listens.
  var portalNamespace: String? { volumes.namespace ?? (volumes.portals == nil ? provisioning?.namespace : nil) }

  /// How machines boot from volumes; nil where none do.
  /// - Throws: ``Failure`` for addresses that cannot be meant.
  var volumeBoot: VolumeBootSettings? {
    get throws {
      guard volumes.enabled, let provisioning, let first = provisioning.volume_first,
        let last = provisioning.volume_last
      else { return nil }
      guard let lowest = IPAddress(first), let highest = IPAddress(last), lowest.version == 4, highest.version == 4,
        lowest <= highest
      else { throw Failure("provisioning.volume_first and volume_last: two IPv4 addresses in order are expected") }
      for (from, to, whose) in [
        (provisioning.first, provisioning.last, "provisioning.first to last"),
        (discovery.first, discovery.last, "discovery.first to last"),
      ] where whose.hasPrefix("provisioning") || discovery.enabled {
        guard let from = IPAddress(from), let to = IPAddress(to), highest < from || to < lowest else {
          throw Failure("provisioning.volume_first to volume_last must not overlap \(whose)")
        }
      }
      return VolumeBootSettings(
        server: provisioning.address, port: provisioning.volume_port ?? provisioning.port + 1, first: first,
        last: last, portals: volumePortals)
    }
  }

  /// The backends by name.
  /// - Throws: ``Failure`` or ``DriverError`` `.misconfigured` when the file names what cannot be used.
  func volumeBackends(data: String, _ logger: Logger) throws -> [String: any VolumeInterface] {
    guard volumes.enabled else { return [:] }
    let folder = volumes.folder ?? "\(data)/volumes"
    do {
      let targets = try TargetPaths(
        .init(folder: "\(folder)/targets", namespace: portalNamespace, portals: commonPortals),
        sharesDaemon: volumes.backends?.contains { $0.driver == "rbd" && $0.portals == nil } ?? false)
      guard let backends = volumes.backends else {
        return ["local": try LocalVolumes(folder: folder, targets: targets)]
      }
      return try volumeBackends(backends, in: folder, targets)
    } catch let error as DriverError where volumes.folder == nil && volumes.portals == nil && volumes.backends == nil {
      // Nobody asked for it: a site whose folder has a long name works without.
      logger.warning("no volumes are kept: \(error); name another folder in `volumes.folder`")
      return [:]
    }
  }
}
