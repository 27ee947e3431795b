import APISupport
import Domain
import Store
import Wire

/// What a site offers, and lists of what it does not. Source: Block Storage API reference v3, "Availability zones", "Services",
/// "Back-end storage pools", "Resource filters", "Messages", "Generic volume groups".
struct SiteRoutes: Sendable {
  let cinder: CinderAPI

  var endpoints: [Endpoint] {
    [
      Endpoint(.get, "/v3/os-availability-zone", .authenticated, "Lists availability zones") { _ in
        APIResponse(json: [
          "availabilityZoneInfo": [
            ["zoneName": .string(cinder.settings.availabilityZone), "zoneState": ["available": true]]
          ]
        ])
      },
      Endpoint(.get, "/v3/os-services", .siteReader, "Lists services", handler: services),
      Endpoint(.get, "/v3/os-hosts", .siteReader, "Lists hosts", handler: hosts),
      Endpoint(.get, "/v3/scheduler-stats/get_pools", .siteReader, "Lists backends and their room", handler: pools),
      Endpoint(.get, "/v3/extensions", .authenticated, "Lists extensions") { _ in
        APIResponse(json: ["extensions": .array(Self.extensions.map { Self.shown($0) })])
      },
      Endpoint(.get, "/v3/extensions/{alias}", .authenticated, "Shows an extension") { request in
        let alias = try request.parameter("alias")
        guard let found = Self.extensions.first(where: { $0.alias == alias }) else {
          throw APIError.notFound("There is no extension \(alias.prefix(80)).")
        }
        return APIResponse(json: ["extension": Self.shown(found)])
      },
      Endpoint(.get, "/v3/resource_filters", .authenticated, "Lists what lists are filtered by") { request in
        let only = request.query["resource"]
        return APIResponse(json: [
          "resource_filters": .array(
            Self.filters.filter { only == nil || only == $0.0 }.map {
              ["resource": .string($0.0), "filters": JSON($0.1)]
            })
        ])
      },
      Self.empty("/v3/messages", "messages", "Lists messages: faults are shown with the volume"),
      Self.empty("/v3/groups", "groups", "Lists volume groups: there are none"),
      Self.empty("/v3/groups/detail", "groups", "Lists volume groups: there are none"),
      Self.empty("/v3/group_types", "group_types", "Lists group types: there are none"),
      Self.empty("/v3/group_snapshots", "group_snapshots", "Lists group snapshots: there are none"),
      Self.empty("/v3/group_snapshots/detail", "group_snapshots", "Lists group snapshots: there are none"),
      Self.empty("/v3/consistencygroups", "consistencygroups", "Lists consistency groups: there are none"),
      Self.empty("/v3/consistencygroups/detail", "consistencygroups", "Lists consistency groups: there are none"),
      Self.empty("/v3/cgsnapshots", "cgsnapshots", "Lists their snapshots: there are none"),
      Self.empty("/v3/cgsnapshots/detail", "cgsnapshots", "Lists their snapshots: there are none"),
      Self.empty("/v3/clusters", "clusters", "Lists clusters: there are none"),
    ]
  }
  private static func empty(_ path: String, _ name: String, _ summary: String) -> Endpoint {
    Endpoint(.get, path, .authenticated, summary) { _ in APIResponse(json: .object([name: []])) }
  }

  private static let extensions: [(alias: String, name: String)] = [
    ("os-quota-sets", "Quotas"), ("os-volume-transfer", "VolumeTransfer"), ("os-types-manage", "TypesManage"),
    ("os-volume-type-access", "VolumeTypeAccess"), ("os-availability-zone", "AvailabilityZones"),
    ("os-volume-actions", "VolumeActions"), ("os-admin-actions", "AdminActions"), ("os-services", "Services"),
    ("scheduler-stats", "Scheduler_stats"), ("os-extended-snapshot-attributes", "ExtendedSnapshotAttributes"),
    ("os-vol-tenant-attr", "VolumeTenantAttribute"), ("os-vol-image-meta", "VolumeImageMetadata"),
  ]
  private static func shown(_ item: (alias: String, name: String)) -> JSON {
    [
      "alias": .string(item.alias), "name": .string(item.name), "description": .string(item.name),
      "updated": "2026-11-22T00:00:00+00:00", "links": [],
    ]
  }
  private static let filters: [(String, [String])] = [
    ("volume", ["name", "status", "metadata", "bootable", "availability_zone", "size", "created_at", "updated_at"]),
    ("snapshot", ["name", "status", "volume_id", "metadata", "created_at", "updated_at"]),
    ("attachment", ["volume_id", "status", "instance_id", "attach_status"]),
  ]

  private func services(_ request: APIRequest) async throws -> APIResponse {
    let now = request.now.iso8601
    func service(_ binary: String, _ host: String) -> JSON {
      [
        "binary": .string(binary), "host": .string(host), "zone": .string(cinder.settings.availabilityZone),
        "status": "enabled", "state": "up", "updated_at": .string(now), "disabled_reason": nil,
      ]
    }
    // One program does the scheduler's and the volumes' work.
    let all =
      [service("cinder-scheduler", "steelyard")]
      + cinder.conductor.volumeBackends.map { service("cinder-volume", "steelyard@\($0)") }
    let query = request.query
    return APIResponse(json: [
      "services": .array(
        all.filter {
          (query["binary"] ?? $0["binary"]?.string) == $0["binary"]?.string
            && (query["host"] ?? $0["host"]?.string) == $0["host"]?.string
        })
    ])
  }
  private func hosts(_ request: APIRequest) async throws -> APIResponse {
    APIResponse(json: [
      "hosts": .array(
        cinder.conductor.volumeBackends.map {
          [
            "service": "cinder-volume", "host_name": .string("steelyard@\($0)"), "service-status": "available",
            "service-state": "enabled", "zone": .string(cinder.settings.availabilityZone),
            "last-update": .string(request.now.iso8601),
          ]
        })
    ])
  }

  private func pools(_ request: APIRequest) async throws -> APIResponse {
    let isDetailed = try request.query.bool("detail") ?? false
    var pools: [JSON] = []
    for backend in cinder.conductor.volumeBackends {
      var pool: JSONObject = ["name": .string("steelyard@\(backend)#\(backend)")]
      if isDetailed {
        let room = await cinder.conductor.volumeCapacity(backend)
        pool["capabilities"] = [
          "volume_backend_name": .string(backend), "driver_version": "1.0", "storage_protocol": "iSCSI",
          "vendor_name": "Open Source", "QoS_support": false, "pool_name": .string(backend),
          "total_capacity_gb": .double(Double(room?.total ?? 0) / Double(1 << 30)),
          "free_capacity_gb": .double(Double(room?.free ?? 0) / Double(1 << 30)), "reserved_percentage": 0,
          "thin_provisioning_support": true, "multiattach": false, "location_info": .string(backend),
          "timestamp": .string(request.now.iso8601),
        ]
      }
      pools.append(.object(pool))
    }
    return APIResponse(json: ["pools": .array(pools)])
  }
}
