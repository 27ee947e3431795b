import APISupport
import Conductor
import Domain
import HTTPTypes
import Store
import Wire

/// Zones, hypervisors (the machines), services and aggregates. Source: Nova API reference, "Availability zones",
/// "Hypervisors", "Compute services", "Host aggregates".
struct ZoneRoutes: Sendable {
  let nova: NovaAPI

  var endpoints: [Endpoint] {
    [
      Endpoint(.get, "/v2.1/os-availability-zone", .authenticated, "Lists zones") { _ in
        APIResponse(json: ["availabilityZoneInfo": [zone(hosts: .null)]])
      },
      Endpoint(
        .get, "/v2.1/os-availability-zone/detail", .authenticated, "Lists zones, with hosts for the administrator"
      ) {
        request in
        // The command asks for this, and upstream refuses it to others; a zone without its hosts is no secret.
        let sees = try request.actor().isSiteReader
        return APIResponse(
          json: [
            "availabilityZoneInfo": [
              zone(
                hosts: sees
                  ? [
                    "steelyard": [
                      "nova-compute": [
                        "available": true, "active": true, "updated_at": .string(request.now.iso8601Fraction),
                      ]
                    ]
                  ]
                  : .null)
            ]
          ])
      },
      Endpoint(.get, "/v2.1/os-hypervisors", .siteReader, "Lists the machines") {
        try await list($0, isDetailed: false)
      },
      Endpoint(.get, "/v2.1/os-hypervisors/detail", .siteReader, "Lists the machines with all they are") {
        try await list($0, isDetailed: true)
      },
      Endpoint(.get, "/v2.1/os-hypervisors/statistics", .siteReader, "Sums of the machines", handler: statistics),
      Endpoint(.get, "/v2.1/os-hypervisors/{hypervisor}", .siteReader, "Shows a machine", handler: show),
      Endpoint(
        .get, "/v2.1/os-hypervisors/{hypervisor}/uptime", .siteReader, "How long a machine is up", handler: uptime),
      Endpoint(.get, "/v2.1/os-services", .siteReader, "Lists the services", handler: services),
      Endpoint(.get, "/v2.1/os-aggregates", .siteReader, "Lists aggregates: there are none") { _ in
        APIResponse(json: ["aggregates": []])
      },
    ]
  }

  private func zone(hosts: JSON) -> JSON {
    ["zoneName": .string(nova.conductor.zone), "zoneState": ["available": true], "hosts": hosts]
  }

  // MARK: Machines

  /// A number for clients of before 2.53, from the UUID.
  private static func number(_ uuid: String) -> Int { Int(uuid.prefix(7), radix: 16) ?? 0 }
  private func id(_ node: Node, _ version: Microversion) -> JSON {
    version.minor >= 53 ? .string(node.uuid) : .int(Self.number(node.uuid))
  }
  private func nodes(_ session: any Session) throws -> [Node] {
    try NodeStore.list(in: session) { $0.append("ORDER BY created_at, uuid") }
  }
  private func brief(_ node: Node, _ version: Microversion) -> JSONObject {
    [
      "id": id(node, version), "hypervisor_hostname": .string(node.uuid), "state": "up",
      "status": node.maintenance ? "disabled" : "enabled",
    ]
  }
  private func whole(_ node: Node, _ number: Int, _ version: Microversion) -> JSONObject {
    var out = brief(node, version)
    func amount(_ name: String) -> Int { node.properties[name]?.lenientInt ?? 0 }
    let isUsed = node.instanceUUID != nil
    out["host_ip"] = "127.0.0.1"
    out["hypervisor_type"] = "ironic"
    out["hypervisor_version"] = 1
    out["service"] = [
      "host": "steelyard", "id": version.minor >= 53 ? .string(Self.serviceID) : 1,
      "disabled_reason": JSON(node.maintenanceReason?.sentence),
    ]
    if version.minor < 88 {
      let (cpus, memory, disk) = (amount("cpus"), amount("memory_mb"), amount("local_gb"))
      out["vcpus"] = .int(cpus)
      out["vcpus_used"] = .int(isUsed ? cpus : 0)
      out["memory_mb"] = .int(memory)
      out["memory_mb_used"] = .int(isUsed ? memory : 0)
      out["free_ram_mb"] = .int(isUsed ? 0 : memory)
      out["local_gb"] = .int(disk)
      out["local_gb_used"] = .int(isUsed ? disk : 0)
      out["free_disk_gb"] = .int(isUsed ? 0 : disk)
      out["disk_available_least"] = .int(isUsed ? 0 : disk)
      out["current_workload"] = 0
      out["running_vms"] = .int(isUsed ? 1 : 0)
      // An object from 2.28 on, its text before.
      out["cpu_info"] = version.minor >= 28 ? [:] : "{}"
    } else {
      out["uptime"] = .null
    }
    return out
  }

