import Conductor
import Cryptography
import Domain
import Store
import Wire

/// The scenes of the crash tests that are about volumes.
extension CrashSite {
  static let volume = "77777777-7777-4777-8777-777777777777"
  static let clone = "77777777-7777-4777-8777-777777777778"
  static let snapshot = "88888888-8888-4888-8888-888888888888"
  static let backup = "bbbbbbbb-bbbb-4bbb-8bbb-bbbbbbbbbbbb"
  static let attachment = "99999999-9999-4999-8999-999999999999"
  private static let type = "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa"

  /// What the API shows of volumes: "volume ID" is its status and size.
  static func volumes(_ box: SecretBox, in session: any Session) throws -> JSON {
    var out = JSONObject()
    for volume in try VolumeStore.list(VolumeListing(.everything), in: session) {
      out["volume \(volume.id)"] = .string("\(volume.status.rawValue) \(volume.size)")
    }
    for snapshot in try VolumeSnapshotStore.list(VolumeListing(.everything), in: session) {
      out["snapshot \(snapshot.id)"] = .string(snapshot.status.rawValue)
    }
    for backup in try VolumeBackupStore.list(VolumeListing(.everything), in: session) {
      out["backup \(backup.id)"] = .string("\(backup.status.rawValue) \(backup.objectCount)")
    }
    // A new attachment has another id in each life.
    let attachments = try VolumeAttachmentStore.list(.everything, box: box, in: session)
    out["attachments"] = JSON(attachments.map { "\($0.status.rawValue) \($0.access.isEmpty ? "" : "exported")" })
    out["of servers"] = JSON(
      try ServerVolumeStore.list(of: Self.server, in: session).map {
        "\($0.volumeID) \($0.bootIndex ?? -1) \($0.deletesOnTermination) \($0.device ?? "")"
      })
    let used = try VolumeResource.allCases.map { try VolumeStore.used($0, project: "p", in: session) }
    out["quota"] = .array(used.map { .int($0) })
    return .object(out)
  }

  /// What is outside before.
  func seedVolumes(_ scenario: Scenario) throws {
    guard scenario != .createVolume else { return }
    if scenario == .deployVolume || scenario.isOfVolumeServer { try world.ensure("switch-filters", "yes") }
    try world.ensure("volume/\(Self.volume)", "\(1 << 30) first")
    if [.cloneVolume, .deleteSnapshot, .revertVolume, .deleteVolume].contains(scenario) {
      try world.ensure("snapshot/\(Self.snapshot)", "\(Self.volume) older")
    }
    if [.restoreVolume, .deleteBackup].contains(scenario) { try world.ensure("backup/\(Self.backup)", "p") }
    let isServers = [.deleteVolumeServer, .detachServerVolume, .shelveVolumeServer].contains(scenario)
    if isServers || [.detachVolume, .undeployVolume].contains(scenario) {
      try world.ensure("export/\(Self.attachment)", "\(Self.volume) iqn.2026-11.test:one")
    }
    if isServers || scenario == .undeployVolume {
      try world.ensure("dhcp/n1", VolumeBoot.label(node: Self.node))
    }
  }

