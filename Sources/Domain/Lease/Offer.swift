import Wire

/// A resource that its owner offers for leasing. Source: design notes, compat-esi §1 (ESI-Leap's `Offer`).
public struct Offer: Sendable, Equatable {
  public enum Status: String, Sendable, CaseIterable {
    case available, expired, deleted, error

    public static let shownByDefault: [Status] = [.available, .error]
  }
  public var uuid: String
  public var name: String?
  public var projectID: String
  /// The only project that may claim it, with those below it; nil for everyone.
  public var lesseeID: String?
  public var resourceType: String
  public var resourceUUID: String
  public var time: TimeRange
  public var status: Status
  public var properties: JSONObject
  /// The longest lease that may be claimed from it; nil when only the site's limit holds. The unmodified client has no
  /// option for it, so it is the property `max_lease_time`, in days, as ESI-Leap's setting of that name.
  public var maximumLength: Duration? {
    switch properties[Self.maximumLengthProperty] {
    case .int(let days)?: .seconds(days * 86_400)
    case .double(let days)?: .seconds(days * 86_400)
    default: nil
    }
  }
  public static let maximumLengthProperty = "max_lease_time"
  /// The lease out of which the lessee offers.
  public var parentUUID: String?
  public var createdAt: Timestamp

  public init(
    uuid: String, name: String? = nil, projectID: String, lesseeID: String? = nil,
    resourceType: String = Lease.defaultResourceType, resourceUUID: String, time: TimeRange,
    status: Status = .available,
    properties: JSONObject = [:], parentUUID: String? = nil, createdAt: Timestamp
  ) {
    self.uuid = uuid
    self.name = name
    self.projectID = projectID
    self.lesseeID = lesseeID
    self.resourceType = resourceType
    self.resourceUUID = resourceUUID
    self.time = time
    self.status = status
    self.properties = properties
    self.parentUUID = parentUUID
    self.createdAt = createdAt
  }
}

/// Something that happened to a lease or an offer, for those who follow `GET /v1/events`.
public struct LeaseEvent: Sendable, Equatable {
  /// Grows by one; clients ask for those after the last that they saw.
  public var id: Int
  /// "esi_leap.lease.fulfill.end".
  public var type: String
  public var at: Timestamp
  /// "lease" or "offer".
  public var objectType: String
  public var objectUUID: String
  public var resourceType: String
  public var resourceUUID: String
  public var lesseeID: String?
  public var ownerID: String?
  /// The resource's class, for counting usage; not on the wire.
  public var resourceClass: String?
  /// What was found, with names of the site's devices: for the administrator, and for webhooks.
  public var detail: String?

  public init(
    id: Int, type: String, at: Timestamp, objectType: String, objectUUID: String, resourceType: String,
    resourceUUID: String,
    lesseeID: String?, ownerID: String?, resourceClass: String? = nil, detail: String? = nil
  ) {
    self.id = id
    self.type = type
    self.at = at
    self.objectType = objectType
    self.objectUUID = objectUUID
    self.resourceType = resourceType
    self.resourceUUID = resourceUUID
    self.lesseeID = lesseeID
    self.ownerID = ownerID
    self.resourceClass = resourceClass
    self.detail = detail
  }
}
