import APISupport
import Conductor
import Domain
import HTTPTypes
import Store
import Wire

/// `/flavors`. Source: Nova API reference, "Flavors".
struct FlavorRoutes: Sendable {
  let nova: NovaAPI

  var endpoints: [Endpoint] {
    [
      Endpoint(.get, "/v2.1/flavors", .authenticated, "Lists flavors") { try await list($0, isDetailed: false) },
      Endpoint(.get, "/v2.1/flavors/detail", .authenticated, "Lists flavors with all they are") {
        try await list($0, isDetailed: true)
      },
      Endpoint(.post, "/v2.1/flavors", .siteAdmin, "Makes a flavor", handler: create),
      Endpoint(.get, "/v2.1/flavors/{flavor}", .authenticated, "Shows a flavor", handler: show),
      Endpoint(.put, "/v2.1/flavors/{flavor}", .siteAdmin, "Changes a flavor's description", handler: update),
      Endpoint(.delete, "/v2.1/flavors/{flavor}", .siteAdmin, "Deletes a flavor", handler: delete),
    ]
  }

  static func find(_ request: APIRequest, _ session: any Session) throws -> Flavor {
    let id = try request.parameter("flavor")
    guard let flavor = try FlavorStore.get(id, in: session), ComputePolicy.sees(flavor, try request.actor()) else {
      throw APIError.flavorNotFound(id)
    }
    return flavor
  }

  static func links(_ id: String, _ request: APIRequest) -> JSON {
    [
      ["rel": "self", "href": .string("\(request.serviceURL)/v2.1/flavors/\(id)")],
      ["rel": "bookmark", "href": .string("\(request.serviceURL)/flavors/\(id)")],
    ]
  }
  static func shown(_ flavor: Flavor, _ request: APIRequest, _ version: Microversion) -> JSON {
    var object: JSONObject = [
      "id": .string(flavor.id), "name": .string(flavor.name), "ram": .int(flavor.memory), "disk": .int(flavor.disk),
      "vcpus": .int(flavor.vcpus), "OS-FLV-EXT-DATA:ephemeral": .int(flavor.ephemeral),
      "swap": version.minor < 75 && flavor.swap == 0 ? "" : .int(flavor.swap),
      "OS-FLV-DISABLED:disabled": false, "os-flavor-access:is_public": .bool(flavor.isPublic),
      "rxtx_factor": .double(flavor.rxtxFactor), "links": links(flavor.id, request),
    ]
    if version.minor >= 55 { object["description"] = JSON(flavor.description) }
    if version.minor >= 61 { object["extra_specs"] = .object(flavor.extraSpecs) }
    return .object(object)
  }

  private func list(_ request: APIRequest, isDetailed: Bool) async throws -> APIResponse {
    let (actor, version) = (try request.actor(), try nova.microversion(request))
    let query = request.query
    let page = try Page(query)
    func number(_ name: String) throws -> Int? {
      guard let text = query[name] else { return nil }
      guard let value = Int(text) else { throw APIError.badRequest("Invalid \(name) filter [\(text.prefix(40))]") }
      return value
    }
    let (minRAM, minDisk) = (try number("minRam"), try number("minDisk"))
    // Who is not the administrator sees what is theirs, whatever they ask.
    let isPublic: Bool? =
      actor.isSiteReader
      ? (query["is_public"]?.lowercased() == "none" ? nil : try query.bool("is_public") ?? true) : nil
    let flavors = try await nova.database.read { try FlavorStore.list(in: $0) }
    let key = query["sort_key"] ?? "flavorid"
    guard let value = Self.sortKeys[key] else { throw APIError.badRequest("Invalid sort key \(key.prefix(40))") }
    let direction = query["sort_dir"] ?? "asc"
    guard ["asc", "desc"].contains(direction) else {
      throw APIError.badRequest("Invalid sort direction \(direction.prefix(40))")
    }
    let matching = flavors.filter { flavor in
      (actor.isSiteReader ? isPublic.map { $0 == flavor.isPublic } ?? true : ComputePolicy.sees(flavor, actor))
        && flavor.memory >= minRAM ?? 0 && flavor.disk >= minDisk ?? 0
    }.sorted { a, b in
      let isBefore = (value(a), a.id) < (value(b), b.id)
      return direction == "asc" ? isBefore : a != b && !isBefore
    }
    let (items, hasMore) = try page.cut(matching) { $0.id }
    var body: JSONObject = [
      "flavors": .array(
        items.map { flavor in
          if isDetailed { return Self.shown(flavor, request, version) }
          var object: JSONObject = [
            "id": .string(flavor.id), "name": .string(flavor.name), "links": Self.links(flavor.id, request),
          ]
          if version.minor >= 55 { object["description"] = JSON(flavor.description) }
          return .object(object)
        })
    ]
    if hasMore, let last = items.last { body["flavors_links"] = Page.next(request, after: last.id) }
    return APIResponse(json: .object(body))
  }
  private static let sortKeys: [String: @Sendable (Flavor) -> String] = [
    "flavorid": { $0.id }, "id": { $0.id }, "name": { $0.name }, "memory_mb": { padded($0.memory) },
    "vcpus": { padded($0.vcpus) }, "root_gb": { padded($0.disk) }, "ephemeral_gb": { padded($0.ephemeral) },
    "swap": { padded($0.swap) }, "created_at": { padded($0.createdAt.microseconds) },
    "is_public": { "\($0.isPublic)" }, "rxtx_factor": { "\($0.rxtxFactor)" },
    "updated_at": { padded($0.updatedAt?.microseconds ?? 0) }, "disabled": { _ in "" },
    "vcpu_weight": { _ in "" },
  ]
  private static func padded(_ number: Int) -> String {
    let digits = "\(number)"
    return String(repeating: "0", count: max(0, 20 - digits.count)) + digits
  }

