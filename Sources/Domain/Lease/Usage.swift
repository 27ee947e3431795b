import Wire

/// The time in which one lease held one machine.
public struct LeaseUse: Sendable, Equatable {
  public var leaseUUID: String
  /// The lease out of which it is.
  public var parentUUID: String?
  public var projectID: String
  public var ownerID: String
  /// The machine's class when the lease was made.
  public var resourceClass: String
  /// From the hand-over to the end of access, within the period that was asked for.
  public var time: TimeRange

  public init(
    leaseUUID: String, parentUUID: String?, projectID: String, ownerID: String, resourceClass: String, time: TimeRange
  ) {
    self.leaseUUID = leaseUUID
    self.parentUUID = parentUUID
    self.projectID = projectID
    self.ownerID = ownerID
    self.resourceClass = resourceClass
    self.time = time
  }
}

/// Machine time by who had it, whose it was, and of which class.
///
/// A lessee that sub-leases has the machine from its owner all the time, and gives part of that on: the part counts for
/// both, each with its own owner. ``subLeased`` is what a group has given on, so the time of all groups less what they gave
/// on is the time for which machines were leased at all.
public struct Usage: Sendable, Equatable {
  public enum Dimension: String, Sendable, CaseIterable { case project, owner, `class` }
  public struct Key: Sendable, Hashable {
    public var projectID: String?
    public var ownerID: String?
    public var resourceClass: String?
  }
  public var key: Key
  public var leases: Int
  public var time: Duration
  public var subLeased: Duration

  /// Groups what was used.
  public static func sum(_ uses: [LeaseUse], by dimensions: [Dimension]) -> [Usage] {
    var given: [String: Duration] = [:]
    for use in uses { if let parent = use.parentUUID { given[parent, default: .zero] += use.time.length } }
    var groups: [Key: Usage] = [:]
    for use in uses {
      let key = Key(
        projectID: dimensions.contains(.project) ? use.projectID : nil,
        ownerID: dimensions.contains(.owner) ? use.ownerID : nil,
        resourceClass: dimensions.contains(.class) ? use.resourceClass : nil)
      var group = groups[key] ?? Usage(key: key, leases: 0, time: .zero, subLeased: .zero)
      group.leases += 1
      group.time += use.time.length
      group.subLeased += given[use.leaseUUID] ?? .zero
      groups[key] = group
    }
    func order(_ key: Key) -> [String] { [key.projectID ?? "", key.ownerID ?? "", key.resourceClass ?? ""] }
    return groups.values.sorted { order($0.key).lexicographicallyPrecedes(order($1.key)) }
  }
}
