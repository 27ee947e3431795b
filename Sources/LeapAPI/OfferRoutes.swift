import APISupport
import Domain
import HTTPTypes
import Store
import Wire

/// Offers. Source: design notes, compat-esi §1.1, §1.2.
extension LeapAPI {
  var offerEndpoints: [Endpoint] {
    [
      Endpoint(.get, "/v1/offers", rule("offer:get_all", "owners and lessees"), "list offers", handler: listOffers),
      Endpoint(
        .post, "/v1/offers", rule("offer:create", "the node's owner, its lessee, and administrators"), "offer a node",
        handler: createOffer),
      Endpoint(.get, "/v1/offers/{offer}", rule("offer:get", "owners, and lessees whom it is for"), "show an offer") {
        request in
        let actor = try request.actor()
        try request.allowOnly([])
        guard LeasePolicy.mayRead(actor) else { throw Refusal.rule("offer:get") }
        let id = try request.parameter("offer")
        return try await database.read { session in
          let offer = try self.offer(id, actor, statuses: nil, in: session)
          var names = LeapNames(session)
          var writer = JSONWriter()
          try write(offer, to: &writer, &names, now: request.now, in: session)
          return APIResponse(.ok, writer)
        }
      },
      Endpoint(
        .delete, "/v1/offers/{offer}", rule("offer:delete", "its project, and administrators"),
        "withdraw an offer and its leases", handler: deleteOffer),
      Endpoint(
        .post, "/v1/offers/{offer}/claim", rule("offer:claim", "owners and lessees whom it is for"),
        "lease what is offered", handler: claimOffer),
    ]
  }
  /// The handlers refuse in upstream's words, so the rule lets every token through.
  func rule(_ name: String, _ summary: String) -> EndpointRule {
    EndpointRule("esi_leap:" + name, summary) { _ in true }
  }

  /// An offer by UUID or name that the caller may see.
  /// - Parameter statuses: those that count; nil for all.
  /// - Throws: 404, 409 when several have the name.
  func offer(_ id: String, _ actor: Actor, statuses: [Offer.Status]?, in session: any Session) throws -> Offer {
    var filter = OfferStore.Filter()
    if Identifier.isUUID(id) { filter.uuid = id.lowercased() } else { filter.name = id }
    filter.statuses = statuses
    let lineage = try actor.projectID.map { try ProjectStore.lineage($0, in: session) } ?? []
    let found = try OfferStore.list(filter, in: session).filter { LeasePolicy.sees($0, actor, lineage: lineage) }
    guard found.count < 2 else { throw APIError.conflict("Duplicate offers with name \(id).") }
    guard let offer = found.first else { throw Refusal.missing("offer", id) }
    return offer
  }
  /// When an offer's node is leased already.
  func taken(_ offer: Offer, in session: any Session) throws -> [TimeRange] {
    try LeaseStore.conflicts(
      resource: offer.resourceUUID, type: offer.resourceType, parent: offer.parentUUID, with: offer.time, in: session
    ).map(\.time)
  }

  func write(
    _ offer: Offer, to writer: inout JSONWriter, _ names: inout LeapNames, now: Timestamp, in session: any Session
  ) throws {
    let node = try names.node(offer.resourceUUID)
    writer.beginObject()
    writer.member("name", offer.name)
    writer.member("uuid", offer.uuid)
    writer.member("project_id", offer.projectID)
    writer.member("project", try names.project(offer.projectID))
    writer.member("lessee_id", offer.lesseeID)
    writer.member("lessee", try names.project(offer.lesseeID))
    writer.member("resource_type", offer.resourceType)
    writer.member("resource_uuid", offer.resourceUUID)
    writer.member("resource", node.map { $0.name ?? "" } ?? "unknown-name")
    writer.member("resource_class", node.map { $0.resourceClass ?? "" } ?? "unknown-class")
    writer.member("resource_properties", .object(LeapNames.shownProperties(node)))
    writer.member("start_time", offer.time.start.iso8601)
    writer.member("end_time", offer.time.end.iso8601)
    writer.member("status", offer.status.rawValue)
    writer.member("properties", .object(offer.properties))
    writer.key("availabilities")
    writer.beginArray()
    if offer.status == .available {
      for range in LeaseArithmetic.availabilities(of: offer.time, taken: try taken(offer, in: session), now: now) {
        writer.beginArray()
        writer.value(range.start.iso8601)
        writer.value(range.end.iso8601)
        writer.endArray()
      }
    }
    writer.endArray()
    writer.member("parent_lease_uuid", offer.parentUUID)
    writer.endObject()
  }

