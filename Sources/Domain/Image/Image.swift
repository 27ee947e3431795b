import Wire

/// A disk image. Source: Glance API v2, "Images".
public struct Image: Sendable, Equatable {
  public enum Status: String, Sendable, CaseIterable {
    /// Known, without content.
    case queued
    /// Content is coming in.
    case saving
    /// The content is here and waits for the import.
    case uploading
    /// Content is fetched from the web.
    case importing
    case active
    /// Its content is not given out, and not deployed.
    case deactivated

    /// There is content on the disk.
    public var hasContent: Bool {
      switch self {
      case .queued, .saving, .importing: false
      case .uploading, .active, .deactivated: true
      }
    }
  }
  public enum Visibility: String, Sendable, CaseIterable {
    case `public`, community, shared, `private`
  }

  public var id: String
  public var name: String?
  /// The project that it belongs to.
  public var owner: String
  public var status: Status
  public var visibility: Visibility
  /// "raw", "qcow2", …; nil until the client says.
  public var diskFormat: String?
  public var containerFormat: String?
  /// GiB.
  public var minDisk: Int
  /// MiB.
  public var minRAM: Int
  public var isProtected: Bool
  public var isHidden: Bool
  /// Bytes of the content.
  public var size: Int?
  /// Bytes of the disk that the content describes; nil while that is not known.
  public var virtualSize: Int?
  /// Hashes of the content, lower-case hex.
  public var md5: String?
  public var sha512: String?
  /// The upload that is going on: one at a time may finish.
  public var uploadID: String?
  /// Free properties; the values are texts.
  public var properties: JSONObject
  /// In ascending order.
  public var tags: [String]
  public var createdAt: Timestamp
  public var updatedAt: Timestamp

  /// What its owner says that the content is; nil until both formats are said.
  public var declared: ImageContent.Declared? {
    guard let diskFormat, let containerFormat else { return nil }
    return ImageContent.Declared(format: diskFormat, isCompressed: containerFormat == "compressed")
  }

  /// The images of the kernel and the ramdisk that belong to it. Source: Glance, "Common image properties".
  public var kernelAndRamdisk: (kernel: String, ramdisk: String)? {
    guard let kernel = properties["kernel_id"]?.string, let ramdisk = properties["ramdisk_id"]?.string,
      !kernel.isEmpty, !ramdisk.isEmpty
    else { return nil }
    return (kernel, ramdisk)
  }
  /// It is no disk: a machine runs its kernel and its ramdisk from memory, at every boot anew.
  public var isStateless: Bool {
    ["aki", "ami", "ari"].contains(diskFormat) && kernelAndRamdisk != nil
  }

  public init(
    id: String = Identifier.uuid(), name: String? = nil, owner: String, visibility: Visibility = .shared,
    createdAt: Timestamp
  ) {
    self.id = id
    self.name = name
    self.owner = owner
    self.visibility = visibility
    self.createdAt = createdAt
    status = .queued
    updatedAt = createdAt
    minDisk = 0
    minRAM = 0
    isProtected = false
    isHidden = false
    properties = JSONObject()
    tags = []
  }
}

/// A project that a shared image was offered to.
public struct ImageMember: Sendable, Equatable {
  public enum Status: String, Sendable { case pending, accepted, rejected }
  public var imageID: String
  public var projectID: String
  public var status: Status
  public var createdAt: Timestamp
  public var updatedAt: Timestamp
  public init(imageID: String, projectID: String, createdAt: Timestamp) {
    self.imageID = imageID
    self.projectID = projectID
    self.createdAt = createdAt
    status = .pending
    updatedAt = createdAt
  }
}

extension Image {
  /// Attributes that only the service writes. Source: Glance API reference, "Image schema".
  public static let readOnlyAttributes: Set<String> = [
    "status", "created_at", "updated_at", "size", "virtual_size", "checksum", "os_hash_algo", "os_hash_value", "file",
    "self", "schema", "direct_url", "locations", "stores", "deleted", "deleted_at",
  ]
  /// Names with a meaning of their own; everything else is a free property.
  public static let attributes: Set<String> = readOnlyAttributes.union([
    "id", "name", "owner", "visibility", "tags", "protected", "os_hidden", "min_disk", "min_ram", "disk_format",
    "container_format",
  ])
  /// How many free properties an image has at most.
  public static let mostProperties = 128
}

/// Who may see and change images. Source: Glance's default policy.
public enum ImagePolicy {
  public static func isMember(_ actor: Actor) -> Bool {
    actor.isSiteAdmin || (actor.projectID != nil && actor.hasAny("member", "manager", "admin"))
  }
  /// - Parameter member: the caller's project as a member of the image, whatever it has answered.
  public static func sees(_ image: Image, member: ImageMember?, _ actor: Actor) -> Bool {
    if actor.isSiteReader || actor.projectID == image.owner { return true }
    switch image.visibility {
    case .public, .community: return true
    case .shared: return member != nil && member?.projectID == actor.projectID
    case .private: return false
    }
  }
  public static func mayChange(_ image: Image, _ actor: Actor) -> Bool {
    actor.isSiteAdmin || (actor.projectID == image.owner && isMember(actor))
  }
  /// Public images appear in everybody's list.
  public static func mayPublish(_ actor: Actor) -> Bool { actor.isSiteAdmin }
}
