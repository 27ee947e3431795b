import Wire

/// A project's right to a resource for a time. Source: design notes, compat-esi §1 (ESI-Leap's `Lease`).
public struct Lease: Sendable, Equatable {
  /// The words are ESI-Leap's.
  public enum Status: String, Sendable, CaseIterable {
    case created, active, error, deleted, expired
    /// Its start is being brought about.
    case waitFulfill = "wait fulfill"
    /// It was deleted, and its resource is being taken back.
    case waitCancel = "wait cancel"
    /// Its time ran out, and its resource is being taken back.
    case waitExpire = "wait expire"

    /// Holds its resource: no other lease may overlap. Those that wait do too, unlike upstream, where a node could be
    /// given to the next one before it was taken from the last.
    public var isLive: Bool { self != .deleted && self != .expired }
    /// Its resource is being taken back; access has ended.
    public var isEnding: Bool { self == .waitCancel || self == .waitExpire }
    /// What `GET /v1/leases` shows when no status is asked for.
    public static let shownByDefault: [Status] = allCases.filter(\.isLive)
  }
  public var uuid: String
  /// Need not be unique.
  public var name: String?
  /// The lessee.
  public var projectID: String
  public var ownerID: String
  public var resourceType: String
  public var resourceUUID: String
  /// Half-open: a lease may begin in the instant in which another ends.
  public var time: TimeRange
  /// When the resource was handed over, and when it was taken back.
  public var fulfilledAt: Timestamp?
  public var endedAt: Timestamp?
  public var status: Status
  public var properties: JSONObject
  public var purpose: String?
  public var offerUUID: String?
  /// The lease out of which the lessee sub-leases.
  public var parentUUID: String?
  public var createdAt: Timestamp

  public init(
    uuid: String, name: String? = nil, projectID: String, ownerID: String,
    resourceType: String = Lease.defaultResourceType,
    resourceUUID: String, time: TimeRange, status: Status = .created, properties: JSONObject = [:],
    purpose: String? = nil,
    offerUUID: String? = nil, parentUUID: String? = nil, createdAt: Timestamp
  ) {
    self.uuid = uuid
    self.name = name
    self.projectID = projectID
    self.ownerID = ownerID
    self.resourceType = resourceType
    self.resourceUUID = resourceUUID
    self.time = time
    self.status = status
    self.properties = properties
    self.purpose = purpose
    self.offerUUID = offerUUID
    self.parentUUID = parentUUID
    self.createdAt = createdAt
  }

  /// A bare-metal node of this site; the only type there is.
  public static let defaultResourceType = "ironic_node"
}

/// Why a lease ends.
public enum LeaseEnd: String, Sendable {
  case deleted, expired

  /// While its resource is being taken back.
  public var waiting: Lease.Status { self == .deleted ? .waitCancel : .waitExpire }
  public var final: Lease.Status { self == .deleted ? .deleted : .expired }
}

/// How long leases are. Source: ESI-Leap's configuration `default_lease_time`, `max_lease_time`.
public struct LeaseSettings: Sendable {
  public var defaultLength: Duration
  /// Only the site's administrators may exceed it.
  public var maximumLength: Duration
  public init(defaultLength: Duration = .seconds(7 * 86_400), maximumLength: Duration = .seconds(21 * 86_400)) {
    self.defaultLength = defaultLength
    self.maximumLength = maximumLength
  }
}
