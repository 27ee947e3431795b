import APISupport
import Domain
import HTTPTypes
import Store
import Wire

/// Nodes as ESI's lists show them, and events. Source: design notes, compat-esi §1.2, §1.7.
extension LeapAPI {
  var nodeEndpoints: [Endpoint] {
    [
      Endpoint(.get, "/v1/nodes", rule("node:get_all", "whoever sees the node"), "nodes with their offers and leases") {
        request in
        let actor = try request.actor()
        try request.allowOnly(["resource_class", "owner", "lessee", "limit", "marker"])
        let query = request.query
        return try await database.read { session in
          // A project that is not there owns no node, and neither does, for the caller, one that it does not see.
          func id(_ name: String) throws -> String? {
            try query[name].map { try ProjectStore.byNameOrID($0, in: session).first?.id ?? "" }
          }
          let (owner, lessee) = (try id("owner"), try id("lessee"))
          let nodes = try NodeStore.list(in: session) { narrow in
            narrow.append("WHERE 1 = 1")
            if let owner { narrow.append("AND owner = ?", .text(owner)) }
            if let lessee { narrow.append("AND lessee = ?", .text(lessee)) }
            if let value = query["resource_class"] { narrow.append("AND resource_class = ?", .text(value)) }
            narrow.append("ORDER BY created_at, uuid")
          }.filter { NodePolicy.sees($0, actor) }
          let plans = try Plans(now: request.now, in: session)
          var names = LeapNames(session)
          var writer = JSONWriter(capacity: 512 * (nodes.count + 1))
          writer.beginObject()
          writer.key("nodes")
          writer.beginArray()
          for node in try request.page(nodes, id: \.uuid) { try write(node, plans, actor, to: &writer, &names) }
          writer.endArray()
          writer.endObject()
          return APIResponse(.ok, writer)
        }
      },
      Endpoint(
        .get, "/v1/nodes/{node}", rule("node:get", "whoever sees the node"), "one node with its offers and leases"
      ) { request in
        let actor = try request.actor()
        try request.allowOnly([])
        let id = try request.parameter("node")
        return try await database.read { session in
          guard let node = try NodeStore.find(id, in: session), NodePolicy.sees(node, actor) else {
            throw Refusal.missingNode(id)
          }
          var names = LeapNames(session)
          var writer = JSONWriter()
          try write(node, try Plans(now: request.now, in: session), actor, to: &writer, &names)
          return APIResponse(.ok, writer)
        }
      },
    ]
  }

  /// The offers and leases of all nodes, now and to come.
  private struct Plans {
    var offers: [String: [Offer]] = [:]
    var leases: [String: [Lease]] = [:]
    let now: Timestamp

    init(now: Timestamp, in session: any Session) throws {
      self.now = now
      var available = OfferStore.Filter()
      available.statuses = [.available]
      offers = Dictionary(grouping: try OfferStore.list(available, in: session), by: \.resourceUUID)
      var live = LeaseStore.Filter()
      live.statuses = Lease.Status.shownByDefault
      leases = Dictionary(grouping: try LeaseStore.list(live, in: session), by: \.resourceUUID)
    }
  }

  private func write(
    _ node: Node, _ plans: Plans, _ actor: Actor, to writer: inout JSONWriter, _ names: inout LeapNames
  ) throws {
    let project = actor.projectID
    let seesPlans = LeasePolicy.isAdmin(actor) || actor.isSiteReader || (project != nil && project == node.owner)
    // A lessee is not told who else will have the node.
    let offers = (plans.offers[node.uuid] ?? []).filter { seesPlans || $0.projectID == project }
    let leases = (plans.leases[node.uuid] ?? []).filter {
      seesPlans || $0.projectID == project || $0.ownerID == project
    }
    writer.beginObject()
    writer.member("name", node.name)
    writer.member("owner", try names.project(node.owner))
    writer.member("maintenance", node.maintenance ? "True" : "False")
    writer.member("provision_state", node.provisionState.rawValue)
    writer.member("target_provision_state", node.targetProvisionState)
    writer.member("power_state", node.powerState?.rawValue)
    writer.member("target_power_state", node.targetPowerState?.rawValue)
    writer.member("properties", .object(LeapNames.shownProperties(node)))
    writer.member("resource_class", node.resourceClass)
    writer.member("uuid", node.uuid)
    if let offer = offers.first(where: { $0.time.contains(plans.now) }) { writer.member("offer_uuid", offer.uuid) }
    if let lease = node.leaseUUID { writer.member("lease_uuid", lease) }
    writer.member("lessee", try names.project(node.lessee))
    writer.member("future_offers", offers.filter { $0.time.start > plans.now }.map(\.uuid))
    writer.member("future_leases", leases.filter { $0.time.start > plans.now }.map(\.uuid))
    writer.endObject()
  }

  var eventEndpoints: [Endpoint] {
    [
      Endpoint(
        .get, "/v1/events", rule("event:get_all", "one's own project's; all for administrators"),
        "what happened to leases and offers"
      ) {
        request in
        let actor = try request.actor()
        try request.allowOnly([
          "last_event_id", "lessee_or_owner_id", "last_event_time", "event_type", "resource_type", "resource_uuid",
          "limit",
        ])
        let query = request.query
        var filter = EventStore.Filter()
        filter.afterID = try query.int("last_event_id")
        filter.after = try request.queryTime("last_event_time")
        filter.type = query["event_type"]
        filter.resourceType = query["resource_type"]
        let limit = try query.int("limit")
        return try await database.read { [filter] session in
          var filter = filter
          if let party = query["lessee_or_owner_id"] {
            filter.partyID = try LeapLookup.ownProject(party, actor, rule: "event:event_admin", in: session)
          } else if !LeasePolicy.isAdmin(actor), !actor.isSiteReader {
            guard let project = actor.projectID else { throw Refusal.rule("event:get_all") }
            filter.partyID = project
          }
          if let resource = query["resource_uuid"] {
            filter.resourceUUID = try NodeStore.find(resource, in: session)?.uuid ?? resource
          }
          var writer = JSONWriter(capacity: 4096)
          writer.beginObject()
          writer.key("events")
          writer.beginArray()
          for event in try EventStore.list(filter, in: session).prefix(max(0, limit ?? .max)) {
            writer.beginObject()
            writer.member("id", event.id)
            writer.member("event_type", event.type)
            writer.member("event_time", event.at.iso8601)
            writer.member("object_type", event.objectType)
            writer.member("object_uuid", event.objectUUID)
            writer.member("resource_type", event.resourceType)
            writer.member("resource_uuid", event.resourceUUID)
            writer.member("lessee_id", event.lesseeID)
            writer.member("owner_id", event.ownerID)
            writer.endObject()
          }
          writer.endArray()
          writer.endObject()
          return APIResponse(.ok, writer)
        }
      }
    ]
  }
}
