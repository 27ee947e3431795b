import Cryptography
import Domain
import DriverInterfaces
import Store
import Wire
import Workflows

/// What is done to volumes. Each verb is part of the caller's transaction: rows and workflow are one change.
extension Conductor {
  /// Names of the backends that the configuration has, the usual one first.
  public var volumeBackends: [String] {
    let usual = settings.usualVolumeBackend ?? "local"
    return parts.volumes.keys.sorted { ($0 == usual ? 0 : 1, $0) < ($1 == usual ? 0 : 1, $1) }
  }

  /// How much room a backend has, in bytes.
  public func volumeCapacity(_ backend: String) async -> (total: Int, free: Int)? {
    try? await parts.volumes[backend]?.capacity()
  }

  /// The backend that a type leads to.
  /// - Throws: 400 when its `volume_backend_name` is none of the site's.
  public func backend(of type: VolumeType) throws -> String {
    guard let first = volumeBackends.first else {
      throw ConductorError(
        .conflict, "This site keeps no volumes: its configuration has no `volumes`. Ask the administrator.")
    }
    guard let named = type.extraSpecs["volume_backend_name"]?.string else { return first }
    guard volumeBackends.contains(named) else {
      throw ConductorError(
        .badRequest, "The volume type \(type.name) asks for a backend that this site has not: ask the administrator.")
    }
    return named
  }

  /// - Parameters:
  ///   - volume: with size, type and source; its backend is chosen here.
  ///   - image: the id of the image whose content it gets.
  public func createVolume(
    _ volume: inout Volume, type: VolumeType, image: String?, by requester: Requester, in session: any Session
  ) throws {
    volume.status = .creating
    volume.backend = try backend(of: type)
    // What is made from another must be where the other is.
    let parent =
      try volume.sourceVolumeID ?? volume.snapshotID.flatMap { try VolumeSnapshotStore.get($0, in: session) }?.volumeID
    if let parent, let source = try VolumeStore.get(parent, in: session) { volume.backend = source.backend }
    try VolumeStore.insert(volume, in: session)
    var params: JSONObject = [:]
    if let image { params["image"] = .string(image) }
    _ = try start("create-volume", subject: volume.id, params: params, by: requester, in: session)
  }

  /// - Parameter cascade: whether its snapshots go too.
  public func deleteVolume(_ volume: inout Volume, cascade: Bool, by requester: Requester, in session: any Session)
    throws
  {
    let snapshots = try VolumeSnapshotStore.list(of: volume.id, in: session)
    guard snapshots.isEmpty || cascade else {
      throw ConductorError(
        .badRequest,
        "Invalid volume: Volume has \(snapshots.count) snapshots: delete them first, or delete it with --purge (cascade)."
      )
    }
    for var snapshot in snapshots {
      guard [.available, .error, .errorDeleting].contains(snapshot.status) else {
        throw ConductorError(.badRequest, "Invalid volume: its snapshot \(snapshot.id) is \(snapshot.status.rawValue).")
      }
      snapshot.status = .deleting
      try VolumeSnapshotStore.update(snapshot, in: session)
    }
    volume.status = .deleting
    volume.updatedAt = clock()
    try VolumeStore.update(volume, in: session)
    _ = try start("delete-volume", subject: volume.id, params: [:], by: requester, in: session)
  }

  /// - Parameter size: GiB, more than now.
  public func extendVolume(_ volume: inout Volume, to size: Int, by requester: Requester, in session: any Session)
    throws
  {
    let params: JSONObject = ["old_size": .int(volume.size), "status": .string(volume.status.rawValue)]
    volume.size = size
    volume.status = .extending
    volume.updatedAt = clock()
    try VolumeStore.update(volume, in: session)
    _ = try start("extend-volume", subject: volume.id, params: params, by: requester, in: session)
  }

  public func revertVolume(
    _ volume: inout Volume, to snapshot: VolumeSnapshot, by requester: Requester, in session: any Session
  ) throws {
    var snapshot = snapshot
    snapshot.status = .restoring
    try VolumeSnapshotStore.update(snapshot, in: session)
    volume.status = .reverting
    volume.updatedAt = clock()
    try VolumeStore.update(volume, in: session)
    _ = try start(
      "revert-volume", subject: volume.id, params: ["snapshot": .string(snapshot.id)], by: requester, in: session)
  }

