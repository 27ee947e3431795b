import APISupport
import Conductor
import Domain
import Store
import Wire

/// The block storage service: Cinder's API v3. Source: Block Storage API reference v3.
public struct CinderAPI: Sendable {
  public struct Settings: Sendable {
    /// The most items of a page.
    public var longestPage = 1000
    public var availabilityZone = "nova"
    /// How long a request waits for a target that it asked for.
    public var attachPatience: Duration = .seconds(30)
    public init() {}
  }
  let database: Database
  let conductor: Conductor
  /// Nil where no images are made of volumes.
  let images: (any ImageCatalog)?
  let settings: Settings

  public init(
    database: Database, conductor: Conductor, images: (any ImageCatalog)? = nil, settings: Settings = Settings()
  ) {
    self.database = database
    self.images = images
    self.conductor = conductor
    self.settings = settings
  }

  public var service: Service {
    Service(
      name: "cinder", type: "block-storage", prefix: "/volume", catalogSuffix: "/v3", errorShape: .compute,
      isProjectInPath: true, decorate: VolumeMicroversion.decorate,
      endpoints: VersionRoutes().endpoints + VolumeRoutes(cinder: self).endpoints
        + VolumeMetadataRoutes(cinder: self).endpoints + VolumeActionRoutes(cinder: self).endpoints
        + SnapshotRoutes(cinder: self).endpoints + VolumeTypeRoutes(cinder: self).endpoints
        + AttachmentRoutes(cinder: self).endpoints + BackupRoutes(cinder: self).endpoints
        + TransferRoutes(cinder: self).endpoints
        + QuotaSetRoutes(cinder: self).endpoints + SiteRoutes(cinder: self).endpoints)
  }

  /// Counts inside the transaction that takes more.
  /// - Throws: 413 `overLimit`.
  func requireQuota(
    _ resource: VolumeResource, adding: Int, project: String, in session: any Session
  ) throws {
    let limit = try VolumeStore.limits(project: project, in: session)[resource.rawValue] ?? resource.usualLimit
    guard limit >= 0 else { return }
    let used = try VolumeStore.used(resource, project: project, in: session)
    guard used + adding > limit else { return }
    let sentence =
      switch resource {
      case .volumes: "VolumeLimitExceeded: Maximum number of volumes allowed (\(limit)) exceeded for quota 'volumes'."
      case .snapshots:
        "SnapshotLimitExceeded: Maximum number of snapshots allowed (\(limit)) exceeded for quota 'snapshots'."
      case .gigabytes, .backupGigabytes:
        "VolumeSizeExceedsAvailableQuota: Requested volume or snapshot exceeds allowed \(resource.rawValue) quota. Requested \(adding)G, quota is \(limit)G and \(used)G has been consumed."
      case .perVolumeGigabytes:
        "VolumeSizeExceedsLimit: Requested volume size \(adding)G is larger than maximum allowed limit \(limit)G."
      default: "OverQuota: Maximum number of \(resource.rawValue) allowed (\(limit)) exceeded."
      }
    throw APIError(.contentTooLarge, sentence, type: "overLimit")
  }
  /// Room for a volume of this size.
  func requireRoom(volumes: Int, gigabytes: Int, size: Int, project: String, in session: any Session) throws {
    if volumes > 0 { try requireQuota(.volumes, adding: volumes, project: project, in: session) }
    try requireQuota(.gigabytes, adding: gigabytes, project: project, in: session)
    try requireQuota(.perVolumeGigabytes, adding: size, project: project, in: session)
  }
}

extension EndpointRule {
  /// Members of a project, with their own project's volumes; what they may touch is ``VolumePolicy``.
  static func member(_ name: String) -> EndpointRule {
    EndpointRule("volume:\(name)", "a member, with their own project's volumes") { VolumePolicy.isMember($0) }
  }
}

