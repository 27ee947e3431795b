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
          let offer = try self.offer(id, actor, statuses: .all, in: session)
          return try answer(.ok, offer, now: request.now, in: session)
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
  /// - Throws: 404, 409 when several have the name.
  func offer(_ id: String, _ actor: Actor, statuses: OfferStore.Filter.Statuses, in session: any Session) throws
    -> Offer
  {
    var filter = OfferStore.Filter()
    if Identifier.isUUID(id) { filter.uuid = id.lowercased() } else { filter.name = id }
    filter.statuses = statuses
    let lineage = try actor.projectID.map { try ProjectStore.lineage($0, in: session) } ?? []
    let found = try OfferStore.list(filter, in: session).filter { LeasePolicy.sees($0, actor, lineage: lineage) }
    guard found.count < 2 else { throw APIError.conflict("Duplicate offers with name \(id).") }
    guard let offer = found.first else { throw Refusal.missing("offer", id) }
    return offer
  }
  private func answer(
    _ status: HTTPResponse.Status, _ offer: Offer, now: Timestamp, in session: any Session
  ) throws -> APIResponse {
    var names = names(session, .offer)
    var writer = JSONWriter(capacity: 2048)
    try write(offer, to: &writer, &names, now: now, in: session)
    return APIResponse(status, writer)
  }
  private func write(
    _ offer: Offer, to writer: inout JSONWriter, _ names: inout LeapNames, now: Timestamp, in session: any Session
  ) throws {
    writer.beginObject()
    writer.member("name", offer.name)
    writer.member("uuid", offer.uuid)
    writer.member("project_id", offer.projectID)
    writer.member("project", try names.project(offer.projectID))
    writer.member("lessee_id", offer.lesseeID)
    writer.member("lessee", try names.project(offer.lesseeID))
    writer.raw(try names.resource(type: offer.resourceType, id: offer.resourceUUID))
    writer.member("start_time", offer.time.start)
    writer.member("end_time", offer.time.end)
    writer.member("status", offer.status.rawValue)
    writer.member("properties", .object(offer.properties))
    writer.key("availabilities")
    writer.beginArray()
    if offer.status == .available {
      let taken = try LeaseStore.taken(at: LeaseStore.Place(offer), within: offer.time, in: session)
      for range in LeaseArithmetic.availabilities(of: offer.time, taken: taken, now: now) {
        writer.beginArray()
        writer.value(range.start)
        writer.value(range.end)
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
    case nil: filter.statuses = .open
    case "any"?: filter.statuses = .all
    case let word?: filter.statuses = .only(Offer.Status(rawValue: word).map { [$0] } ?? [])
    }
    filter.resourceType = query["resource_type"]
    filter.resourceClass = query["resource_class"]
    return try await database.read { [filter] session in
      var filter = filter
      if let project = query["project_id"] {
        // Who may not look at all projects is not told which there are: one that is not there offers nothing.
        filter.projectID =
          LeasePolicy.isAdmin(actor) || actor.isSiteReader
          ? try LeapLookup.project(project, actor, in: session).id
          : try ProjectStore.byNameOrID(project, in: session).first?.id ?? ""
      }
      if let resource = query["resource_uuid"] {
        filter.resourceUUID = try resourceID(resource, in: session)
      }
      let lineage = try actor.projectID.map { try ProjectStore.lineage($0, in: session) } ?? []
      var names = names(session, .offer)
      var offers = try OfferStore.list(filter, in: session).filter { LeasePolicy.sees($0, actor, lineage: lineage) }
      if let available {
        // `--now` asks up to the end of time, by which it means: now.
        let wanted =
          available.end >= Self.endOfTime ? TimeRange(available.start, available.start + .microseconds(1)) : available
        offers = try offers.filter { offer in
          try offer.time.contains(wanted) && LeaseStore.isFree(wanted, at: LeaseStore.Place(offer), in: session)
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
    try check(type: type)
    let asked = try input.required("resource_uuid", limit: 255)
    let name = try input.text("name", limit: 35)
    let lessee = try input.text("lessee_id", limit: 255)
    let properties = try input.object("properties")
    try checkMaximum(properties)
    let (givenStart, givenEnd) = (try input.time("start_time"), try input.time("end_time"))
    let now = request.now
    return try await database.write { session in
      let resource = try resource(type: type, asked, in: session)
      let start = givenStart ?? now
      let right = try LeapLookup.right(actor, to: resource, asked: asked, start: start, now: now, in: session)
      let range = TimeRange(start, givenEnd ?? right.parent?.time.end ?? .distantFuture)
      guard range.isValid else { throw Refusal.timeRange("an offer", range) }
      guard range.end > now else { throw Refusal.past("offer", range.end) }
      if let parent = right.parent, !parent.time.contains(range) {
        throw Refusal.outsideLease(resource.type, resource.uuid, range)
      }
      try requireSettled(resource, in: session)
      let place = resource.place(under: right.parent)
      guard try LeaseStore.isFree(range, at: place, in: session),
        try OfferStore.conflicts(at: place, with: range, in: session).isEmpty
      else { throw Refusal.conflict(resource.type, resource.uuid) }
      let offer = Offer(
        uuid: Identifier.uuid(), name: name, projectID: right.ownerID,
        lesseeID: try lessee.map { try LeapLookup.project($0, actor, in: session).id }, resourceType: resource.type,
        resourceUUID: resource.uuid, time: range, properties: properties, parentUUID: right.parent?.uuid,
        createdAt: now)
      do { try OfferStore.insert(offer, in: session) } catch let error as StoreError where error.kind == .conflict {
        throw Refusal.conflict(resource.type, resource.uuid)
      }
      try EventStore.append("create.end", offer: offer, at: now, in: session)
      conductor.leaseChanged(due: offer.time.end, in: session)
      return try answer(.created, offer, now: now, in: session)
    }
  }
  /// - Throws: 400 when the longest lease of an offer is no length.
  private func checkMaximum(_ properties: JSONObject) throws {
    let days: Double
    switch properties[Offer.maximumLengthProperty] {
    case nil: return
    case .int(let number)?: days = Double(number)
    case .double(let number)?: days = number
    case let other?:
      throw APIError.badRequest(
        "Invalid \(Offer.maximumLengthProperty) \(other): the longest lease that may be claimed is a number of days.")
    }
    guard days > 0, days <= 36_525 else {
      throw APIError.badRequest(
        "Invalid \(Offer.maximumLengthProperty) \(days): more than 0 and at most 36525 days are expected.")
    }
  }

  /// DELETE /v1/offers/{offer}. What was claimed from it is cancelled with it, as by ESI-Leap; `keep_leases`, an addition,
  /// lets it run to its end.
  private func deleteOffer(_ request: APIRequest) async throws -> APIResponse {
    let actor = try request.actor()
    try request.allowOnly(["keep_leases"])
    let keepsLeases = try request.query.bool("keep_leases") ?? settings.keepsLeasesOfWithdrawnOffers
    let id = try request.parameter("offer")
    try await database.write { session in
      let offer = try offer(id, actor, statuses: .open, in: session)
      guard LeasePolicy.mayDelete(offer, actor) else { throw Refusal.access("offer", offer.uuid) }
      try conductor.withdraw(offer, keepsLeases: keepsLeases, in: session)
    }
    return APIResponse(json: .null)
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
        "parent_lease_uuid", "status_reason",
      ])
    let (givenStart, givenEnd) = (try input.time("start_time"), try input.time("end_time"))
    let now = request.now
    let name = try input.text("name", limit: 255)
    let purpose = try input.text("purpose", limit: 255)
    let properties = try input.object("properties")
    return try await database.write { session in
      let offer = try offer(id, actor, statuses: .only([.available]), in: session)
      let resource: LeaseResource
      do {
        resource = try self.resource(type: offer.resourceType, offer.resourceUUID, in: session)
      } catch let error as APIError where error.status == .notFound {
        throw Self.void(offer)
      }
      // The node may have got another owner since it was offered.
      guard offer.parentUUID != nil || resource.owner == nil || resource.owner == offer.projectID else {
        throw Self.void(offer)
      }
      try requireSettled(resource, in: session)
      let start = givenStart ?? max(now, offer.time.start)
      let (place, longest) = (LeaseStore.Place(offer), longest(offer))
      let next = try LeaseStore.first(at: place, endingAfter: start, in: session)
      let following = next.flatMap { $0.time.start > start ? $0.time.start : nil }
      let range = TimeRange(
        start,
        givenEnd
          ?? LeaseArithmetic.defaultEnd(
            start: start, settings: settings, longest: longest, limit: offer.time.end, next: following))
      guard range.isValid || givenEnd == nil else { throw Refusal.timeRange("a lease", range) }
      if givenEnd != nil, !LeasePolicy.isAdmin(actor), range.length > longest { throw Refusal.length(range, longest) }
      guard range.isValid, range.end > now, offer.time.contains(range), (next?.time.start ?? range.end) >= range.end
      else { throw Refusal.noAvailability(offer, range) }
      var lease = Lease(
        uuid: Identifier.uuid(), name: name, projectID: project, ownerID: offer.projectID,
        resourceType: offer.resourceType, resourceUUID: offer.resourceUUID, time: range, properties: properties,
        purpose: purpose, offerUUID: offer.uuid, parentUUID: offer.parentUUID, createdAt: now)
      lease.resourceClass = resource.resourceClass
      return try create(lease, else: Refusal.noAvailability(offer, range), at: now, in: session)
    }
  }
  private static func void(_ offer: Offer) -> APIError {
    .conflict("The node of offer \(offer.uuid) is no longer its maker's to lease: the offer is void.")
  }
}
