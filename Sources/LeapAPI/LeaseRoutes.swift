import APISupport
import Domain
import HTTPTypes
import Store
import Wire

/// Leases. Source: design notes, compat-esi §1.1, §1.2, §1.4.
extension LeapAPI {
  private static let parties = "its owner, its lessee, and administrators"

  var leaseEndpoints: [Endpoint] {
    [
      Endpoint(.get, "/v1/leases", rule("lease:get_all", Self.parties), "list leases", handler: listLeases),
      Endpoint(
        .post, "/v1/leases", rule("lease:create", "the node's owner, its lessee, and administrators"),
        "lease a node to a project", handler: createLease),
      Endpoint(.get, "/v1/leases/{lease}", rule("lease:get", Self.parties), "show a lease") { request in
        let actor = try request.actor()
        try request.allowOnly([])
        guard LeasePolicy.mayRead(actor) else { throw Refusal.rule("lease:get") }
        let id = try request.parameter("lease")
        return try await database.read { session in
          let lease = try self.lease(id, actor, statuses: nil, in: session)
          return APIResponse(json: try leaseBody(lease, in: session))
        }
      },
      Endpoint(
        .patch, "/v1/leases/{lease}", rule("lease:update", "its owner, and administrators"), "move a lease's end",
        handler: updateLease),
      Endpoint(.delete, "/v1/leases/{lease}", rule("lease:delete", Self.parties), "end a lease") { request in
        let actor = try request.actor()
        try request.allowOnly([])
        let id = try request.parameter("lease")
        try await database.write { session in
          let lease = try self.lease(id, actor, statuses: Lease.Status.shownByDefault, in: session)
          guard LeasePolicy.mayEnd(lease, actor) else { throw Refusal.access("lease", lease.uuid) }
          try cancel(lease, at: request.now, in: session)
          conductor.leaseChanged(in: session)
        }
        return APIResponse(json: .null)
      },
    ]
  }

  /// A lease by UUID or name that the caller may see; among several of a name, the live one.
  /// - Throws: 404, 409 when several have the name.
  func lease(_ id: String, _ actor: Actor, statuses: [Lease.Status]?, in session: any Session) throws -> Lease {
    var filter = LeaseStore.Filter()
    if Identifier.isUUID(id) { filter.uuid = id.lowercased() } else { filter.name = id }
    filter.statuses = statuses
    var found = try LeaseStore.list(filter, in: session).filter { LeasePolicy.sees($0, actor) }
    if found.count > 1 {
      let live = found.filter(\.status.isLive)
      if live.count == 1 { found = live }
    }
    guard found.count < 2 else { throw APIError.conflict("Duplicate leases with name \(id).") }
    guard let lease = found.first else { throw Refusal.missing("lease", id) }
    return lease
  }

  func leaseBody(_ lease: Lease, in session: any Session) throws -> JSON {
    var names = LeapNames(session)
    var writer = JSONWriter()
    try write(lease, to: &writer, &names)
    return (try? JSON.parse(writer.bytes)) ?? .null
  }
  func write(_ lease: Lease, to writer: inout JSONWriter, _ names: inout LeapNames) throws {
    let node = try names.node(lease.resourceUUID)
    writer.beginObject()
    writer.member("name", lease.name)
    writer.member("uuid", lease.uuid)
    writer.member("project_id", lease.projectID)
    writer.member("project", try names.project(lease.projectID))
    writer.member("owner_id", lease.ownerID)
    writer.member("owner", try names.project(lease.ownerID))
    writer.member("resource_type", lease.resourceType)
    writer.member("resource_uuid", lease.resourceUUID)
    writer.member("resource_class", node.map { $0.resourceClass ?? "" } ?? "unknown-class")
    writer.member("resource_properties", .object(LeapNames.shownProperties(node)))
    writer.member("resource", node.map { $0.name ?? "" } ?? "unknown-name")
    writer.member("start_time", lease.time.start.iso8601)
    writer.member("fulfill_time", lease.fulfilledAt?.iso8601)
    writer.member("expire_time", lease.endedAt?.iso8601)
    writer.member("end_time", lease.time.end.iso8601)
    writer.member("status", lease.status.rawValue)
    writer.member("properties", .object(lease.properties))
    writer.member("purpose", lease.purpose)
    writer.member("offer_uuid", lease.offerUUID)
    writer.member("parent_lease_uuid", lease.parentUUID)
    writer.endObject()
  }
  /// The end of every way to make a lease: event, timer, answer.
  func created(_ lease: Lease, at now: Timestamp, in session: any Session) throws -> APIResponse {
    try EventStore.append("create.end", lease: lease, at: now, in: session)
    conductor.leaseChanged(in: session)
    var names = LeapNames(session)
    var writer = JSONWriter()
    try write(lease, to: &writer, &names)
    return APIResponse(.created, writer)
  }
  /// - Throws: 403 when someone else than an administrator asks for more than the maximum from `start` on.
  func check(length range: TimeRange, isGiven: Bool, _ actor: Actor, from start: Timestamp) throws {
    guard isGiven, !LeasePolicy.isAdmin(actor), range.end - start > settings.maximumLength else { return }
    let days = settings.maximumLength.wholeMicroseconds / 86_400_000_000
    throw APIError.forbidden(
      "Time range \(range.start.pythonText) - \(range.end.pythonText) is too long. The max time range is \(days) days.")
  }

