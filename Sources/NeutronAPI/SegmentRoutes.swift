import APISupport
import Domain
import Store
import Wire

/// `/v2.0/segments`: what carries a network. The administrator's. Source: Neutron API reference, "Segments".
///
/// A network's first segment is its own VLAN, under the network's id; it comes and goes with the network.
struct SegmentRoutes: Sendable {
  let neutron: NeutronAPI

  var endpoints: [Endpoint] {
    let path = "/v2.0/segments"
    return [
      Endpoint(.get, path, .siteReader, "Lists segments", handler: list),
      Endpoint(.post, path, .siteAdmin, "Makes a segment", handler: create),
      Endpoint(.get, path + "/{segment}", .siteReader, "Shows a segment", handler: show),
      Endpoint(.put, path + "/{segment}", .siteAdmin, "Changes a segment", handler: update),
      Endpoint(.delete, path + "/{segment}", .siteAdmin, "Deletes a segment", handler: delete),
    ]
  }

  private static let view = ResourceView<NetworkSegment>(
    singular: "segment", plural: "segments", path: "/v2.0/segments", id: { $0.id },
    attributes: [
      .text("id") { $0.id }, .text("network_id") { $0.networkID }, .text("name") { $0.name },
      .text("description") { $0.description }, .text("network_type") { $0.carrier.networkType },
      .optionalText("physical_network") { $0.carrier.physicalNetwork },
      .int("segmentation_id") { $0.carrier.segmentationID }, .int("revision_number") { $0.revision },
      .time("created_at") { $0.createdAt }, .time("updated_at") { $0.updatedAt },
    ])

  private func list(_ request: APIRequest) async throws -> APIResponse {
    let query = request.query
    let segments = try await neutron.database.read { session in
      let networks = try NetworkStore.list(in: session) { sql in
        sql.append("WHERE 1 = 1")
        sql.appendFilter("AND id IN", query.all("network_id"))
        sql.append("ORDER BY created_at, id")
      }
      return try networks.map(\.firstSegment)
        + NetworkSegmentStore.list(in: session) { sql in
          sql.appendFilter("AND network_id IN", query.all("network_id"))
          sql.append("ORDER BY created_at, id")
        }
    }
    return try Self.view.list(segments, request)
  }
  private func show(_ request: APIRequest) async throws -> APIResponse {
    let id = try request.parameter("segment")
    let segment = try await neutron.database.read { session in try Self.segment(id, session) }
    return Self.view.show(segment, request)
  }
  private static func segment(_ id: String, _ session: any Session) throws -> NetworkSegment {
    if let segment = try NetworkSegmentStore.get(id, in: session) { return segment }
    if let network = try NetworkStore.get(id, in: session) { return network.firstSegment }
    throw APIError.notFound("Segment \(id) could not be found.", type: "SegmentNotFound")
  }
  /// One beyond the first, to be changed.
  private static func own(_ id: String, _ session: any Session) throws -> NetworkSegment {
    let segment = try segment(id, session)
    guard segment.id != segment.networkID else {
      throw APIError.conflict(
        "Segment '\(id)' cannot be changed: it is the network's own VLAN, and comes and goes with the network.",
        type: "SegmentInUse")
    }
    return segment
  }

  private static let settable: Set<String> = ["name", "description"]
  private static let onlyAtFirst: Set<String> = [
    "network_id", "network_type", "physical_network", "segmentation_id",
  ]
  private static let known = settable.union(onlyAtFirst).union(view.attributes.map { "\($0.name)" })

  private func create(_ request: APIRequest) async throws -> APIResponse {
    let (actor, now) = (try request.actor(), request.now)
    let body = try await AttributeReader.body(request, "segment")
    let made = try await neutron.database.write { session in
      try body.check(allowed: Self.settable.union(Self.onlyAtFirst), known: Self.known, verb: "POST")
      let network = try Lookup.network(try Self.required("network_id", body), actor, session)
      let carrier = try self.carrier(body, of: network, in: session)
      try self.requireOneControlPlane(network, with: carrier, in: session)
      var segment = NetworkSegment(networkID: network.id, carrier: carrier, createdAt: now)
      if let name = try body.text("name") { segment.name = name }
      if let text = try body.text("description") { segment.description = text }
      do { try NetworkSegmentStore.insert(segment, in: session) } catch let error as StoreError
        where error.kind == .conflict
      {
        throw APIError.conflict(
          "The \(carrier.networkType) segment \(carrier.segmentationID) is in use, or the network has one there, or had one that "
            + "the switches are just being parted from.", type: "SegmentInUse")
      }
      neutron.segmentsChanged(session)
      return segment
    }
    return Self.view.show(made, request, status: .created)
  }

