import DriverInterfaces
import Glibc
import VolumeDrivers

extension Configuration {
  /// One of several places where volumes are kept.
  struct VolumeBackend: Codable, Sendable {
    /// What volume types call it in `volume_backend_name`.
    var name: String
    /// "local" or "rbd".
    var driver: String
    /// On this machine, of the volumes ("local") or of what is noted about them ("rbd"); absent for one in `volumes.folder`.
    var folder: String?
    /// Own portals make `tgtd`s of its own, which a cluster that does not answer may hold up without the others.
    var portals: [String]?
    /// Of the Ceph cluster.
    var pool: String?
    /// The cluster's configuration file; it names the keyring too.
    var ceph_configuration: String?
    /// Ceph's user without "client."; absent for "admin".
    var user: String?
    /// The network namespace from which the cluster is reached; absent for that of the portals.
    var namespace: String?

    init(from decoder: any Decoder) throws {
      struct Key: CodingKey {
        var stringValue: String
        var intValue: Int? { nil }
        init(stringValue: String) { self.stringValue = stringValue }
        init?(intValue: Int) { nil }
      }
      for key in try decoder.container(keyedBy: Key.self).allKeys.map(\.stringValue)
      where CodingKeys(stringValue: key) == nil {
        throw Failure(
          "volumes.backends: '\(key)' is no key; there are ceph_configuration, driver, folder, name, namespace, pool, portals, user"
        )
      }
      let members = try decoder.container(keyedBy: CodingKeys.self)
      name = try members.decode(String.self, forKey: .name)
      driver = try members.decode(String.self, forKey: .driver)
      folder = try members.decodeIfPresent(String.self, forKey: .folder)
      portals = try members.decodeIfPresent([String].self, forKey: .portals)
      pool = try members.decodeIfPresent(String.self, forKey: .pool)
      ceph_configuration = try members.decodeIfPresent(String.self, forKey: .ceph_configuration)
      user = try members.decodeIfPresent(String.self, forKey: .user)
      namespace = try members.decodeIfPresent(String.self, forKey: .namespace)
    }
  }

  /// - Parameter targets: of the backends that have no portals of their own.
  /// - Throws: ``Failure`` or ``DriverError`` `.misconfigured`.
  func volumeBackends(_ entries: [VolumeBackend], in folder: String, _ targets: TargetPaths) throws -> [String:
    any VolumeInterface]
  {
    guard !entries.isEmpty else {
      throw Failure("volumes.backends: at least one is expected; leave the key out for one on this machine")
    }
    var made: [String: any VolumeInterface] = [:]
    var places: Set<String> = []
    for entry in entries {
      let name = entry.name
      guard (1...32).contains(name.utf8.count), name.first != "-",
        name.utf8.allSatisfy({ [0x2d, 0x5f].contains($0) || isAlphanumeric($0) })
      else {
        throw Failure("volumes.backends: '\(name)' is no name: 1 to 32 letters, digits, dashes and underscores are")
      }
      func refuse(_ what: String) -> Failure { Failure("volumes.backends: \(name): \(what)") }
      guard made[name] == nil else { throw refuse("the name is given twice") }
      let own = entry.folder ?? "\(folder)/\(name)"
      var targets = targets
      if let portals = entry.portals {
        guard Set(portals).isDisjoint(with: entries.filter { $0.name != name }.flatMap { $0.portals ?? commonPortals })
        else {
          throw refuse("a portal is another backend's: give it addresses or ports of its own, or leave `portals` out")
        }
        targets = try TargetPaths(
          .init(folder: "\(own)/targets", namespace: portalNamespace, portals: portals),
          sharesDaemon: entry.driver == "rbd")
      }
      guard places.insert("folder \(own)").inserted else { throw refuse("the folder \(own) is another backend's") }
      if access(folder, F_OK) != 0 { _ = mkdir(folder, 0o700) }
      switch entry.driver {
      case "local":
        guard entry.pool == nil, entry.ceph_configuration == nil, entry.user == nil, entry.namespace == nil else {
          throw refuse("pool, ceph_configuration, user and namespace are for driver rbd")
        }
        made[name] = try LocalVolumes(name: name, folder: own, targets: targets)
      case "rbd":
        guard let pool = entry.pool, let configuration = entry.ceph_configuration else {
          throw refuse("driver rbd needs pool and ceph_configuration")
        }
        guard access(configuration, R_OK) == 0 else {
          throw refuse("ceph_configuration: \(configuration) is not there, or cannot be read")
        }
        guard places.insert("pool \(pool) of \(configuration)").inserted else {
          throw refuse("the pool \(pool) is another backend's")
        }
        guard access(Self.storeForImages, F_OK) == 0 else {
          throw refuse("tgtd cannot open images of Ceph: install the package tgt-rbd, and start tgtd anew")
        }
        made[name] = try RBDVolumes(
          .init(
            name: name, pool: pool, configuration: configuration, user: entry.user ?? "admin", folder: own,
            namespace: entry.namespace ?? portalNamespace), targets: targets)
      default: throw refuse("there is no driver '\(entry.driver)'; there are local and rbd")
      }
    }
    return made
  }
  /// Where `tgtd` looks for its stores. Source: tgt, `usr/tgtd.c`.
  private static let storeForImages = "/usr/lib/tgt/backing-store/bs_rbd.so"
}

private func isAlphanumeric(_ byte: UInt8) -> Bool {
  (0x30...0x39).contains(byte) || (0x41...0x5a).contains(byte) || (0x61...0x7a).contains(byte)
}
