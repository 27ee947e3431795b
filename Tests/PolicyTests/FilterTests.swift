import APISupport
import HTTPTypes
import Testing

/// Every list with every filter: what a caller puts into a query widens nothing and breaks nothing.
@Suite struct FilterTests {
  /// The lists of what belongs to somebody, by service.
  private static let lists: [(service: String, paths: [String])] = [
    (
      "ironic",
      [
        "/v1/nodes", "/v1/nodes/detail", "/v1/ports", "/v1/ports/detail", "/v1/portgroups", "/v1/volume/connectors",
        "/v1/volume/targets", "/v1/allocations", "/v1/chassis",
      ]
    ),
    (
      "neutron",
      [
        "/v2.0/networks", "/v2.0/subnets", "/v2.0/ports", "/v2.0/rbac-policies", "/v2.0/subnetpools",
        "/v2.0/address-scopes", "/v2.0/trunks",
      ]
    ),
    ("glance", ["/v2/images", "/v2/tasks"]),
    (
      "esi-leap",
      ["/v1/offers", "/v1/leases", "/v1/nodes", "/v1/events", "/v1/disk-backups", "/v1/disk-backup-schedules"]
    ),
    (
      "keystone",
      ["/v3/projects", "/v3/users", "/v3/domains", "/v3/role_assignments", "/v3/credentials", "/v3/limits"]
    ),
  ]
  /// Every filter, sort key, paging and shaping parameter that one of them knows.
  private static let names = [
    "name", "id", "uuid", "marker", "limit", "sort_key", "sort_dir", "sort", "fields", "owner", "lessee", "project",
    "project_id", "tenant_id", "owner_id", "lessee_id", "lessee_or_owner_id", "node", "node_uuid", "parent_node",
    "resource_uuid", "resource_type", "resource_class", "instance_uuid", "shard", "conductor_group", "conductor",
    "chassis_uuid", "description_contains", "driver", "fault", "provision_state", "maintenance", "retired",
    "associated", "include_children", "address", "portgroup", "detail", "state", "status", "purpose", "view",
    "offer_uuid", "lease_uuid", "event_type", "last_event_id", "last_event_time", "start_time", "end_time",
    "network_id", "subnet_id", "device_id", "device_owner", "mac_address", "fixed_ips", "cidr", "shared",
    "router:external", "provider:segmentation_id", "provider:physical_network", "physical_network", "tags", "tags-any",
    "not-tags", "admin_state_up", "description", "visibility", "member_status", "disk_format", "tag", "size_min",
    "domain_id", "parent_id", "enabled", "is_domain", "user_id", "user.id", "group.id", "role.id", "scope.project.id",
    "scope.domain.id", "type", "service_id", "region_id", "resource_name", "created_at", "updated_at", "protected",
    "object_type", "object_id", "action", "target_tenant", "target_project", "address_scope_id", "ip_version",
    "is_default", "port_id",
  ]
  /// A foreign thing and one that is not there, of the same form.
  private static let pairs: [(foreign: String, none: String)] =
    [
      "node", "nic", "network", "subnet", "port", "lease", "offer", "image", "allocation", "portgroup", "rbac_policy",
      "subnetpool", "address_scope", "trunk", "task", "disk_backup", "disk_backup_schedule",
    ].map {
      (MatrixSite.uuid("\($0)-elsewhere"), MatrixSite.uuid("\($0)-nonexistent"))
    }
    + ["project", "user", "group", "domain", "limit", "stored_credential"].map {
      (MatrixSite.id("\($0)-elsewhere"), MatrixSite.id("\($0)-nonexistent"))
    }
    + ["n", "p", "u", "d", "net", "pool", "scope", "lease", "offer", "i", "bond", "iqn."].map {
      ("\($0)-elsewhere", "\($0)-nonexistent")
    }
  private static let metacharacters = [
    "'", "\"", "\\", "%", "_", "*", "' OR '1'='1", "x'; DROP TABLE nodes; --", "1) OR (1=1", "name; --", "$1", "in:%",
  ]

  @Test func abuse26_noFilterWidensAListOrTellsAForeignThingFromNone() async throws {
    let site = try await MatrixSite()
    for (service, path, name) in try await accepted(on: site) {
      for (foreign, none) in Self.pairs {
        let told = try await site.get(service, path, [(name, foreign)], as: .lessee)
        let other = try await site.get(service, path, [(name, none)], as: .lessee)
        let (words, others) = (Self.timeless(told.body, foreign), Self.timeless(other.body, none))
        // A page begins behind its marker, wherever that is in the order.
        #expect(
          told.status == other.status && (words == others || name == "marker"),
          "\(service.name) \(path)?\(name)=\(foreign): \(told) beside \(other)")
        #expect(!ForeignWords.areIn(words), "\(service.name) \(path)?\(name)=\(foreign): \(words.prefix(400))")
      }
    }
    site.removeAll()
  }

  /// The text without what was asked for and without the time of day, which goes on between two requests.
  private static func timeless(_ text: String, _ value: String) -> String {
    text.replacing(value, with: "VALUE").replacing(#/\d\d:\d\d:\d\d(\.\d+)?/#, with: "TIME")
  }

  @Test func abuse16_metacharactersInAQueryAreText() async throws {
    let site = try await MatrixSite()
    for (service, path, name) in try await accepted(on: site) {
      for value in Self.metacharacters {
        let answer = try await site.get(service, path, [(name, value)], as: .lessee)
        #expect(answer.status < 500, "\(service.name) \(path)?\(name)=\(value): \(answer)")
        #expect(
          !ForeignWords.areIn(answer.body), "\(service.name) \(path)?\(name)=\(value): \(answer.body.prefix(400))")
      }
    }
    let ironic = try #require(site.services.first { $0.name == "ironic" })
    #expect(
      try await site.get(ironic, "/v1/nodes", [], as: .siteAdmin).body.contains(MatrixSite.uuid("node-elsewhere")))
    site.removeAll()
  }

  /// The parameters that a list takes: some value of it is not refused.
  private func accepted(on site: MatrixSite) async throws -> [(Service, String, String)] {
    var out: [(Service, String, String)] = []
    for (serviceName, paths) in Self.lists {
      let service = try #require(site.services.first { $0.name == serviceName })
      for path in paths {
        var known = 0
        for name in Self.names {
          for value in ["x", "1", "true", "name", "active", MatrixSite.uuid("x")] {
            let status = try await site.get(service, path, [(name, value)], as: .siteAdmin).status
            guard status == 200 else { continue }
            out.append((service, path, name))
            known += 1
            break
          }
        }
        #expect(known > 0, "\(serviceName) \(path) takes no parameter")
      }
    }
    return out
  }
}

extension MatrixSite {
  /// A GET with a query of any text.
  func get(_ service: Service, _ path: String, _ query: [(String, String)], as caller: Caller) async throws -> (
    status: Int, body: String
  ) {
    let text = query.map { "\(Self.escaped($0.0))=\(Self.escaped($0.1))" }.joined(separator: "&")
    return try await call(service, .get, text.isEmpty ? path : "\(path)?\(text)", nil, as: caller)
  }
  private static func escaped(_ text: String) -> String {
    text.utf8.map { byte in
      switch byte {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
        UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"):
        String(UnicodeScalar(byte))
      default: "%" + (byte < 16 ? "0" : "") + String(byte, radix: 16, uppercase: true)
      }
    }.joined()
  }
}
