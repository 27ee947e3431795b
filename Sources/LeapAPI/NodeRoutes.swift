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
          var filter = LeaseResourceStore.Filter(scope: Self.scope(actor))
          (filter.owner, filter.lessee) = (try id("owner"), try id("lessee"))
          filter.resourceClass = query["resource_class"]
          let nodes = try request.page(try LeaseResourceStore.nodes(filter, in: session), id: \.uuid)
          let plans = try Plans(of: nodes.count == 1 ? nodes.first : nil, now: request.now, in: session)
          var names = names(session, .lease)
          var writer = JSONWriter(capacity: 512 * (nodes.count + 1))
          writer.beginObject()
          writer.key("nodes")
          writer.beginArray()
          for node in nodes { try write(node, plans, actor, to: &writer, &names) }
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
          var filter = LeaseResourceStore.Filter(scope: Self.scope(actor))
          filter.uuid = try resourceID(id, in: session)
          guard let node = try LeaseResourceStore.nodes(filter, in: session).first else {
            throw Refusal.missingResource(Lease.defaultResourceType, id)
          }
          var names = names(session, .lease)
          var writer = JSONWriter()
          try write(node, try Plans(of: node, now: request.now, in: session), actor, to: &writer, &names)
          return APIResponse(.ok, writer)
        }
      },
    ]
  }
  private static func scope(_ actor: Actor) -> LeaseResourceStore.Scope {
    if LeasePolicy.isAdmin(actor) || actor.isSiteReader { return .everything }
    guard let project = actor.projectID, !actor.roles.isEmpty else { return .nothing }
    return .project(project)
  }

  /// The offers and leases of nodes, now and to come.
  private struct Plans {
    var offers: [String: [Offer]] = [:]
    var leases: [String: [Lease]] = [:]
    let now: Timestamp

    /// - Parameter node: nil for all.
    init(of node: Node?, now: Timestamp, in session: any Session) throws {
      self.now = now
      var available = OfferStore.Filter()
      available.statuses = .only([.available])
      available.resourceUUID = node?.uuid
      offers = Dictionary(grouping: try OfferStore.list(available, in: session), by: \.resourceUUID)
      var live = LeaseStore.Filter()
      live.statuses = .live
      live.resourceUUID = node?.uuid
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
    writer.member("properties", .object(LeapNames.visible(node.properties)))
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
        filter.limit = try request.pageLimit()
        return try await database.read { [filter] session in
          var filter = filter
          if let party = query["lessee_or_owner_id"] {
            filter.partyID = try LeapLookup.ownProject(party, actor, rule: "event:event_admin", in: session)
          } else if !LeasePolicy.isAdmin(actor), !actor.isSiteReader {
            guard let project = actor.projectID else { throw Refusal.rule("event:get_all") }
            filter.partyID = project
          }
          if let resource = query["resource_uuid"] {
            filter.resourceUUID = try resourceID(resource, in: session)
          }
          var writer = JSONWriter(capacity: 4096)
          writer.beginObject()
          writer.key("events")
          writer.beginArray()
          for event in try EventStore.list(filter, in: session) {
            writer.beginObject()
            writer.member("id", event.id)
            writer.member("event_type", event.type)
            writer.member("event_time", event.at)
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
