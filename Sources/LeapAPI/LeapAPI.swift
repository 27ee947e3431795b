import APISupport
import Conductor
import Domain
import HTTPTypes
import Store
import Wire

/// What the lease API asks of the conductor, inside its transactions.
public protocol LeaseConductor: Sendable {
  /// Leases or offers changed: the lease timer looks again after the commit, if it would not by itself before `due`.
  func leaseChanged(due: Timestamp?, in session: any Session)
  /// Ends a lease and its sub-leases: one that never had its node is over at once; from another the node is taken back, and
  /// its lessee has no access from the commit on. Nothing happens to one that has ended or is ending.
  func endLease(_ lease: Lease, reason: LeaseEnd, in session: any Session) throws
  /// Withdraws an offer; the leases that were claimed from it are cancelled first, unless they are to run to their end.
  func withdraw(_ offer: Offer, keepsLeases: Bool, in session: any Session) throws
  /// Where a node's console is kept.
  /// - Throws: when the hardware has none.
  func consoles(of node: Node) async throws -> any NodeConsoles

  /// Starts a copy of a machine's disk; it is off meanwhile, and goes on as it was.
  func backUpDisk(_ node: inout Node, as backup: DiskBackup, by requester: Requester, in session: any Session) throws
  /// Starts to make a machine's disk what a backup says; what is on it is given up.
  func restoreDisk(_ backup: DiskBackup, to node: inout Node, by requester: Requester, in session: any Session) throws
  func deleteDiskBackup(_ backup: DiskBackup, by requester: Requester, in session: any Session) throws
  func keepDiskBackupSchedule(_ schedule: DiskBackupSchedule, isNew: Bool, in session: any Session) throws
}

extension Conductor: LeaseConductor {}

/// The lease API (ESI-Leap v1): offers of nodes, leases of them, and what happened to those.
/// Source: design notes, compat-esi §1.
public struct LeapAPI: Sendable {
  let database: Database
  let conductor: any LeaseConductor
  let settings: LeaseSettings
  let dummies: DummyNodes
  /// Where console tokens are taken: "ws://host:6083"; nil when nowhere.
  let consoleURL: String?

  public init(
    database: Database, conductor: any LeaseConductor, settings: LeaseSettings = LeaseSettings(),
    consoleURL: String? = nil
  ) {
    self.database = database
    self.conductor = conductor
    self.settings = settings
    self.consoleURL = consoleURL
    dummies = DummyNodes(folder: settings.dummyFolder)
  }

  public var service: Service {
    Service(
      name: "esi-leap", type: "lease", prefix: "/lease", errorShape: .lease,
      endpoints: versionEndpoints + offerEndpoints + leaseEndpoints + isolationEndpoints + eraseRecordEndpoints
        + diskBackupEndpoints + diskBackupScheduleEndpoints
        + nodeEndpoints + eventEndpoints
        + consoleTokenEndpoints)
  }

  private var versionEndpoints: [Endpoint] {
    [
      Endpoint(.get, "/", .open, "what this is; for health checks too") { request in
        let version: JSON = [
          "id": "v1", "links": [["href": .string(request.serviceURL + "/v1/"), "rel": "self"]], "status": "CURRENT",
          "min_version": "1.0", "version": "1.1",
        ]
        return APIResponse(
          json: [
            "name": "ESI Leap API", "description": "ESI Leap is an OpenStack service for leasing bare-metal nodes.",
            "default_version": version, "versions": [version],
          ])
      },
      Endpoint(.get, "/v1", .authenticated, "the version document") { request in
        APIResponse(
          .multipleChoices,
          json: [
            "versions": [
              [
                "id": "v1.0", "status": "CURRENT",
                "links": [["href": .string(request.serviceURL + "/v1/"), "rel": "self"]],
              ]
            ]
          ])
      },
    ]
  }
}

/// Refusals in ESI-Leap's words. Source: design notes, compat-esi §1.6 and §5.
enum Refusal {
  static func rule(_ name: String) -> APIError { .forbidden("Access was denied to esi_leap:\(name).") }
  static func access(_ type: String, _ uuid: String) -> APIError { .forbidden("Access was denied to \(type) \(uuid).") }

  /// One that is not there, and one of which the caller may not know. For a UUID both sentences of upstream are in it, which
  /// are told apart there.
  static func missing(_ noun: String, _ id: String) -> APIError {
    let capital = noun.prefix(1).uppercased() + noun.dropFirst()
    let sentence = "\(capital) with name or uuid \(id) not found."
    return .notFound(Identifier.isUUID(id) ? sentence + " Access was denied to \(noun) \(id)." : sentence)
  }
  /// A resource that is not there, and one of which the caller may not know: the same words, with both sentences of upstream.
  static func missingResource(_ type: String, _ id: String) -> APIError {
    guard type == Lease.defaultResourceType else {
      return .notFound("Access was denied to \(type) \(id). No such file or directory")
    }
    let sentence = "Node \(id) could not be found. (HTTP 404)"
    return .notFound(Identifier.isUUID(id) ? sentence + " Access was denied to \(type) \(id)." : sentence)
  }
  static func conflict(_ type: String, _ uuid: String) -> APIError { .conflict("Time conflict for \(type) \(uuid).") }
  static func past(_ noun: String, _ end: Timestamp) -> APIError {
    .badRequest("The \(noun) would be over: its end \(end.pythonText) is past.")
  }
  static func length(_ range: TimeRange, _ longest: Duration) -> APIError {
    let days = longest.inSeconds / 86_400
    let text = days == days.rounded() ? "\(Int(days))" : "\(days)"
    return .forbidden(
      "Time range \(range.start.pythonText) - \(range.end.pythonText) is too long. The max time range is \(text) days.")
  }
  static func noAvailability(_ offer: Offer, _ range: TimeRange) -> APIError {
    .conflict(
      "Offer \(offer.uuid) has no availabilities at given time range \(range.start.pythonText), \(range.end.pythonText)."
    )
  }
  static func timeRange(_ noun: String, _ range: TimeRange) -> APIError {
    .badRequest(
      "Attempted to create \(noun) resource with an invalid Start Time and End Time. Start Time must be strictly less than "
        + "End Time. Got \(range.start.pythonText), \(range.end.pythonText).")
  }
  static func outsideLease(_ type: String, _ uuid: String, _ range: TimeRange) -> APIError {
    .forbidden(
      "You do not have permissions on \(type) \(uuid) for the time range \(range.start.pythonText) - \(range.end.pythonText)."
    )
  }
}