  private func listOffers(_ request: APIRequest) async throws -> APIResponse {
    let actor = try request.actor()
    guard LeasePolicy.mayRead(actor) else { throw Refusal.rule("offer:get_all") }
    try request.allowOnly([
      "project_id", "resource_type", "resource_class", "resource_uuid", "start_time", "end_time",
      "available_start_time",
      "available_end_time", "status", "limit", "marker", "view",
    ])
    let query = request.query
    let covering = try request.queryRange("start_time", "end_time") { start, end in
      "Attempted to get an offer resource without providing both a valid Start Time and End Time. Start Time must be strictly "
        + "less than End Time. Got \(start), \(end)."
    }
    let available = try request.queryRange("available_start_time", "available_end_time") { start, end in
      "Attempted to get an offer resource without providing both a valid Availability Start Time and Availability End Time. "
        + "Availability Start Time must be strictly less than Availability End Time. Got \(start), \(end)."
    }
    var filter = OfferStore.Filter()
    filter.covering = covering
    switch query["status"] {
    case nil: filter.statuses = Offer.Status.shownByDefault
    case "any"?: break
    case let word?: filter.statuses = Offer.Status(rawValue: word).map { [$0] } ?? []
    }
    filter.resourceType = query["resource_type"]
    return try await database.read { [filter] session in
      var filter = filter
      // Offers are public, so which project makes some is no secret.
      if let project = query["project_id"] { filter.projectID = try LeapLookup.project(project, actor, in: session).id }
      if let resource = query["resource_uuid"] {
        filter.resourceUUID = try NodeStore.find(resource, in: session)?.uuid ?? resource
      }
      let lineage = try actor.projectID.map { try ProjectStore.lineage($0, in: session) } ?? []
      var names = LeapNames(session)
      var offers = try OfferStore.list(filter, in: session).filter { LeasePolicy.sees($0, actor, lineage: lineage) }
      if let resourceClass = query["resource_class"] {
        offers = try offers.filter { try names.node($0.resourceUUID)?.resourceClass == resourceClass }
      }
      if let available {
        // `--now` asks up to the end of time, by which it means: now.
        let wanted =
          available.end >= Self.endOfTime ? TimeRange(available.start, available.start + .microseconds(1)) : available
        offers = try offers.filter { offer in
          try offer.time.contains(wanted) && !taken(offer, in: session).contains { $0.overlaps(wanted) }
        }
      }
      var writer = JSONWriter(capacity: 1024 * (offers.count + 1))
      writer.beginObject()
      writer.key("offers")
      writer.beginArray()
      for offer in try request.page(offers, id: \.uuid) {
        try write(offer, to: &writer, &names, now: request.now, in: session)
      }
      writer.endArray()
      writer.endObject()
      return APIResponse(.ok, writer)
    }
  }
  private static let endOfTime = Timestamp(parsing: "9999-12-31T00:00:00") ?? .distantFuture

  private func createOffer(_ request: APIRequest) async throws -> APIResponse {
    let actor = try request.actor()
    guard LeasePolicy.mayOwn(actor) else { throw Refusal.rule("offer:create") }
    let input = try await LeapInput(
      request, "new_offer",
      accepted: ["name", "lessee_id", "resource_type", "resource_uuid", "start_time", "end_time", "properties"],
      ignored: ["resource_class", "resource_properties"],
      readOnly: [
        "uuid", "project_id", "project", "lessee", "resource", "status", "availabilities", "parent_lease_uuid",
      ])
    let type = try input.text("resource_type", limit: 36)
    try LeapLookup.check(type: type)
    let resource = try input.required("resource_uuid", limit: 255)
    let name = try input.text("name", limit: 35)
    let lessee = try input.text("lessee_id", limit: 255)
    let properties = try input.object("properties")
    let (givenStart, givenEnd) = (try input.time("start_time"), try input.time("end_time"))
    let now = request.now
    return try await database.write { session in
      let node = try LeapLookup.node(type: type, resource, in: session)
      let right = try LeapLookup.right(actor, to: node, asked: resource, now: now, in: session)
      let start = givenStart ?? now
      let range = TimeRange(start, givenEnd ?? right.parent?.time.end ?? .distantFuture)
      guard range.isValid else { throw Refusal.timeRange("an offer", range) }
      guard range.end > now else {
        throw APIError.badRequest("The offer would be over: its end \(range.end.pythonText) is past.")
      }
      if let parent = right.parent, !parent.time.contains(range) {
        throw Refusal.outsideLease(Lease.defaultResourceType, node.uuid, range)
      }
      let offer = Offer(
        uuid: Identifier.uuid(), name: name, projectID: right.ownerID,
        lesseeID: try lessee.map { try LeapLookup.project($0, actor, in: session).id }, resourceUUID: node.uuid,
        time: range,
        properties: properties, parentUUID: right.parent?.uuid, createdAt: now)
      let isTaken =
        try !LeaseStore.conflicts(resource: node.uuid, parent: offer.parentUUID, with: range, in: session).isEmpty
        || !OfferStore.conflicts(resource: node.uuid, parent: offer.parentUUID, with: range, in: session).isEmpty
      guard !isTaken else { throw Refusal.conflict(offer.resourceType, node.uuid) }
      try withConflict(Refusal.conflict(offer.resourceType, node.uuid)) { try OfferStore.insert(offer, in: session) }
      try EventStore.append("create.end", offer: offer, at: now, in: session)
      conductor.leaseChanged(in: session)
      var names = LeapNames(session)
      var writer = JSONWriter()
      try write(offer, to: &writer, &names, now: now, in: session)
      return APIResponse(.created, writer)
    }
  }