  private func show(_ request: APIRequest) async throws -> APIResponse {
    let flavor = try await nova.database.read { try Self.find(request, $0) }
    return APIResponse(json: ["flavor": Self.shown(flavor, request, try nova.microversion(request))])
  }

  private func create(_ request: APIRequest) async throws -> APIResponse {
    let version = try nova.microversion(request)
    let input = try await ComputeInput(request, "flavor")
    var known: Set<String> = [
      "name", "id", "ram", "vcpus", "disk", "swap", "OS-FLV-EXT-DATA:ephemeral", "rxtx_factor",
      "os-flavor-access:is_public",
    ]
    if version.minor >= 55 { known.insert("description") }
    try input.allow(known)
    let most = Int(Int32.max)
    guard let name = try input.name(isStrict: true) else { throw APIError.badRequest("'name' is a required property") }
    guard let memory = try input.int("ram", 1...most), let vcpus = try input.int("vcpus", 1...most),
      let disk = try input.int("disk", 0...most)
    else { throw APIError.badRequest("'ram', 'vcpus' and 'disk' are required properties") }
    var flavor = Flavor(
      id: try Self.id(input), name: name, memory: memory, vcpus: vcpus, disk: disk, createdAt: request.now)
    flavor.ephemeral = try input.int("OS-FLV-EXT-DATA:ephemeral", 0...most) ?? 0
    flavor.swap = try input.int("swap", 0...most) ?? 0
    flavor.isPublic = try input.bool("os-flavor-access:is_public") ?? true
    flavor.description = try input.text("description", 0...65535)
    if let factor = input.value("rxtx_factor") { flavor.rxtxFactor = try Self.factor(factor, input) }
    try await nova.database.write { [flavor] session in
      guard try FlavorStore.get(flavor.id, in: session) == nil else {
        throw APIError.conflict("Flavor with ID \(flavor.id) already exists.")
      }
      guard try FlavorStore.list(in: session, { $0.append("WHERE name = ?", .text(flavor.name)) }).isEmpty else {
        throw APIError.conflict("Flavor with name \(flavor.name) already exists.")
      }
      try FlavorStore.insert(flavor, in: session)
      if !flavor.isPublic, let project = try request.actor().projectID {
        _ = try FlavorStore.addProject(project, to: flavor.id, in: session)
      }
    }
    return APIResponse(json: ["flavor": Self.shown(flavor, request, version)])
  }
  private static func factor(_ value: JSON, _ input: ComputeInput) throws -> Double {
    let number: Double? =
      switch value {
      case .int(let number): Double(number)
      case .double(let number): number
      case .string(let text): Double(text)
      default: nil
      }
    guard let number, number > 0, number < 1e30 else {
      throw input.wrong("rxtx_factor", value, "it is not a positive number")
    }
    return number
  }
  /// What the administrator chose; "auto", null and none make a UUID.
  private static func id(_ input: ComputeInput) throws -> String {
    if let number = input.value("id")?.int { return "\(number)" }
    guard let text = try input.text("id", 1...255), text != "auto" else { return Identifier.uuid() }
    guard ComputeInput.isMetadataKey(text), text.first != " ", text.last != " " else {
      throw input.wrong("id", .string(text), "letters, digits, '-', '_', '.' and spaces are possible")
    }
    return text
  }

  private func update(_ request: APIRequest) async throws -> APIResponse {
    let version = try nova.microversion(request)
    try version.require(55)
    let input = try await ComputeInput(request, "flavor")
    try input.allow(["description"])
    guard input.has("description") else { throw APIError.badRequest("'description' is a required property") }
    let text = try input.text("description", 0...65535)
    let now = request.now
    let flavor = try await nova.database.write { session in
      var flavor = try Self.find(request, session)
      flavor.description = text
      try FlavorStore.update(flavor, at: now, in: session)
      return flavor
    }
    return APIResponse(json: ["flavor": Self.shown(flavor, request, version)])
  }

  private func delete(_ request: APIRequest) async throws -> APIResponse {
    try await nova.database.write { session in
      // Servers have their own copy of it.
      try FlavorStore.delete(try Self.find(request, session).id, in: session)
    }
    return .accepted
  }
}
