import APISupport
import Conductor
import Domain
import Store
import Wire

/// What servers ask of the block storage service: the same checks, rights, defaults and quotas as its own API.
extension CinderAPI: ServerVolumes {
  public func check(_ order: ServerVolumeOrder, for actor: Actor, in session: any Session) throws {
    switch order.source {
    case .volume(let id):
      let volume: Volume
      do { volume = try freeVolume(id, for: actor, in: session) } catch let error as APIError
        where error.status == .notFound
      { throw Self.invalid("failed to get volume \(id).") }
      guard volume.isBootable || !order.isBoot else { throw Self.invalid("Volume \(id) is not bootable.") }
    case .snapshot(let id):
      let snapshot: VolumeSnapshot
      do { snapshot = try Lookup.ownSnapshot(id, actor, session) } catch is APIError {
        throw Self.invalid("failed to get snapshot \(id).")
      }
      guard snapshot.projectID == actor.projectID else { throw Self.invalid("failed to get snapshot \(id).") }
      guard snapshot.status == .available else {
        throw Self.invalid("snapshot \(id) is \(snapshot.status.rawValue), and must be available.")
      }
      let parent = try VolumeStore.get(snapshot.volumeID, in: session)
      guard parent?.isBootable == true || !order.isBoot else {
        throw Self.invalid("the volume of snapshot \(id) is not bootable.")
      }
    case .image(let id):
      guard let image = try ImageStore.get(id, seenBy: actor, in: session) else {
        throw Self.invalid("failed to get image \(id).")
      }
      guard image.status == .active else { throw APIError.badRequest("Image \(id) is not active.") }
      guard order.size != nil else {
        throw Self.invalid("Images with destination_type 'volume' need to have a non-zero size specified.")
      }
    case .blank:
      guard order.size != nil else {
        throw Self.invalid("Blank volumes (source: 'blank', dest: 'volume') need to have non-zero size.")
      }
      guard !order.isBoot else { throw Self.invalid("a blank volume is not bootable.") }
    }
  }
  private static func invalid(_ sentence: String) -> APIError {
    .badRequest("Block Device Mapping is Invalid: \(sentence)")
  }

  public func freeVolume(_ id: String, for actor: Actor, in session: any Session) throws -> Volume {
    let volume = try Lookup.ownVolume(id, actor, session)
    // A server's volumes are its project's own, whoever asks.
    guard volume.projectID == actor.projectID else { throw APIError.notFound("Volume \(id) could not be found.") }
    guard volume.status == .available else {
      throw APIError.badRequest(
        "Invalid volume: volume '\(id)' status must be 'available'. Currently in '\(volume.status.rawValue)'")
    }
    return volume
  }

  public func snapshot(
    _ volume: String, name: String, for actor: Actor, requestID: String, at now: Timestamp, in session: any Session
  ) throws -> VolumeSnapshot {
    try SnapshotRoutes(cinder: self).make(
      ["name": .string(String(name.prefix(255)))], of: try Lookup.ownVolume(volume, actor, session), for: actor,
      by: Requester(actor, requestID: requestID), at: now, in: session)
  }

  public func makeVolume(
    _ order: ServerVolumeOrder, for actor: Actor, requestID: String, at now: Timestamp, in session: any Session
  ) throws -> Volume {
    var body: JSONObject = [:]
    if let size = order.size { body["size"] = .int(size) }
    if let type = order.type { body["volume_type"] = .string(type) }
    switch order.source {
    case .image(let id): body["imageRef"] = .string(id)
    case .snapshot(let id): body["snapshot_id"] = .string(id)
    case .volume(let id): body["source_volid"] = .string(id)
    case .blank: break
    }
    return try VolumeRoutes(cinder: self).make(
      body, for: actor, by: Requester(actor, requestID: requestID), at: now, in: session
    ).volume
  }
}