  private func listLeases(_ request: APIRequest) async throws -> APIResponse {
    let actor = try request.actor()
    guard LeasePolicy.mayRead(actor) else { throw Refusal.rule("lease:get_all") }
    try request.allowOnly([
      "project_id", "start_time", "end_time", "status", "offer_uuid", "view", "owner_id", "resource_type",
      "resource_uuid",
      "resource_class", "purpose", "limit", "marker",
    ])
    let query = request.query
    var filter = LeaseStore.Filter()
    filter.during = try request.queryRange("start_time", "end_time") { start, end in
      "Attempted to get a lease resource without providing both a valid Start Time and End Time. Start Time must be strictly "
        + "less than End Time. Got \(start), \(end)."
    }
    switch query["status"] {
    case nil: filter.statuses = Lease.Status.shownByDefault
    case "any"?: break
    case let word?: filter.statuses = Lease.Status(rawValue: word).map { [$0] } ?? []
    }
    filter.offerUUID = query["offer_uuid"]
    filter.resourceType = query["resource_type"]
    filter.purpose = query["purpose"]
    let seesAll = LeasePolicy.isAdmin(actor) || actor.isSiteReader
    if query["view"] == "all", !seesAll { throw Refusal.rule("lease:lease_admin") }
    return try await database.read { [filter] session in
      var filter = filter
      if let owner = query["owner_id"] {
        filter.ownerID = try LeapLookup.ownProject(owner, actor, rule: "lease:lease_admin", in: session)
        filter.projectID = try query["project_id"].map { try LeapLookup.project($0, actor, in: session).id }
      } else if let project = query["project_id"] {
        filter.projectID = try LeapLookup.ownProject(project, actor, rule: "lease:lease_admin", in: session)
      }
      // Administrators see all: the client's `--all` never reaches the server.
      if !seesAll { filter.partyID = actor.projectID }
      if let resource = query["resource_uuid"] {
        filter.resourceUUID = try NodeStore.find(resource, in: session)?.uuid ?? resource
      }
      var names = LeapNames(session)
      var leases = try LeaseStore.list(filter, in: session)
      if let resourceClass = query["resource_class"] {
        leases = try leases.filter { try names.node($0.resourceUUID)?.resourceClass == resourceClass }
      }
      var writer = JSONWriter(capacity: 1024 * (leases.count + 1))
      writer.beginObject()
      writer.key("leases")
      writer.beginArray()
      for lease in try request.page(leases, id: \.uuid) { try write(lease, to: &writer, &names) }
      writer.endArray()
      writer.endObject()
      return APIResponse(.ok, writer)
    }
  }

  private func createLease(_ request: APIRequest) async throws -> APIResponse {
    let actor = try request.actor()
    guard LeasePolicy.mayOwn(actor) else { throw Refusal.rule("lease:create") }
    let input = try await LeapInput(
      request, "new_lease",
      accepted: [
        "name", "project_id", "resource_type", "resource_uuid", "start_time", "end_time", "properties", "purpose",
      ],
      ignored: ["resource_class", "resource_properties"],
      readOnly: [
        "uuid", "project", "owner_id", "owner", "resource", "fulfill_time", "expire_time", "status", "offer_uuid",
        "parent_lease_uuid",
      ])
    let type = try input.text("resource_type", limit: 36)
    try LeapLookup.check(type: type)
    let resource = try input.required("resource_uuid", limit: 255)
    let lessee = try input.required("project_id", limit: 255)
    let name = try input.text("name", limit: 255)
    let purpose = try input.text("purpose", limit: 255)
    let properties = try input.object("properties")
    let (givenStart, givenEnd) = (try input.time("start_time"), try input.time("end_time"))
    let now = request.now
    return try await database.write { session in
      // The right to the node comes first: who has none learns nothing of projects.
      let node = try LeapLookup.node(type: type, resource, in: session)
      let right = try LeapLookup.right(actor, to: node, asked: resource, now: now, in: session)
      let project = try LeapLookup.project(lessee, actor, in: session)
      let start = givenStart ?? now
      let range = TimeRange(
        start,
        givenEnd
          ?? LeaseArithmetic.defaultEnd(
            start: start, settings: settings, limit: right.parent?.time.end ?? .distantFuture))
      guard range.isValid else { throw Refusal.timeRange("a lease", range) }
      guard range.end > now else {
        throw APIError.badRequest("The lease would be over: its end \(range.end.pythonText) is past.")
      }
      try check(length: range, isGiven: givenEnd != nil, actor, from: start)
      if let parent = right.parent, !parent.time.contains(range) {
        throw Refusal.outsideLease(Lease.defaultResourceType, node.uuid, range)
      }
      let lease = Lease(
        uuid: Identifier.uuid(), name: name, projectID: project.id, ownerID: right.ownerID, resourceUUID: node.uuid,
        time: range,
        properties: properties, purpose: purpose, parentUUID: right.parent?.uuid, createdAt: now)
      guard try OfferStore.conflicts(resource: node.uuid, parent: lease.parentUUID, with: range, in: session).isEmpty
      else {
        throw Refusal.conflict(lease.resourceType, node.uuid)
      }
      try withConflict(Refusal.conflict(lease.resourceType, node.uuid)) { try LeaseStore.insert(lease, in: session) }
      return try created(lease, at: now, in: session)
    }
  }

