import APISupport
import Domain
import Store
import Wire

/// `/v2.0/network_segment_ranges`: the administrator's pools of VLANs. Source: Neutron API reference, "Network Segment Ranges".
struct SegmentRangeRoutes: Sendable {
  let neutron: NeutronAPI

  var endpoints: [Endpoint] {
    let path = "/v2.0/network_segment_ranges"
    return [
      Endpoint(.get, path, .siteReader, "Lists pools of VLANs", handler: list),
      Endpoint(.post, path, .siteAdmin, "Makes a pool of VLANs", handler: create),
      Endpoint(.get, path + "/{range}", .siteReader, "Shows a pool of VLANs", handler: show),
      Endpoint(.put, path + "/{range}", .siteAdmin, "Changes a pool of VLANs", handler: update),
      Endpoint(.delete, path + "/{range}", .siteAdmin, "Deletes a pool of VLANs", handler: delete),
    ]
  }

  /// A pool and who has what of it.
  struct Shown: Sendable {
    var range: SegmentRange
    /// Project by VLAN.
    var used: [Int: String]
  }
  private static let view = ResourceView<Shown>(
    singular: "network_segment_range", plural: "network_segment_ranges", path: "/v2.0/network_segment_ranges",
    id: { $0.range.id },
    attributes: [
      .text("id") { $0.range.id }, .text("name") { $0.range.name }, .text("description") { $0.range.description },
      .bool("default") { $0.range.isDefault }, .bool("shared") { $0.range.projectID == nil },
      .optionalText("project_id") { $0.range.projectID }, .optionalText("tenant_id") { $0.range.projectID },
      .text("network_type") { _ in "vlan" }, .text("physical_network") { $0.range.physicalNetwork },
      .int("minimum") { $0.range.vlans.lowerBound }, .int("maximum") { $0.range.vlans.upperBound },
      .json("used") { shown in
        var object = JSONObject()
        for (vlan, project) in shown.used.sorted(by: { $0.key < $1.key }) { object["\(vlan)"] = .string(project) }
        return .object(object)
      },
      .json("available") { shown in .array(shown.range.vlans.filter { shown.used[$0] == nil }.map { .int($0) }) },
      .json("tags") { _ in [] }, .int("revision_number") { $0.range.revision },
      .time("created_at") { $0.range.createdAt },
      .time("updated_at") { $0.range.updatedAt },
    ])

  private static func shown(_ ranges: [SegmentRange], in session: any Session) throws -> [Shown] {
    let vlans = try NetworkStore.allVLANs(in: session)
    return ranges.map { range in
      let own = vlans.filter { $0.physicalNetwork == range.physicalNetwork && range.vlans.contains($0.vlan) }
      return Shown(range: range, used: Dictionary(own.map { ($0.vlan, $0.projectID) }) { first, _ in first })
    }
  }
  private static func found(_ id: String, in session: any Session) throws -> SegmentRange {
    guard let range = try SegmentRangeStore.get(id, in: session) else {
      throw APIError.notFound("Network Segment Range \(id) could not be found.", type: "NetworkSegmentRangeNotFound")
    }
    return range
  }

  private func list(_ request: APIRequest) async throws -> APIResponse {
    let shown = try await neutron.database.read { session in
      try Self.shown(try SegmentRangeStore.list(in: session), in: session)
    }
    return try Self.view.list(shown, request)
  }
  private func show(_ request: APIRequest) async throws -> APIResponse {
    let id = try request.parameter("range")
    let shown = try await neutron.database.read { session in
      try Self.shown([try Self.found(id, in: session)], in: session)
    }
    return Self.view.show(shown[0], request)
  }

  private static let known = Set(view.attributes.map { "\($0.name)" })

