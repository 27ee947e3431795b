import APISupport
import Domain
import HTTPTypes
import NIOCore
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
          let lease = try self.lease(id, actor, isLive: false, in: session)
          return try answer(.ok, lease: lease.uuid, in: session)
        }
      },
      Endpoint(
        .patch, "/v1/leases/{lease}",
        rule("lease:update", "its owner, its lessee within the longest length, and administrators"),
        "move a lease's end", handler: updateLease),
      Endpoint(.delete, "/v1/leases/{lease}", rule("lease:delete", Self.parties), "end a lease") { request in
        let actor = try request.actor()
        try request.allowOnly([])
        let id = try request.parameter("lease")
        try await database.write { session in
          let lease = try self.lease(id, actor, isLive: true, in: session)
          guard LeasePolicy.mayEnd(lease, actor) else { throw Refusal.access("lease", lease.uuid) }
          try conductor.endLease(lease, reason: .deleted, in: session)
        }
        return APIResponse(json: .null)
      },
    ]
  }

  /// A lease by UUID or name that the caller may see; among several of a name, the live one.
  /// - Throws: 404, 409 when several have the name.
  func lease(_ id: String, _ actor: Actor, isLive: Bool, in session: any Session) throws -> Lease {
    var filter = LeaseStore.Filter()
    if Identifier.isUUID(id) { filter.uuid = id.lowercased() } else { filter.name = id }
    filter.statuses = isLive ? .live : .all
    var found = try LeaseStore.list(filter, in: session).filter { LeasePolicy.sees($0, actor) }
    if found.count > 1 {
      let live = found.filter(\.status.isLive)
      if live.count == 1 { found = live }
    }
    guard found.count < 2 else { throw APIError.conflict("Duplicate leases with name \(id).") }
    guard let lease = found.first else { throw Refusal.missing("lease", id) }
    return lease
  }

  // MARK: Answers

  func answer(_ status: HTTPResponse.Status, lease uuid: String, in session: any Session) throws -> APIResponse {
    var filter = LeaseStore.Filter()
    filter.uuid = uuid
    var names = names(session, .lease)
    var writer = JSONWriter(capacity: 2048)
    try LeaseStore.rows(filter, in: session) { try write($0, to: &writer, &names) }
    return APIResponse(status, writer)
  }
  /// Writes one lease from its row.
  private func write(_ row: borrowing Row, to writer: inout JSONWriter, _ names: inout LeapNames) throws {
    typealias Column = LeaseStore.Column
    let (project, owner) = (row.text(Column.projectID), row.text(Column.ownerID))
    writer.beginObject()
    Self.text("name", row, Column.name, &writer)
    Self.text("uuid", row, Column.uuid, &writer)
    writer.member("project_id", project)
    writer.member("project", try names.project(project))
    writer.member("owner_id", owner)
    writer.member("owner", try names.project(owner))
    writer.raw(try names.resource(type: row.text(Column.resourceType), id: row.text(Column.resourceUUID)))
    writer.member("start_time", row.time(Column.startTime))
    writer.member("fulfill_time", row.optionalTime(Column.fulfilTime))
    writer.member("expire_time", row.optionalTime(Column.expireTime))
    writer.member("end_time", row.time(Column.endTime))
    Self.text("status", row, Column.status, &writer)
    writer.key("properties")
    row.withText(Column.properties) { writer.raw($0) }
    Self.text("purpose", row, Column.purpose, &writer)
    Self.text("offer_uuid", row, Column.offerUUID, &writer)
    Self.text("parent_lease_uuid", row, Column.parentUUID, &writer)
    Self.text("status_reason", row, Column.statusReason, &writer)
    writer.endObject()
  }
  private static func text(_ name: StaticString, _ row: borrowing Row, _ column: Int, _ writer: inout JSONWriter) {
    writer.key(name)
    if row.isNull(column) { writer.null() } else { row.withText(column) { writer.text($0) } }
  }
  /// The end of every way to make a lease: the row, its event, the timer, the answer.
  func create(
    _ lease: Lease, else refusal: @autoclosure () -> APIError, at now: Timestamp, in session: any Session
  ) throws -> APIResponse {
    var lease = lease
    lease.noticeAt = LeaseArithmetic.nextNotice(for: lease.time, settings.notices, after: now)
    do { try LeaseStore.insert(lease, in: session) } catch let error as StoreError where error.kind == .conflict {
      throw refusal()
    }
    try EventStore.append("create.end", lease: lease, at: now, in: session)
    conductor.leaseChanged(due: min(lease.time.start, lease.noticeAt ?? .distantFuture), in: session)
    return try answer(.created, lease: lease.uuid, in: session)
  }

  private func listLeases(_ request: APIRequest) async throws -> APIResponse {
    let actor = try request.actor()
    guard LeasePolicy.mayRead(actor) else { throw Refusal.rule("lease:get_all") }
    try request.allowOnly([
      "project_id", "start_time", "end_time", "status", "offer_uuid", "view", "owner_id", "resource_type",
      "resource_uuid", "resource_class", "purpose", "limit", "marker",
    ])
    let query = request.query
    var filter = LeaseStore.Filter()
    filter.during = try request.queryRange("start_time", "end_time") { start, end in
      "Attempted to get a lease resource without providing both a valid Start Time and End Time. Start Time must be strictly "
        + "less than End Time. Got \(start), \(end)."
    }
    switch query["status"] {
    case nil: filter.statuses = .live
    case "any"?: filter.statuses = .all
    case let word?: filter.statuses = .only(Lease.Status(rawValue: word).map { [$0] } ?? [])
    }
    filter.offerUUID = query["offer_uuid"]
    filter.resourceType = query["resource_type"]
    filter.resourceClass = query["resource_class"]
    filter.purpose = query["purpose"]
    filter.marker = query["marker"]
    filter.limit = try request.pageLimit()
    let seesAll = LeasePolicy.isAdmin(actor) || actor.isSiteReader
    if query["view"] == "all", !seesAll { throw Refusal.rule("lease:lease_admin") }
    let (first, narrowed) = try await database.read { [filter] session in
      var filter = filter
      if let owner = query["owner_id"] {
        filter.ownerID = try LeapLookup.ownProject(owner, actor, rule: "lease:lease_admin", in: session)
        filter.projectID = try query["project_id"].map { try LeapLookup.project($0, actor, in: session).id }
      } else if let project = query["project_id"] {
        filter.projectID = try LeapLookup.ownProject(project, actor, rule: "lease:lease_admin", in: session)
      }
      // Administrators see all: the client's `--all` never reaches the server.
      if !seesAll { filter.partyID = actor.projectID }
      if let resource = query["resource_uuid"] { filter.resourceUUID = try resourceID(resource, in: session) }
      if let marker = filter.marker {
        guard let last = try LeaseStore.get(marker, in: session), LeasePolicy.sees(last, actor) else {
          throw APIRequest.unknownMarker(marker)
        }
      }
      return (try part(of: filter, from: 0, in: session), filter)
    }
    guard first.last != nil else { return APIResponse(.ok, json: first.text) }
    return APIResponse(.ok, contentType: "application/json", length: nil) { writer in
      var part = first, filter = narrowed, count = 0
      while true {
        try await writer.write(part.text)
        guard let last = part.last else { return }
        // Leases are never deleted from the database, so the marker is there.
        filter.marker = last
        count += Self.part
        part = try await database.read { [filter, count] session in try self.part(of: filter, from: count, in: session)
        }
      }
    }
  }

  /// So many leases are read and written at a time: the list of all that ever were has no end that memory could hold.
  private static let part = 1000
  /// Some of the leases of a list, as text.
  private struct ListPart: Sendable {
    let text: ByteBuffer
    /// The last lease; nil when the list ends with it.
    let last: String?
  }
  /// - Parameter count: how many leases of the list were written before.
  private func part(of filter: LeaseStore.Filter, from count: Int, in session: any Session) throws -> ListPart {
    let left = filter.limit.map { $0 - count } ?? .max
    var filter = filter
    filter.limit = min(left, Self.part)
    var names = names(session, .lease)
    var writer = JSONWriter(capacity: 64 << 10, isContinued: count > 0)
    if count == 0 {
      writer.beginObject()
      writer.key("leases")
      writer.beginArray()
    }
    var written = 0
    var last = ""
    try LeaseStore.rows(filter, in: session) { row in
      written += 1
      if written == Self.part { last = row.text(LeaseStore.Column.uuid) }
      try write(row, to: &writer, &names)
    }
    let isEnd = left <= Self.part || written < Self.part
    if isEnd {
      writer.endArray()
      writer.endObject()
    }
    return ListPart(text: ByteBuffer(writer), last: isEnd ? nil : last)
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
        "parent_lease_uuid", "status_reason",
      ])
    let type = try input.text("resource_type", limit: 36)
    try check(type: type)
    let asked = try input.required("resource_uuid", limit: 255)
    let lessee = try input.required("project_id", limit: 255)
    let name = try input.text("name", limit: 255)
    let purpose = try input.text("purpose", limit: 255)
    let properties = try input.object("properties")
    let (givenStart, givenEnd) = (try input.time("start_time"), try input.time("end_time"))
    let now = request.now
    return try await database.write { session in
      // The right to the node comes first: who has none learns nothing of projects.
      let resource = try resource(type: type, asked, in: session)
      let start = givenStart ?? now
      let right = try LeapLookup.right(actor, to: resource, asked: asked, start: start, now: now, in: session)
      let project = try LeapLookup.project(lessee, actor, in: session)
      let limit = right.parent?.time.end ?? .distantFuture
      let range = TimeRange(
        start, givenEnd ?? LeaseArithmetic.defaultEnd(start: start, settings: settings, limit: limit))
      if givenEnd == nil, let parent = right.parent, !range.isValid {
        throw Refusal.outsideLease(resource.type, resource.uuid, TimeRange(start, max(start, parent.time.end)))
      }
      guard range.isValid else { throw Refusal.timeRange("a lease", range) }
      guard range.end > now else { throw Refusal.past("lease", range.end) }
      if givenEnd != nil, !LeasePolicy.isAdmin(actor), range.length > settings.maximumLength {
        throw Refusal.length(range, settings.maximumLength)
      }
      if let parent = right.parent, !parent.time.contains(range) {
        throw Refusal.outsideLease(resource.type, resource.uuid, range)
      }
      try requireSettled(resource, in: session)
      let place = resource.place(under: right.parent)
      guard try OfferStore.conflicts(at: place, with: range, in: session).isEmpty else {
        throw Refusal.conflict(resource.type, resource.uuid)
      }
      var lease = Lease(
        uuid: Identifier.uuid(), name: name, projectID: project.id, ownerID: right.ownerID,
        resourceType: resource.type, resourceUUID: resource.uuid, time: range, properties: properties,
        purpose: purpose, parentUUID: right.parent?.uuid, createdAt: now)
      lease.resourceClass = resource.resourceClass
      return try create(lease, else: Refusal.conflict(resource.type, resource.uuid), at: now, in: session)
    }
  }

  private func updateLease(_ request: APIRequest) async throws -> APIResponse {
    let actor = try request.actor()
    try request.allowOnly([])
    let id = try request.parameter("lease")
    let body = try await request.object(limit: 64 << 10)
    guard body.keys == ["end_time"] else { throw APIError.badRequest("Only the end_time field may be updated") }
    guard let text = body["end_time"]?.string, let end = Timestamp(parsing: text) else {
      throw APIError.badRequest("Invalid end_time: a time such as 2026-11-21T08:00:00 (UTC) is expected.")
    }
    let now = request.now
    return try await database.write { session in
      var lease = try self.lease(id, actor, isLive: true, in: session)
      guard let mover = LeasePolicy.endMover(of: lease, actor) else { throw Refusal.access("lease", lease.uuid) }
      guard !lease.status.isEnding else {
        throw APIError.conflict("The lease \(lease.uuid) is ending: its end cannot move.")
      }
      let range = TimeRange(lease.time.start, end)
      guard range.isValid else { throw Refusal.timeRange("a lease", range) }
      guard end > now else {
        throw APIError.badRequest("The end \(end.pythonText) is past: delete the lease to end it now.")
      }
      if let added = LeaseArithmetic.added(to: lease.time, endingAt: end) {
        try require(added, for: lease, mover, now: now, in: session)
      }
      guard try OfferStore.open(parent: lease.uuid, in: session).allSatisfy({ $0.time.end <= end }),
        try LeaseStore.children(of: lease.uuid, in: session).allSatisfy({ $0.time.end <= end })
      else {
        throw APIError.conflict(
          "The lease \(lease.uuid) has sub-leases or sub-offers after \(end.pythonText): end them first.")
      }
      lease.time = range
      do {
        try LeaseStore.setEnd(
          end, of: lease.uuid, noticeAt: LeaseArithmetic.nextNotice(for: range, settings.notices, after: now),
          in: session)
      } catch let error as StoreError where error.kind == .conflict {
        throw Refusal.conflict(lease.resourceType, lease.resourceUUID)
      }
      try EventStore.append("update.end", lease: lease, at: now, in: session)
      conductor.leaseChanged(due: nil, in: session)
      return try answer(.ok, lease: lease.uuid, in: session)
    }
  }
  /// What a lease may be made longer by.
  /// - Throws: 403 beyond the longest length or the parent lease, 409 when the time is not to be had.
  private func require(
    _ added: TimeRange, for lease: Lease, _ mover: LeasePolicy.EndMover, now: Timestamp, in session: any Session
  ) throws {
    let offer = try lease.offerUUID.flatMap { try OfferStore.get($0, in: session) }
    switch mover {
    case .administrator: break
    case .owner:
      let rest = TimeRange(max(lease.time.start, now), added.end)
      guard rest.length <= settings.maximumLength else { throw Refusal.length(rest, settings.maximumLength) }
    case .lessee:
      // The whole of it: who extends again and again gets no more than who asks for all at once.
      let (whole, longest) = (TimeRange(lease.time.start, added.end), longest(offer))
      guard whole.length <= longest else { throw Refusal.length(whole, longest) }
      if let offer, offer.status != .available || offer.time.end < added.end {
        throw Refusal.noAvailability(offer, added)
      }
    }
    if let parent = try lease.parentUUID.flatMap({ try LeaseStore.get($0, in: session) }), parent.time.end < added.end {
      throw Refusal.outsideLease(lease.resourceType, lease.resourceUUID, TimeRange(lease.time.start, added.end))
    }
    if lease.isMachine, let node = try NodeStore.get(lease.resourceUUID, in: session) {
      try requireSettled(LeaseResource(node: node), in: session)
    }
    let place = LeaseStore.Place(lease)
    guard try OfferStore.conflicts(at: place, with: added, in: session).allSatisfy({ $0.uuid == lease.offerUUID }),
      try LeaseStore.isFree(added, at: place, except: lease.uuid, in: session)
    else { throw Refusal.conflict(lease.resourceType, lease.resourceUUID) }
  }
  /// The longest lease that somebody else than an administrator may have, from an offer or without one.
  func longest(_ offer: Offer?) -> Duration {
    min(offer?.maximumLength ?? settings.maximumLength, settings.maximumLength)
  }
}