/// What the caller may see and change; foreign and nonexistent are one answer.
enum Lookup {
  static func volume(_ id: String, _ actor: Actor, _ session: any Session) throws -> Volume {
    guard let volume = try VolumeStore.get(id.lowercased(), in: session),
      VolumePolicy.sees(project: volume.projectID, actor)
    else { throw APIError.notFound("Volume \(id) could not be found.") }
    return volume
  }
  static func ownVolume(_ id: String, _ actor: Actor, _ session: any Session) throws -> Volume {
    let volume = try volume(id, actor, session)
    guard VolumePolicy.mayChange(project: volume.projectID, actor) else {
      throw APIError.forbidden("Policy doesn't allow you to change volume \(id).")
    }
    return volume
  }
  static func snapshot(_ id: String, _ actor: Actor, _ session: any Session) throws -> VolumeSnapshot {
    guard let snapshot = try VolumeSnapshotStore.get(id.lowercased(), in: session),
      VolumePolicy.sees(project: snapshot.projectID, actor)
    else { throw APIError.notFound("Snapshot \(id) could not be found.") }
    return snapshot
  }
  static func ownSnapshot(_ id: String, _ actor: Actor, _ session: any Session) throws -> VolumeSnapshot {
    let snapshot = try snapshot(id, actor, session)
    guard VolumePolicy.mayChange(project: snapshot.projectID, actor) else {
      throw APIError.forbidden("Policy doesn't allow you to change snapshot \(id).")
    }
    return snapshot
  }
  /// A type by its id or name.
  static func type(_ ident: String, _ actor: Actor, _ session: any Session) throws -> VolumeType {
    let found = try VolumeTypeStore.get(ident, in: session) ?? VolumeTypeStore.named(ident, in: session)
    guard let type = found, try sees(type, actor, session) else {
      throw APIError.notFound("Volume type \(ident) could not be found.")
    }
    return type
  }
  private static func sees(_ type: VolumeType, _ actor: Actor, _ session: any Session) throws -> Bool {
    if type.isPublic || actor.isSiteReader { return true }
    guard let project = actor.projectID else { return false }
    return try VolumeTypeStore.projects(of: type.id, in: session).contains(project)
  }
}

/// Reading what clients write.
enum Reading {
  static func object(_ body: JSONObject, _ name: String) throws -> JSONObject {
    guard let object = body[name]?.object else {
      throw APIError.badRequest("Missing required element '\(name)' in request body.")
    }
    return object
  }
  /// A name or a description: at most 255 characters; nil where it is absent or null.
  static func text(_ value: JSON?, _ name: String) throws -> String? {
    switch value {
    case nil, .null?: return nil
    case .string(let text)? where text.count <= 255: return text.trimmed
    default:
      throw APIError.badRequest(
        "Invalid input for field/attribute \(name): a text of at most 255 characters is expected.")
    }
  }
  /// Pairs of texts.
  static func metadata(_ value: JSON?, _ name: String = "metadata") throws -> JSONObject {
    guard let value, !value.isNull else { return [:] }
    guard let object = value.object, object.count <= 128 else {
      throw APIError.badRequest("Invalid input for field/attribute \(name): at most 128 pairs of texts are expected.")
    }
    var pairs = JSONObject()
    for member in object {
      guard (1...255).contains(member.key.count) else {
        throw APIError.badRequest("Invalid input for field/attribute \(name): keys have 1 to 255 characters.")
      }
      guard let text = member.value.string, text.count <= 255 else {
        throw APIError.badRequest(
          "Invalid input for field/attribute \(name): values are texts of at most 255 characters.")
      }
      pairs[member.key] = .string(text)
    }
    return pairs
  }
  /// GiB, as a number or in digits.
  static func size(_ value: JSON?) throws -> Int? {
    guard let value, !value.isNull else { return nil }
    guard let size = value.lenientInt, size > 0 else {
      throw APIError.badRequest(
        "Invalid volume size provided for create request: a whole number of GiB above 0 is expected.")
    }
    guard size <= Volume.largestSize else {
      throw APIError.badRequest("A volume has at most \(Volume.largestSize) GiB.")
    }
    return size
  }
  static func bool(_ value: JSON?, _ name: String) throws -> Bool? {
    switch value {
    case nil, .null?: return nil
    case .bool(let flag)?: return flag
    case .string(let text)?:
      switch text.lowercased() {
      case "true", "1", "t", "yes", "y", "on": return true
      case "false", "0", "f", "no", "n", "off": return false
      default: break
      }
    case .int(1)?: return true
    case .int(0)?: return false
    default: break
    }
    throw APIError.badRequest("Invalid input for field/attribute \(name): true or false is expected.")
  }
  static func id(_ value: JSON?, _ name: String) throws -> String? {
    guard let value, !value.isNull else { return nil }
    guard let text = value.string, Identifier.isUUID(text) else {
      throw APIError.badRequest("Invalid input for field/attribute \(name): a UUID is expected.")
    }
    return text.lowercased()
  }
}

extension String {
  fileprivate var trimmed: String {
    var text = self[...]
    while let first = text.first, first.isWhitespace { text = text.dropFirst() }
    while let last = text.last, last.isWhitespace { text = text.dropLast() }
    return String(text)
  }
}
