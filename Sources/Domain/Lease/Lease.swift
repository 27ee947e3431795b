import Wire

/// A project's right to a resource for a time. Source: design notes, compat-esi §1 (ESI-Leap's `Lease`).
public struct Lease: Sendable, Equatable {
  /// The words are ESI-Leap's.
  public enum Status: String, Sendable, CaseIterable {
    case created, active, deleted, expired
    /// The lessee has it, and the machine is broken.
    case error
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
  /// When the resource was handed over, and when the lessee's access to it ended. What lies between is what is charged:
  /// taking a machine back and cleaning it is not the lessee's time.
  public var fulfilledAt: Timestamp?
  public var endedAt: Timestamp?
  public var status: Status
  public var properties: JSONObject
  public var purpose: String?
  public var offerUUID: String?
  /// The lease out of which the lessee sub-leases.
  public var parentUUID: String?
  public var createdAt: Timestamp
  /// The resource's class when the lease was made; what usage is counted by.
  public var resourceClass: String?
  /// Why it waits, or what is wrong with its machine; a sentence for both parties.
  public var statusReason: String?
  /// When its parties are next told that it is about to end; nil when they have been, or are not to be.
  public var noticeAt: Timestamp?

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

  /// A bare-metal node of this site.
  public static let defaultResourceType = "ironic_node"
  /// True when what is leased is a machine that somebody must be given and taken from; false for the things that tests and
  /// rehearsals lease.
  public var isMachine: Bool { resourceType == Self.defaultResourceType }
  /// The resource is the lessee's now.
  public var isHeld: Bool { status == .active || status == .error }
}

/// Why a lease ends.
public enum LeaseEnd: String, Sendable {
  case deleted, expired

  /// While its resource is being taken back.
  public var waiting: Lease.Status { self == .deleted ? .waitCancel : .waitExpire }
  public var final: Lease.Status { self == .deleted ? .deleted : .expired }
}

/// How long leases are, and what else a site decides about them. Source: ESI-Leap's configuration `default_lease_time`,
/// `max_lease_time`, `dummy_node_dir`.
public struct LeaseSettings: Sendable {
  public var defaultLength: Duration
  /// Only the site's administrators may exceed it. An offer may set less (``Offer/maximumLength``).
  public var maximumLength: Duration
  /// How long before a lease's end its parties are told, longest first.
  public var notices: [Duration]
  /// Whether the leases of a withdrawn offer run to their end when the caller does not say.
  public var keepsLeasesOfWithdrawnOffers = false
  /// The folder of `dummy_node` resources, one JSON file each; nil when there are none.
  public var dummyFolder: String?
  /// Whether every name is a `test_node` resource. For load tests.
  public var hasTestNodes = false

  public init(
    defaultLength: Duration = .seconds(7 * 86_400), maximumLength: Duration = .seconds(21 * 86_400),
    notices: [Duration] = [.seconds(86_400), .seconds(3_600)]
  ) {
    self.defaultLength = defaultLength
    self.maximumLength = maximumLength
    self.notices = notices.filter { $0 > .zero }.sorted(by: >)
  }
}