  @discardableResult
  func insertVolume(at now: Timestamp, in session: any Session) throws -> Volume {
    try VolumeTypeStore.insert(VolumeType(id: Self.type, name: "usual", createdAt: now), in: session)
    var volume = Volume(id: Self.volume, projectID: "p", userID: "u", size: 1, typeID: Self.type, createdAt: now)
    volume.status = .available
    try VolumeStore.insert(volume, in: session)
    return volume
  }
  private func insertSnapshot(of volume: Volume, at now: Timestamp, in session: any Session) throws -> VolumeSnapshot {
    var snapshot = VolumeSnapshot(
      id: Self.snapshot, volumeID: volume.id, projectID: "p", userID: "u", size: 1, createdAt: now)
    snapshot.status = .available
    try VolumeSnapshotStore.insert(snapshot, in: session)
    return snapshot
  }
  private func backup(of volume: Volume, at now: Timestamp) -> VolumeBackup {
    var backup = VolumeBackup(volumeID: volume.id, projectID: "p", userID: "u", size: 1, createdAt: now)
    backup.id = Self.backup
    return backup
  }
  func insertAttachment(at now: Timestamp, isOfNode: Bool, in session: any Session) throws {
    var attachment = VolumeAttachment(
      id: Self.attachment, volumeID: Self.volume, projectID: "p", password: "secret", createdAt: now)
    attachment.status = .attached
    attachment.connector = ["initiator": "iqn.2026-11.test:one"]
    attachment.access = ["target_iqn": .string("iqn.2026-11.org.steelyard:\(Self.attachment)")]
    attachment.nodeID = isOfNode ? Self.node : nil
    try VolumeAttachmentStore.insert(attachment, box: database.secrets, in: session)
    guard var volume = try VolumeStore.get(Self.volume, in: session) else { return }
    volume.status = .inUse
    try VolumeStore.update(volume, in: session)
    if isOfNode, let mac = MACAddress(Self.mac) {
      try VolumeBootStore.insert(
        VolumeBoot(nodeID: Self.node, mac: mac, address: "10.77.0.2", attachmentID: Self.attachment), in: session)
    }
  }
  func target(at now: Timestamp, in session: any Session) throws {
    var target = VolumeTarget(uuid: Identifier.uuid(), nodeUUID: Self.node, createdAt: now)
    target.volumeType = "iscsi"
    target.volumeID = Self.volume
    try VolumeTargetStore.insert(target, box: database.secrets, in: session)
  }

  /// Servers with volumes. The one that is made boots from a volume that is made with it, and has the other one beside; the others
  /// have the one of ``volume``: what is deleted boots from it.
  func beginVolumeServer(_ scenario: Scenario, _ node: inout Node, at now: Timestamp, in session: any Session) throws {
    var server = Server(
      id: Self.server, projectID: "p", userID: "u", name: "s1", flavor: ["id": "f", "ram": 0, "vcpus": 0, "disk": 0],
      createdAt: now)
    let requester = Requester(projectID: "p", userID: nil, requestID: nil)
    try insertVolume(at: now, in: session)
    if scenario == .createVolumeServer {
      var order = Conductor.ServerOrder(server, demands: MachineDemands(), ports: [], isSiteAdmins: false)
      var boot = ServerVolumeOrder(.image("new"))
      boot.bootIndex = 0
      boot.deletesOnTermination = true
      order.volumes = [boot, ServerVolumeOrder(.volume(Self.volume))]
      order.makeVolume = { [conductor] _, session in
        var made = Volume(id: Self.clone, projectID: "p", userID: "u", size: 2, typeID: Self.type, createdAt: now)
        guard let type = try VolumeTypeStore.get(Self.type, in: session) else { return made }
        try conductor.createVolume(&made, type: type, image: "new", by: requester, in: session)
        return made
      }
      server = try conductor.createServer(order, by: requester, in: session)
      guard server.nodeUUID != nil else { throw Injected() }
      return
    }
    server.nodeUUID = node.uuid
    server.launchedAt = now
    node.instanceUUID = server.id
    if scenario == .shelveVolumeServer { node.instanceInfo = [:] }
    try NodeStore.update(node, in: session)
    try ServerStore.insert(server, in: session)
    var item = ServerVolume(serverID: server.id, volumeID: Self.volume, createdAt: now)
    if scenario == .attachServerVolume {
      _ = try conductor.attach(item, to: server, by: requester, in: session)
      return
    }
    try insertAttachment(at: now, isOfNode: true, in: session)
    guard var attachment = try VolumeAttachmentStore.get(Self.attachment, box: database.secrets, in: session) else {
      return
    }
    attachment.instanceID = server.id
    try VolumeAttachmentStore.update(attachment, in: session)
    if scenario == .deleteVolumeServer {
      item.bootIndex = 0
      item.deletesOnTermination = true
      try ServerVolumeStore.insert(item, in: session)
      return try conductor.deleteServer(server, by: requester, in: session)
    }
    if scenario == .shelveVolumeServer {
      item.bootIndex = 0
      try ServerVolumeStore.insert(item, in: session)
      return try conductor.shelve(server, by: requester, in: session)
    }
    try ServerVolumeStore.insert(item, in: session)
    // Its NIC is there for data alone.
    if let nic = try VolumeBootStore.get(node: node.uuid, in: session) {
      try VolumeBootStore.delete(node: node.uuid, in: session)
      try VolumeBootStore.insert(
        VolumeBoot(nodeID: nic.nodeID, mac: nic.mac, address: nic.address, attachmentID: nil), in: session)
    }
    try conductor.detach(item, from: server, by: requester, in: session)
  }

