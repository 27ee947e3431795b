import APISupport
import Conductor
import Domain
import HTTPTypes
import Store
import Wire

/// What old clients ask the compute service for, and it once asked others: images and networks (until 2.35), and the list of
/// extensions. Source: Nova API reference, "Extensions", "Images (deprecated)", "Tenant networks (deprecated)".
struct OldRoutes: Sendable {
  let nova: NovaAPI

  var endpoints: [Endpoint] {
    [
      Endpoint(.get, "/v2.1/extensions", .authenticated, "Lists extensions") { _ in
        APIResponse(json: ["extensions": .array(Self.extensions.map(Self.shown))])
      },
      Endpoint(.get, "/v2.1/extensions/{alias}", .authenticated, "Shows an extension") { request in
        let alias = try request.parameter("alias")
        guard Self.extensions.contains(alias) else {
          throw APIError.notFound("Extension \(alias.prefix(80)) not found")
        }
        return APIResponse(json: ["extension": Self.shown(alias)])
      },
      Endpoint(.get, "/v2.1/os-tenant-networks", .authenticated, "Lists the project's networks (until 2.35)") {
        request in
        try nova.microversion(request).requireBefore(36)
        let networks = try await self.networks(request)
        return APIResponse(json: ["networks": .array(networks.map(Self.shown))])
      },
      Endpoint(.get, "/v2.1/os-tenant-networks/{network}", .authenticated, "Shows a network (until 2.35)") { request in
        try nova.microversion(request).requireBefore(36)
        let id = try request.parameter("network")
        guard let network = try await self.networks(request).first(where: { $0.id == id }) else {
          throw APIError.notFound("Network \(id.prefix(80)) could not be found.")
        }
        return APIResponse(json: ["network": Self.shown(network)])
      },
      Endpoint(.get, "/v2.1/images", .authenticated, "Lists images (until 2.35)") {
        try await images($0, isDetailed: false)
      },
      Endpoint(.get, "/v2.1/images/detail", .authenticated, "Lists images with all they are (until 2.35)") {
        try await images($0, isDetailed: true)
      },
      Endpoint(.get, "/v2.1/images/{image}", .authenticated, "Shows an image (until 2.35)") { request in
        try nova.microversion(request).requireBefore(36)
        let (actor, id) = (try request.actor(), try request.parameter("image"))
        let image = try await nova.database.read { session in try Self.image(id, actor, session) }
        return APIResponse(json: ["image": Self.shown(image, request, isDetailed: true)])
      },
      Endpoint(.delete, "/v2.1/images/{image}", .member("images:delete"), "Deletes an image (until 2.35)") { request in
        try nova.microversion(request).requireBefore(36)
        let (actor, id) = (try request.actor(), try request.parameter("image"))
        guard let images = nova.images else { throw APIError.conflict("This site keeps no images.") }
        try await nova.database.write { session in
          _ = try Self.image(id, actor, session)
          try translating { try images.deleteImage(id, for: actor, in: session) }
        }
        return .noContent
      },
    ]
  }

  private static let extensions = [
    "OS-DCF", "OS-EXT-AZ", "OS-EXT-IPS", "OS-EXT-IPS-MAC", "OS-EXT-SRV-ATTR", "OS-EXT-STS", "OS-FLV-DISABLED",
    "OS-FLV-EXT-DATA", "OS-SCH-HNT", "OS-SRV-USG", "os-attach-interfaces", "os-availability-zone", "os-config-drive",
    "os-console-output", "os-flavor-access", "os-flavor-extra-specs", "os-flavor-manage", "os-hypervisors",
    "os-instance-actions", "os-keypairs", "os-lock-server", "os-quota-class-sets", "os-quota-sets",
    "os-remote-consoles",
    "os-rescue", "os-security-groups", "os-server-groups", "os-server-start-stop", "os-services",
    "os-simple-tenant-usage", "os-used-limits", "os-user-data", "os-volumes",
  ]
  private static func shown(_ alias: String) -> JSON {
    [
      "alias": .string(alias), "name": .string(alias), "description": .string(alias), "links": [],
      "namespace": "http://docs.openstack.org/compute/ext/fake_xml", "updated": "2014-12-03T00:00:00Z",
    ]
  }