  public func createSnapshot(_ snapshot: VolumeSnapshot, by requester: Requester, in session: any Session) throws {
    try VolumeSnapshotStore.insert(snapshot, in: session)
    _ = try start("create-snapshot", subject: snapshot.id, params: [:], by: requester, in: session)
  }
  public func deleteSnapshot(_ snapshot: inout VolumeSnapshot, by requester: Requester, in session: any Session) throws
  {
    snapshot.status = .deleting
    snapshot.updatedAt = clock()
    try VolumeSnapshotStore.update(snapshot, in: session)
    _ = try start("delete-snapshot", subject: snapshot.id, params: [:], by: requester, in: session)
  }

  // MARK: Attachments

  /// A new attachment with a secret of its own; nobody may log in before ``attachVolume(_:by:in:)``.
  public func reserve(_ volume: inout Volume, in session: any Session) throws -> VolumeAttachment {
    let attachment = VolumeAttachment(
      volumeID: volume.id, projectID: volume.projectID, password: Self.chapSecret(), createdAt: clock())
    try VolumeAttachmentStore.insert(attachment, box: database.secrets, in: session)
    volume.status = .reserved
    volume.updatedAt = clock()
    try VolumeStore.update(volume, in: session)
    return attachment
  }
  /// 24 letters and digits: more than 16 bytes and at most 16 words of what old firmware takes (iPXE, CHAP in RFC 7143, 12.1.4).
  private static func chapSecret() -> String {
    String(Identifier.uuid().filter { $0 != "-" }.prefix(24))
  }

  /// Starts the export to `attachment.initiators`.
  public func attachVolume(
    _ attachment: inout VolumeAttachment, of volume: inout Volume, by requester: Requester, in session: any Session
  ) throws {
    attachment.status = .attaching
    try VolumeAttachmentStore.update(attachment, in: session)
    if volume.status != .inUse {
      volume.status = .attaching
      volume.updatedAt = clock()
      try VolumeStore.update(volume, in: session)
    }
    _ = try start("attach-volume", subject: attachment.id, params: [:], by: requester, in: session)
  }
  /// Ends it: the target goes, then the attachment.
  public func detachVolume(_ attachment: inout VolumeAttachment, by requester: Requester, in session: any Session)
    throws
  {
    try detachVolume(&attachment, id: Identifier.uuid(), params: [:], by: requester, in: session)
  }
  /// - Parameter params: `node`, which the workflow holds, when its NIC for volumes is to be given back.
  func detachVolume(
    _ attachment: inout VolumeAttachment, id: String, params: JSONObject, by requester: Requester,
    in session: any Session
  ) throws {
    attachment.status = .detaching
    try VolumeAttachmentStore.update(attachment, in: session)
    try change(volume: attachment.volumeID, session) { volume in
      if [.inUse, .reserved, .attaching].contains(volume.status) {
        volume.status = .detaching
        volume.updatedAt = clock()
      }
    }
    var params = params
    params["volume"] = .string(attachment.volumeID)
    _ = try start("detach-volume", id: id, subject: attachment.id, params: params, by: requester, in: session)
  }
  /// Waits until an attachment is what it was asked to become, or `limit` is over.
  /// - Returns: nil when it is gone.
  public func settled(attachment id: String, within limit: Duration) async throws -> VolumeAttachment? {
    let name = "attachment/\(id)", end = ContinuousClock.now + limit, box = database.secrets
    while true {
      let seen = parts.wakeups.count(of: name)
      let attachment = try await database.read { try VolumeAttachmentStore.get(id, box: box, in: $0) }
      guard let attachment, attachment.status == .attaching || attachment.status == .detaching,
        ContinuousClock.now < end
      else { return attachment }
      await parts.wakeups.wait(for: name, limit: end - ContinuousClock.now, since: seen)
    }
  }
}