  func beginVolume(_ scenario: Scenario, at now: Timestamp, in session: any Session) throws {
    if scenario == .createVolume {
      try VolumeTypeStore.insert(VolumeType(id: Self.type, name: "usual", createdAt: now), in: session)
      guard let type = try VolumeTypeStore.get(Self.type, in: session) else { return }
      var volume = Volume(id: Self.volume, projectID: "p", userID: "u", size: 2, typeID: Self.type, createdAt: now)
      return try conductor.createVolume(&volume, type: type, image: "new", by: .system, in: session)
    }
    var volume = try insertVolume(at: now, in: session)
    switch scenario {
    case .cloneVolume:
      let snapshot = try insertSnapshot(of: volume, at: now, in: session)
      guard let type = try VolumeTypeStore.get(Self.type, in: session) else { return }
      var clone = Volume(id: Self.clone, projectID: "p", userID: "u", size: 1, typeID: Self.type, createdAt: now)
      clone.snapshotID = snapshot.id
      try conductor.createVolume(&clone, type: type, image: nil, by: .system, in: session)
    case .deleteVolume:
      _ = try insertSnapshot(of: volume, at: now, in: session)
      try conductor.deleteVolume(&volume, cascade: true, by: .system, in: session)
    case .extendVolume: try conductor.extendVolume(&volume, to: 3, by: .system, in: session)
    case .snapshotVolume:
      let snapshot = VolumeSnapshot(
        id: Self.snapshot, volumeID: volume.id, projectID: "p", userID: "u", size: 1, createdAt: now)
      try conductor.createSnapshot(snapshot, by: .system, in: session)
    case .deleteSnapshot:
      var snapshot = try insertSnapshot(of: volume, at: now, in: session)
      try conductor.deleteSnapshot(&snapshot, by: .system, in: session)
    case .revertVolume:
      let snapshot = try insertSnapshot(of: volume, at: now, in: session)
      try conductor.revertVolume(&volume, to: snapshot, by: .system, in: session)
    case .backUpVolume: try conductor.backUp(&volume, as: backup(of: volume, at: now), by: .system, in: session)
    case .restoreVolume, .deleteBackup:
      var backup = backup(of: volume, at: now)
      backup.status = .available
      try VolumeBackupStore.insert(backup, in: session)
      if scenario == .restoreVolume {
        try conductor.restore(&backup, to: &volume, isNew: false, by: .system, in: session)
      } else {
        try conductor.deleteBackup(&backup, by: .system, in: session)
      }
    case .uploadVolume:
      guard let image = try ImageStore.get("new", in: session) else { return }
      try conductor.uploadVolume(&volume, as: image, by: .system, in: session)
    case .attachVolume:
      // By a fixed name, so that each life makes the same target.
      try insertAttachment(at: now, isOfNode: false, in: session)
      guard var attachment = try VolumeAttachmentStore.get(Self.attachment, box: database.secrets, in: session) else {
        return
      }
      attachment.access = [:]
      volume.status = .reserved
      try VolumeStore.update(volume, in: session)
      try conductor.attachVolume(&attachment, of: &volume, by: .system, in: session)
    case .detachVolume:
      try insertAttachment(at: now, isOfNode: false, in: session)
      guard var attachment = try VolumeAttachmentStore.get(Self.attachment, box: database.secrets, in: session) else {
        return
      }
      try conductor.detachVolume(&attachment, by: .system, in: session)
    default: break
    }
  }
}