  private func networks(_ request: APIRequest) async throws -> [Network] {
    let actor = try request.actor()
    return try await nova.database.read { session in
      try NetworkStore.list(in: session) { $0.append("ORDER BY created_at, id") }.filter {
        NetworkPolicy.mayAttach(to: $0, actor) && ($0.projectID == actor.projectID || !actor.isSiteAdmin)
      }
    }
  }
  private static func shown(_ network: Network) -> JSON {
    ["id": .string(network.id), "label": .string(network.name), "cidr": "None"]
  }

  static func image(_ id: String, _ actor: Actor, _ session: any Session) throws -> Image {
    let member = try actor.projectID.flatMap { try ImageStore.member($0, of: id, in: session) }
    guard let image = try ImageStore.get(id, in: session), ImagePolicy.sees(image, member: member, actor) else {
      throw APIError.notFound("Image \(id.prefix(80)) could not be found.")
    }
    return image
  }
  private func images(_ request: APIRequest, isDetailed: Bool) async throws -> APIResponse {
    try nova.microversion(request).requireBefore(36)
    let actor = try request.actor()
    let page = try Page(request.query)
    let all = try await nova.database.read { session in
      let own = Value.text(actor.projectID ?? "")
      return try ImageStore.list(in: session) { sql in
        sql.append("WHERE is_hidden = 0")
        if !actor.isSiteReader {
          sql.append(
            "AND (owner = ? OR visibility = 'public' OR (visibility = 'shared' AND id IN (SELECT image_id FROM image_members WHERE project_id = ? AND status = 'accepted')))",
            own, own)
        }
        sql.append("ORDER BY created_at DESC, id")
      }
    }.filter(try Self.narrowed(request.query))
    let (items, hasMore) = try page.cut(all) { $0.id }
    var body: JSONObject = ["images": .array(items.map { Self.shown($0, request, isDetailed: isDetailed) })]
    if hasMore, let last = items.last { body["images_links"] = Page.next(request, after: last.id) }
    return APIResponse(json: .object(body))
  }
  /// What the parameters of a list ask for.
  private static func narrowed(_ query: QueryParameters) throws -> (Image) -> Bool {
    var since: Timestamp?
    if let text = query["changes-since"], !text.isEmpty {
      since = Timestamp(parsing: text)
      guard since != nil else { throw APIError.badRequest("Invalid changes-since value") }
    }
    func number(_ name: String) throws -> Int? {
      guard let text = query[name] else { return nil }
      guard let number = Int(text), number >= 0 else {
        throw APIError.badRequest("Invalid \(name): a number is expected.")
      }
      return number
    }
    let (disk, memory) = (try number("minDisk"), try number("minRam"))
    let (name, status, type) = (query["name"], query["status"]?.uppercased(), query["type"]?.lowercased())
    // A server's id, or a link to it.
    let server = query["server"]?.split(separator: "/").last.map(String.init)
    return { image in
      if let name, image.name != name { return false }
      if let status, (image.status == .active ? "ACTIVE" : "SAVING") != status { return false }
      if let type, (image.properties["image_type"]?.string ?? "base") != type { return false }
      if let server, image.properties["instance_uuid"]?.string != server { return false }
      if let since, image.updatedAt < since { return false }
      if let disk, image.minDisk < disk { return false }
      if let memory, image.minRAM < memory { return false }
      return true
    }
  }
  private static func shown(_ image: Image, _ request: APIRequest, isDetailed: Bool) -> JSON {
    var out: JSONObject = [
      "id": .string(image.id), "name": JSON(image.name),
      "links": [
        ["rel": "self", "href": .string("\(request.serviceURL)/v2.1/images/\(image.id)")],
        ["rel": "bookmark", "href": .string("\(request.serviceURL)/images/\(image.id)")],
        [
          "rel": "alternate", "type": "application/vnd.openstack.image",
          "href": .string("\(request.origin)/image/images/\(image.id)"),
        ],
      ],
    ]
    guard isDetailed else { return .object(out) }
    out["status"] = image.status == .active ? "ACTIVE" : "SAVING"
    out["progress"] = image.status == .active ? 100 : 25
    out["minDisk"] = .int(image.minDisk)
    out["minRam"] = .int(image.minRAM)
    out["metadata"] = .object(image.properties)
    out["created"] = .string(image.createdAt.iso8601Zulu)
    out["updated"] = .string(image.updatedAt.iso8601Zulu)
    out["OS-EXT-IMG-SIZE:size"] = JSON(image.size)
    return .object(out)
  }
}