  private func deleteOffer(_ request: APIRequest) async throws -> APIResponse {
    let actor = try request.actor()
    try request.allowOnly([])
    let id = try request.parameter("offer")
    try await database.write { session in
      let offer = try offer(id, actor, statuses: Offer.Status.shownByDefault, in: session)
      guard LeasePolicy.mayDelete(offer, actor) else { throw Refusal.access("offer", offer.uuid) }
      try withdraw(offer, at: request.now, in: session)
      conductor.leaseChanged(in: session)
    }
    return APIResponse(json: .null)
  }
  /// Ends the offer and the leases that came from it.
  func withdraw(_ offer: Offer, at now: Timestamp, in session: any Session) throws {
    var filter = LeaseStore.Filter()
    filter.offerUUID = offer.uuid
    filter.statuses = Lease.Status.shownByDefault
    for lease in try LeaseStore.list(filter, in: session) { try cancel(lease, at: now, in: session) }
    try OfferStore.setStatus(.deleted, of: offer.uuid, in: session)
    try EventStore.append("delete.end", offer: offer, at: now, in: session)
  }

  private func claimOffer(_ request: APIRequest) async throws -> APIResponse {
    let actor = try request.actor()
    guard LeasePolicy.mayLease(actor) else { throw Refusal.rule("offer:claim") }
    guard let project = actor.projectID else {
      throw APIError.badRequest("A claim needs a token that is scoped to the project that shall have the lease.")
    }
    let id = try request.parameter("offer")
    let input = try await LeapInput(
      request, "new_lease", accepted: ["name", "start_time", "end_time", "properties", "purpose"],
      ignored: ["project_id", "resource_type", "resource_uuid", "resource_class", "resource_properties"],
      readOnly: [
        "uuid", "project", "owner_id", "owner", "resource", "fulfill_time", "expire_time", "status", "offer_uuid",
        "parent_lease_uuid",
      ])
    let (givenStart, givenEnd) = (try input.time("start_time"), try input.time("end_time"))
    let now = request.now
    let name = try input.text("name", limit: 255)
    let purpose = try input.text("purpose", limit: 255)
    let properties = try input.object("properties")
    return try await database.write { session in
      let offer = try offer(id, actor, statuses: [.available], in: session)
      // The node may have got another owner, or gone, since it was offered.
      guard let node = try NodeStore.get(offer.resourceUUID, in: session),
        offer.parentUUID != nil || node.owner == nil || node.owner == offer.projectID
      else {
        throw APIError.conflict("The node of offer \(offer.uuid) is no longer its maker's to lease: the offer is void.")
      }
      let start = givenStart ?? max(now, offer.time.start)
      let taken = try taken(offer, in: session)
      let range = TimeRange(
        start,
        givenEnd ?? LeaseArithmetic.defaultEnd(start: start, settings: settings, limit: offer.time.end, taken: taken))
      guard range.isValid || givenEnd == nil else { throw Refusal.timeRange("a lease", range) }
      try check(length: range, isGiven: givenEnd != nil, actor, from: start)
      guard range.isValid, range.end > now, offer.time.contains(range), !taken.contains(where: { $0.overlaps(range) })
      else {
        throw Refusal.noAvailability(offer, range)
      }
      let lease = Lease(
        uuid: Identifier.uuid(), name: name, projectID: project, ownerID: offer.projectID,
        resourceType: offer.resourceType,
        resourceUUID: offer.resourceUUID, time: range, properties: properties, purpose: purpose, offerUUID: offer.uuid,
        parentUUID: offer.parentUUID, createdAt: now)
      try withConflict(Refusal.noAvailability(offer, range)) { try LeaseStore.insert(lease, in: session) }
      return try created(lease, at: now, in: session)
    }
  }
}

/// Runs `body`; what the store refuses because of a constraint is answered with `refusal`.
func withConflict(_ refusal: @autoclosure () -> APIError, _ body: () throws -> Void) throws {
  do { try body() } catch let error as StoreError where error.kind == .conflict { throw refusal() }
}
