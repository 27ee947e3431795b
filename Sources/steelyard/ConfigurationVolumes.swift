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
  }

  /// The backends by name.
  /// - Throws: ``DriverError`` `.misconfigured` when the file names a folder or portals that cannot be used.
  func volumeBackends(data: String, _ logger: Logger) throws -> [String: any VolumeInterface] {
    guard volumes.enabled else { return [:] }
    let portals = volumes.portals ?? ["\(provisioning?.address ?? "127.0.0.1"):3260"]
    let folder = volumes.folder ?? "\(data)/volumes"
    do {
      let targets = try TargetDaemon(
        .init(
          folder: "\(folder)/targets",
          namespace: volumes.namespace ?? (volumes.portals == nil ? provisioning?.namespace : nil), portals: portals))
      return ["local": try LocalVolumes(folder: folder, targets: targets)]
    } catch let error as DriverError where volumes.folder == nil && volumes.portals == nil {
      // Nobody asked for it: a site whose folder has a long name works without.
      logger.warning("no volumes are kept: \(error); name another folder in `volumes.folder`")
      return [:]
    }
  }
}