  private func updateLease(_ request: APIRequest) async throws -> APIResponse {
    let actor = try request.actor()
    let id = try request.parameter("lease")
    let body = try await request.object(limit: 64 << 10)
    guard body.keys == ["end_time"] else { throw APIError.badRequest("Only the end_time field may be updated") }
    guard let text = body["end_time"]?.string, let end = Timestamp(parsing: text) else {
      throw APIError.badRequest("Invalid end_time: a time such as 2026-11-21T08:00:00 (UTC) is expected.")
    }
    let now = request.now
    let json = try await database.write { session in
      var lease = try self.lease(id, actor, statuses: Lease.Status.shownByDefault, in: session)
      guard LeasePolicy.mayMoveEnd(of: lease, actor) else { throw Refusal.access("lease", lease.uuid) }
      guard !lease.status.isEnding else {
        throw APIError.conflict("The lease \(lease.uuid) is ending: its end cannot move.")
      }
      let range = TimeRange(lease.time.start, end)
      guard range.isValid else { throw Refusal.timeRange("a lease", range) }
      guard end > now else {
        throw APIError.badRequest("The end \(end.pythonText) is past: delete the lease to end it now.")
      }
      try check(length: range, isGiven: true, actor, from: max(range.start, now))
      if let added = LeaseArithmetic.added(to: lease.time, endingAt: end) {
        try check(added, isFreeFor: lease, in: session)
      }
      let subOffers = try self.subOffers(of: lease, in: session)
      guard subOffers.allSatisfy({ $0.time.end <= end }),
        try LeaseStore.children(of: lease.uuid, in: session).allSatisfy({ $0.time.end <= end })
      else {
        throw APIError.conflict(
          "The lease \(lease.uuid) has sub-leases or sub-offers after \(end.pythonText): end them first.")
      }
      try withConflict(Refusal.conflict(lease.resourceType, lease.resourceUUID)) {
        try LeaseStore.setEnd(end, of: lease.uuid, in: session)
      }
      lease.time = range
      try EventStore.append("update.end", lease: lease, at: now, in: session)
      conductor.leaseChanged(in: session)
      return try leaseBody(lease, in: session)
    }
    return APIResponse(json: json)
  }
  /// - Throws: 409 when the added time is not to be had, 403 when it leaves the parent lease.
  private func check(_ added: TimeRange, isFreeFor lease: Lease, in session: any Session) throws {
    if let parent = try lease.parentUUID.flatMap({ try LeaseStore.get($0, in: session) }), parent.time.end < added.end {
      throw Refusal.outsideLease(lease.resourceType, lease.resourceUUID, TimeRange(lease.time.start, added.end))
    }
    if let offer = try lease.offerUUID.flatMap({ try OfferStore.get($0, in: session) }), offer.status == .available {
      guard offer.time.end >= added.end else { throw Refusal.noAvailability(offer, added) }
    }
    let offers = try OfferStore.conflicts(
      resource: lease.resourceUUID, parent: lease.parentUUID, with: added, in: session)
    let leases = try LeaseStore.conflicts(
      resource: lease.resourceUUID, parent: lease.parentUUID, with: added, in: session)
    guard offers.allSatisfy({ $0.uuid == lease.offerUUID }), leases.allSatisfy({ $0.uuid == lease.uuid }) else {
      throw Refusal.conflict(lease.resourceType, lease.resourceUUID)
    }
  }
  private func subOffers(of lease: Lease, in session: any Session) throws -> [Offer] {
    var filter = OfferStore.Filter()
    filter.parentUUID = lease.uuid
    filter.statuses = Offer.Status.shownByDefault
    return try OfferStore.list(filter, in: session)
  }

  /// Ends a lease, with what was made out of it. One that never had its node is over at once; from another the conductor takes
  /// the node back, and its lessee has no access from this transaction on.
  func cancel(_ lease: Lease, at now: Timestamp, in session: any Session) throws {
    for offer in try subOffers(of: lease, in: session) {
      try OfferStore.setStatus(.deleted, of: offer.uuid, in: session)
      try EventStore.append("delete.end", offer: offer, at: now, in: session)
    }
    try conductor.endLease(lease, reason: .deleted, in: session)
  }
}