  private func list(_ request: APIRequest, isDetailed: Bool) async throws -> APIResponse {
    let version = try nova.microversion(request)
    let page = try version.minor >= 33 ? Page(request.query) : Page(QueryParameters(""))
    let found = try await nova.database.read { session in
      let nodes = try self.nodes(session)
      guard version.minor >= 53, let pattern = request.query["hypervisor_hostname_pattern"] else { return nodes }
      return nodes.filter { $0.uuid.contains(pattern) || $0.name?.contains(pattern) == true }
    }
    let (items, hasMore) = try page.cut(found) { version.minor >= 53 ? $0.uuid : "\(Self.number($0.uuid))" }
    var body: JSONObject = [
      "hypervisors": .array(
        items.enumerated().map { index, node in
          var out = isDetailed ? whole(node, index, version) : brief(node, version)
          if version.minor >= 53,
            request.query["with_servers"].map({ ["true", "1"].contains($0.lowercased()) }) == true,
            let server = node.instanceUUID
          {
            out["servers"] = [["uuid": .string(server), "name": JSON(node.instanceInfo["display_name"]?.string)]]
          }
          return .object(out)
        })
    ]
    if hasMore, version.minor >= 33, let last = items.last {
      body["hypervisors_links"] = Page.next(
        request, after: version.minor >= 53 ? last.uuid : "\(Self.number(last.uuid))")
    }
    return APIResponse(json: .object(body))
  }
  private func find(_ request: APIRequest, _ session: any Session) throws -> Node {
    let wanted = try request.parameter("hypervisor")
    guard let node = try nodes(session).first(where: { $0.uuid == wanted || "\(Self.number($0.uuid))" == wanted })
    else {
      throw APIError.notFound("Compute host \(wanted.prefix(80)) could not be found.")
    }
    return node
  }
  private func show(_ request: APIRequest) async throws -> APIResponse {
    let version = try nova.microversion(request)
    let node = try await nova.database.read { session in try self.find(request, session) }
    return APIResponse(json: ["hypervisor": .object(whole(node, 0, version))])
  }
  private func uptime(_ request: APIRequest) async throws -> APIResponse {
    let version = try nova.microversion(request)
    try version.requireBefore(88)
    _ = try await nova.database.read { session in try self.find(request, session) }
    // A machine is not asked how long it runs.
    throw APIError.badRequest("Virt driver does not implement uptime function.")
  }
  private func statistics(_ request: APIRequest) async throws -> APIResponse {
    try nova.microversion(request).requireBefore(88)
    let nodes = try await nova.database.read { session in try self.nodes(session) }
    func sum(_ name: String, used: Bool?) -> JSON {
      .int(
        nodes.reduce(0) { total, node in
          if let used, used != (node.instanceUUID != nil) { return total }
          return total + (node.properties[name]?.lenientInt ?? 0)
        })
    }
    return APIResponse(
      json: [
        "hypervisor_statistics": [
          "count": .int(nodes.count), "current_workload": 0,
          "running_vms": .int(nodes.count { $0.instanceUUID != nil }), "vcpus": sum("cpus", used: nil),
          "vcpus_used": sum("cpus", used: true), "memory_mb": sum("memory_mb", used: nil),
          "memory_mb_used": sum("memory_mb", used: true), "free_ram_mb": sum("memory_mb", used: false),
          "local_gb": sum("local_gb", used: nil), "local_gb_used": sum("local_gb", used: true),
          "free_disk_gb": sum("local_gb", used: false), "disk_available_least": sum("local_gb", used: false),
        ]
      ])
  }

  // MARK: Services

  private static let serviceID = "5d3a1c7e-9b1f-4a0e-8a8e-6e6f5c0f7a01"
  /// One process does what several do upstream.
  private func services(_ request: APIRequest) async throws -> APIResponse {
    let version = try nova.microversion(request)
    let query = request.query
    let names = [("nova-compute", nova.conductor.zone), ("nova-conductor", "internal"), ("nova-scheduler", "internal")]
    let shown = names.enumerated().filter { _, item in
      (query["binary"].map { $0 == item.0 } ?? true) && (query["host"].map { $0 == "steelyard" } ?? true)
    }.map { index, item -> JSON in
      var out: JSONObject = [
        "id": version.minor >= 53
          ? .string(String(Self.serviceID.dropLast()) + "\(index + 1)") : .int(index + 1),
        "binary": .string(item.0), "host": "steelyard", "zone": .string(item.1), "status": "enabled", "state": "up",
        "updated_at": .string(request.now.iso8601Fraction), "disabled_reason": .null,
      ]
      if version.minor >= 11 { out["forced_down"] = false }
      return .object(out)
    }
    return APIResponse(json: ["services": .array(shown)])
  }
}