  private func create(_ request: APIRequest) async throws -> APIResponse {
    let now = request.now
    let body = try await AttributeReader.body(request, "network_segment_range")
    let shown = try await neutron.database.write { session in
      try body.check(
        allowed: [
          "name", "description", "shared", "project_id", "tenant_id", "network_type", "physical_network", "minimum",
          "maximum",
          "default",
        ], known: Self.known, verb: "POST")
      if let type = try body.text("network_type"), type != "vlan" {
        throw APIError.invalid("network_type '\(type)' is not offered: segment ranges of this site are of type 'vlan'.")
      }
      guard let physicalNetwork = try body.text("physical_network", limit: 64), !physicalNetwork.isEmpty else {
        throw APIError.invalid("a pool of VLANs needs a physical_network.")
      }
      guard let low = try body.int("minimum", 1...4094), let high = try body.int("maximum", 1...4094), low <= high
      else {
        throw APIError.invalid("minimum and maximum are VLANs, 1 to 4094, in this order.")
      }
      let named = try body.text("project_id") ?? body.text("tenant_id")
      let project = try body.bool("shared") ?? true ? nil : named
      if try body.bool("shared") == false && project == nil {
        throw APIError.invalid("a pool that is not shared needs a project_id.")
      }
      let range = SegmentRange(
        name: try body.text("name") ?? "", description: try body.text("description") ?? "", projectID: project,
        physicalNetwork: physicalNetwork, vlans: low...high, createdAt: now)
      try refuseOverlap(range, in: session)
      try SegmentRangeStore.insert(range, in: session)
      return try Self.shown([range], in: session)
    }
    return Self.view.show(shown[0], request, status: .created)
  }

  private func refuseOverlap(_ range: SegmentRange, in session: any Session) throws {
    let others = try SegmentRangeStore.list(in: session).filter {
      $0.id != range.id && $0.physicalNetwork == range.physicalNetwork && $0.vlans.overlaps(range.vlans)
    }
    guard others.isEmpty else {
      throw APIError.conflict(
        "Network segment range overlaps with range(s): \(others.map(\.words).joined(separator: ", ")).",
        type: "NetworkSegmentRangeOverlaps")
    }
  }
  private static func changeable(_ id: String, in session: any Session) throws -> Shown {
    let range = try found(id, in: session)
    guard !range.isDefault else {
      throw APIError(
        .badRequest, "Network Segment Range \(id) comes from the configuration file and is changed there.",
        type: "NetworkSegmentRangeDefaultReadOnly")
    }
    return try shown([range], in: session)[0]
  }

  private func update(_ request: APIRequest) async throws -> APIResponse {
    let (id, now) = (try request.parameter("range"), request.now)
    let body = try await AttributeReader.body(request, "network_segment_range")
    let shown = try await neutron.database.write { session in
      var shown = try Self.changeable(id, in: session)
      try body.check(allowed: ["name", "description", "minimum", "maximum"], known: Self.known, verb: "PUT")
      if let name = try body.text("name") { shown.range.name = name }
      if let text = try body.text("description") { shown.range.description = text }
      let low = try body.int("minimum", 1...4094) ?? shown.range.vlans.lowerBound
      let high = try body.int("maximum", 1...4094) ?? shown.range.vlans.upperBound
      guard low <= high else { throw APIError.invalid("minimum and maximum are VLANs, 1 to 4094, in this order.") }
      shown.range.vlans = low...high
      if let vlan = shown.used.keys.sorted().first(where: { !shown.range.vlans.contains($0) }) {
        throw APIError.conflict(
          "Network Segment Range \(id) is referenced by one or more tenant networks: VLAN \(vlan) would fall out of it.",
          type: "NetworkSegmentRangeReferencedByProject")
      }
      try refuseOverlap(shown.range, in: session)
      try SegmentRangeStore.update(&shown.range, at: now, in: session)
      return try Self.shown([shown.range], in: session)
    }
    return Self.view.show(shown[0], request)
  }

  private func delete(_ request: APIRequest) async throws -> APIResponse {
    let id = try request.parameter("range")
    try await neutron.database.write { session in
      let shown = try Self.changeable(id, in: session)
      guard shown.used.isEmpty else {
        throw APIError.conflict(
          "Network Segment Range \(id) is referenced by one or more tenant networks.",
          type: "NetworkSegmentRangeReferencedByProject")
      }
      try SegmentRangeStore.delete(id, in: session)
    }
    return .noContent
  }
}