  /// A VNI joins what learns of each other, or it is refused: half a network would look like a whole one.
  private func requireOneControlPlane(
    _ network: Network, with carrier: NetworkSegment.Carrier, in session: any Session
  ) throws {
    let carriers = try NetworkSegmentStore.list(network: network.id, in: session).map(\.carrier) + [carrier]
    guard carriers.contains(where: { $0.physicalNetwork == nil }) else { return }
    let places = [network.physicalNetwork] + carriers.compactMap(\.physicalNetwork)
    let ways = places.reduce(into: Set<TunnelControlPlane>()) { $0.formUnion(neutron.settings.controlPlanes[$1] ?? []) }
    if let problem = TunnelControlPlane.problem(ways) {
      throw APIError.invalid(
        "network \(network.id) is on physical networks \(places.joined(separator: ", ")): \(problem)")
    }
  }

  private static func required(_ name: String, _ body: AttributeReader) throws -> String {
    guard let text = try body.text(name) else {
      throw APIError.badRequest("Failed to parse request. Required attribute '\(name)' not specified")
    }
    return text
  }
  private func carrier(
    _ body: AttributeReader, of network: Network, in session: any Session
  ) throws -> NetworkSegment.Carrier {
    let place = try body.text("physical_network")
    switch try Self.required("network_type", body) {
    case "vxlan":
      guard place == nil else { throw APIError.invalid("a segment of type vxlan has no physical_network.") }
      guard let vni = try body.int("segmentation_id", NetworkSegment.vnis) else {
        throw APIError.invalid("a segment of type vxlan needs a segmentation_id, its VNI.")
      }
      return .vxlan(vni)
    case "vlan":
      guard let place, try SegmentRangeStore.list(in: session).contains(where: { $0.physicalNetwork == place }) else {
        throw APIError.invalid(
          "a segment of type vlan needs a physical_network that a pool of VLANs is for (`openstack network segment range create`)."
        )
      }
      guard place != network.physicalNetwork else {
        throw APIError.invalid("the network has a VLAN on physical network \(place) already: \(network.vlan).")
      }
      let taken = try NetworkStore.vlansTaken(on: place, in: session)
      if let vlan = try body.int("segmentation_id", 1...4094) {
        guard !neutron.settings.reservedVLANs.contains(vlan) else {
          throw APIError.invalid("VLAN \(vlan) is the site's own (provisioning); choose another segmentation_id.")
        }
        guard !taken.contains(vlan) else {
          throw APIError.conflict("The VLAN \(vlan) on physical network \(place) is in use.", type: "VlanIdInUse")
        }
        return .vlan(vlan, physicalNetwork: place)
      }
      let free = try SegmentRangeStore.freeVLAN(
        project: network.projectID, physicalNetwork: place, except: neutron.settings.reservedVLANs, in: session)
      guard let free else {
        throw APIError.conflict("Every VLAN of the pools on \(place) is taken.", type: "NoNetworkAvailable")
      }
      return .vlan(free.vlan, physicalNetwork: place)
    case let type: throw APIError.invalid("network_type '\(type)' is not offered: vlan and vxlan are.")
    }
  }

  private func update(_ request: APIRequest) async throws -> APIResponse {
    let (id, now) = (try request.parameter("segment"), request.now)
    let body = try await AttributeReader.body(request, "segment")
    let changed = try await neutron.database.write { session in
      var segment = try Self.own(id, session)
      try body.check(allowed: Self.settable, known: Self.known, verb: "PUT")
      if let name = try body.text("name") { segment.name = name }
      if let text = try body.text("description") { segment.description = text }
      try NetworkSegmentStore.update(&segment, at: now, in: session)
      return segment
    }
    return Self.view.show(changed, request)
  }

  private func delete(_ request: APIRequest) async throws -> APIResponse {
    let (id, now) = (try request.parameter("segment"), request.now)
    try await neutron.database.write { session in
      let segment = try Self.own(id, session)
      let users = try NetworkSegmentStore.users(segment, in: session)
      guard users.isEmpty else {
        throw APIError.conflict(
          "Segment '\(id)' cannot be deleted: machines are on it with the ports \(users.prefix(3).joined(separator: ", ")).",
          type: "SegmentInUse")
      }
      try NetworkSegmentStore.markBeingDeleted(id, at: now, in: session)
      neutron.segmentsChanged(session)
    }
    return .noContent
  }
}
