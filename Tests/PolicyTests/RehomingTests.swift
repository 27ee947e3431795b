import APISupport
import HTTPTypes
import Testing
import Wire

/// Bodies and headers that reach for what is another's.
@Suite struct RehomingTests {
  /// A request that names something foreign in its body.
  private struct Reach: Sendable {
    var service: String
    var method: HTTPRequest.Method
    var path: String
    var caller: Caller
    /// What the body names.
    var kind: String
    /// May be taken, if what is not there is taken too.
    var mayPass = false
    var body: @Sendable (JSON) -> JSON

    init(
      _ service: String, _ method: HTTPRequest.Method, _ path: String, naming kind: String, as caller: Caller = .lessee,
      mayPass: Bool = false, _ body: @escaping @Sendable (JSON) -> JSON
    ) {
      (self.service, self.method, self.path, self.kind) = (service, method, path, kind)
      (self.caller, self.mayPass, self.body) = (caller, mayPass, body)
    }
  }

  private static func add(_ path: String) -> @Sendable (JSON) -> JSON {
    { [["op": "add", "path": .string(path), "value": $0]] }
  }
  private static func uuid(_ kind: String) -> String { MatrixSite.uuid("\(kind)-tenant") }
  private static let node = "/v1/nodes/\(uuid("node"))"

  private static let machines: [Reach] =
    ["ports/\(uuid("nic"))", "portgroups/\(uuid("portgroup"))"].flatMap { path in
      [Caller.lessee, .owner].map { Reach("ironic", .patch, "/v1/\(path)", naming: "node", as: $0, add("/node_uuid")) }
    } + [
      Reach("ironic", .patch, "/v1/volume/connectors/\(uuid("connector"))", naming: "node", add("/node_uuid")),
      Reach("ironic", .patch, "/v1/volume/targets/\(uuid("target"))", naming: "node", add("/node_uuid")),
      Reach("ironic", .patch, node, naming: "node", as: .owner, add("/parent_node")),
      Reach("ironic", .patch, node, naming: "project", as: .owner, add("/owner")),
      Reach("ironic", .patch, node, naming: "project", add("/lessee")),
      Reach("ironic", .patch, node, naming: "allocation", add("/allocation_uuid")),
      Reach("ironic", .post, "/v1/ports", naming: "node") { ["node_uuid": $0, "address": "52:54:00:aa:00:78"] },
      Reach("ironic", .post, "/v1/portgroups", naming: "node") { ["node_uuid": $0] },
      Reach("ironic", .post, "/v1/volume/connectors", naming: "node") {
        ["node_uuid": $0, "type": "iqn", "connector_id": "iqn.x"]
      },
      Reach("ironic", .post, "/v1/volume/targets", naming: "node") {
        ["node_uuid": $0, "volume_type": "iscsi", "volume_id": "x", "boot_index": 1]
      },
      Reach("ironic", .post, "/v1/allocations", naming: "node") {
        ["node": $0, "resource_class": "metal", "name": "backfill"]
      },
      Reach("ironic", .post, "/v1/allocations", naming: "project") { ["owner": $0, "resource_class": "metal"] },
      Reach("ironic", .post, "\(node)/vifs", naming: "port") { ["id": $0] },
    ]
  private static let networks: [Reach] = [
    Reach("neutron", .put, "/v2.0/networks/\(uuid("network"))", naming: "project") { ["network": ["project_id": $0]] },
    Reach("neutron", .put, "/v2.0/networks/\(uuid("network"))", naming: "project") { ["network": ["tenant_id": $0]] },
    Reach("neutron", .put, "/v2.0/subnets/\(uuid("subnet"))", naming: "network") { ["subnet": ["network_id": $0]] },
    Reach("neutron", .put, "/v2.0/ports/\(uuid("port"))", naming: "network") { ["port": ["network_id": $0]] },
    Reach("neutron", .put, "/v2.0/ports/\(uuid("port"))", naming: "subnet") {
      ["port": ["fixed_ips": [["subnet_id": $0]]]]
    },
    Reach("neutron", .post, "/v2.0/networks", naming: "project") { ["network": ["name": "x", "project_id": $0]] },
    Reach("neutron", .post, "/v2.0/subnets", naming: "network") {
      ["subnet": ["network_id": $0, "cidr": "10.9.0.0/24", "ip_version": 4]]
    },
    Reach("neutron", .post, "/v2.0/ports", naming: "network") { ["port": ["network_id": $0]] },
    Reach("neutron", .post, "/v2.0/ports", naming: "subnet") {
      ["port": ["network_id": .string(uuid("network")), "fixed_ips": [["subnet_id": $0]]]]
    },
    Reach("glance", .patch, "/v2/images/\(uuid("image"))", naming: "project") {
      [["op": "replace", "path": "/owner", "value": $0]]
    },
    Reach("glance", .post, "/v2/images", naming: "project") { ["name": "x", "owner": $0] },
    Reach("glance", .post, "/v2/images/\(uuid("image"))/members", naming: "project", mayPass: true) { ["member": $0] },
  ]
  private static let leases: [Reach] =
    ["project_id", "owner_id"].map { name in
      Reach("esi-leap", .patch, "/v1/leases/\(uuid("lease"))", naming: "project") { .object([name: $0]) }
    } + [
      Reach("esi-leap", .patch, "/v1/leases/\(uuid("lease"))", naming: "node") { ["resource_uuid": $0] },
      Reach("esi-leap", .patch, "/v1/leases/\(uuid("lease"))", naming: "lease") { ["parent_lease_uuid": $0] },
      Reach("esi-leap", .patch, "/v1/leases/\(uuid("lease"))", naming: "offer") { ["offer_uuid": $0] },
      Reach("esi-leap", .post, "/v1/offers", naming: "node", as: .owner) { ["resource_uuid": $0] },
      Reach("esi-leap", .post, "/v1/leases", naming: "node", as: .owner) {
        ["resource_uuid": $0, "project_id": .string(MatrixSite.tenant)]
      },
      Reach("esi-leap", .post, "/v1/console_auth_tokens", naming: "node") { ["node_uuid_or_name": $0] },
    ]
  private static let identities: [Reach] = [
    Reach("keystone", .patch, "/v3/users/\(MatrixSite.id("user-reader"))", naming: "domain", as: .domainManager) {
      ["user": ["domain_id": $0]]
    },
    Reach("keystone", .patch, "/v3/projects/\(MatrixSite.tenant)", naming: "domain", as: .domainManager) {
      ["project": ["domain_id": $0]]
    },
    Reach("keystone", .patch, "/v3/projects/\(MatrixSite.tenant)", naming: "project", as: .domainManager) {
      ["project": ["parent_id": $0]]
    },
    Reach("keystone", .post, "/v3/projects", naming: "project", as: .domainManager) {
      ["project": ["name": "x", "parent_id": $0]]
    },
    Reach("keystone", .post, "/v3/projects", naming: "domain", as: .domainManager) {
      ["project": ["name": "x", "domain_id": $0]]
    },
    Reach("keystone", .post, "/v3/users", naming: "domain", as: .domainManager) {
      ["user": ["name": "x", "domain_id": $0]]
    },
    Reach("keystone", .post, "/v3/groups", naming: "domain", as: .domainManager) {
      ["group": ["name": "x", "domain_id": $0]]
    },
    Reach("keystone", .post, "/v3/credentials", naming: "user") {
      ["credential": ["type": "x", "blob": "y", "user_id": $0]]
    },
    Reach("keystone", .post, "/v3/credentials", naming: "project") {
      ["credential": ["type": "x", "blob": "y", "project_id": $0]]
    },
    Reach("keystone", .patch, "/v3/credentials/\(MatrixSite.id("stored_credential-tenant"))", naming: "user") {
      ["credential": ["user_id": $0]]
    },
    Reach("keystone", .post, "/v3/users/\(MatrixSite.id("user-tenant"))/credentials/OS-EC2", naming: "project") {
      ["tenant_id": $0]
    },
  ]

  @Test func abuse25_nothingMovesToAnothersObject() async throws {
    let site = try await MatrixSite()
    for reach in Self.machines + Self.networks + Self.leases + Self.identities {
      let service = try #require(site.services.first { $0.name == reach.service })
      let isHex = ["project", "user", "group", "domain"].contains(reach.kind)
      func ask(_ side: String) async throws -> (status: Int, body: String) {
        let words = "\(reach.kind)-\(side)"
        let id = isHex ? MatrixSite.id(words) : MatrixSite.uuid(words)
        let answer = try await site.call(service, reach.method, reach.path, reach.body(.string(id)), as: reach.caller)
        if answer.status < 300 { try await site.reset() }
        return (answer.status, answer.body.replacing(id, with: "ID"))
      }
      let (foreign, none) = (try await ask("elsewhere"), try await ask("nonexistent"))
      let what = "\(reach.service) \(reach.method) \(reach.path) naming a \(reach.kind)"
      #expect((400..<500).contains(foreign.status) || reach.mayPass, "\(what): \(foreign)")
      #expect(foreign.status == none.status, "\(what): \(foreign) beside \(none)")
      if foreign.status >= 400 { #expect(foreign.body == none.body, "\(what)") }
      #expect(!ForeignWords.areIn(foreign.body), "\(what): \(foreign)")
    }
    site.removeAll()
  }

  /// What the server decides of a new thing. The id of an image and the UUID of an allocation are their maker's, as upstream.
  private static let decided = [
    "neutron": ["id", "project_id", "tenant_id", "status"], "glance": ["owner", "status", "created_at"],
    "ironic": ["owner", "state", "node_uuid"],
    "esi-leap": ["uuid", "owner_id", "project_id", "status", "resource_uuid"],
    "keystone": ["id", "domain_id"],
  ]

  @Test func abuse27_noBodyChoosesWhatTheServerDecides() async throws {
    let site = try await MatrixSite()
    let chosen = MatrixSite.uuid("chosen")
    let bodies: [(service: String, path: String, noun: String?, caller: Caller, JSONObject)] = [
      ("neutron", "/v2.0/networks", "network", .lessee, ["name": "x"]),
      (
        "neutron", "/v2.0/ports", "port", .lessee, ["network_id": .string(MatrixSite.uuid("network-tenant"))]
      ),
      ("glance", "/v2/images", nil, .lessee, ["name": "x"]),
      ("ironic", "/v1/allocations", nil, .lessee, ["resource_class": "metal"]),
      (
        "esi-leap", "/v1/leases", nil, .owner,
        [
          "resource_uuid": .string(MatrixSite.uuid("offered-tenant")), "project_id": .string(MatrixSite.tenant),
        ]
      ),
      ("keystone", "/v3/projects", "project", .domainManager, ["name": "x"]),
      ("keystone", "/v3/users", "user", .domainManager, ["name": "x"]),
      ("keystone", "/v3/credentials", "credential", .lessee, ["type": "x", "blob": "y"]),
    ]
    for (serviceName, path, noun, caller, good) in bodies {
      let service = try #require(site.services.first { $0.name == serviceName })
      for name in [
        "id", "uuid", "owner", "owner_id", "user_id", "tenant_id", "project_id", "is_admin", "status", "state",
        "created_at", "lease_uuid", "node_uuid",
      ] where good[name] == nil {
        var body = good
        body[name] = .string(chosen)
        let answer = try await site.call(
          service, .post, path, noun.map { [$0: .object(body)] } ?? .object(body), as: caller)
        if answer.status >= 300 {
          #expect((400..<500).contains(answer.status), "\(path) \(name): \(answer)")
          continue
        }
        // Not taken at all, or as an attribute of the caller's own that means nothing here (Keystone, Glance).
        let made = try JSON(parsing: answer.body)
        let object = noun.flatMap { made[$0] } ?? made
        for decided in Self.decided[serviceName] ?? [] {
          #expect(object[decided]?.string != chosen, "\(path) \(name): \(answer.body)")
        }
        try await site.reset()
      }
    }
    site.removeAll()
  }

  @Test func abuse28_forgedHeadersGiveNothing() async throws {
    let site = try await MatrixSite()
    let forged = [
      "X-Roles": "admin", "X-Role": "admin", "X-User-Id": MatrixSite.id("user-admin"),
      "X-Project-Id": MatrixSite.elsewhere,
      "X-Tenant-Id": MatrixSite.elsewhere, "X-Is-Admin-Project": "True", "X-Identity-Status": "Confirmed",
      "OpenStack-System-Scope": "all", "X-Service-Roles": "service", "X-Forwarded-Host": "evil.example",
      "X-Forwarded-Proto": "gopher", "X-Forwarded-For": "127.0.0.1", "Forwarded": "host=evil.example",
      "X-Original-URL": "/identity/v3/users", "X-HTTP-Method-Override": "DELETE",
    ].reduce(into: HTTPFields()) { headers, field in headers[HTTPField.Name(known: field.key)] = field.value }
    for service in site.services where service.isInCatalog {
      for endpoint in service.endpoints where endpoint.method == .get {
        for caller in [Caller.stranger, .nobody] {
          guard let (path, _) = Fixtures.path(endpoint.path, of: service.name, .elsewhere) else { continue }
          let plain = try await site.call(service, .get, path, nil, as: caller)
          let answer = try await site.call(service, .get, path, nil, as: caller, headers: forged)
          #expect(answer.status == plain.status, "\(service.name) \(path) as \(caller.rawValue): \(answer)")
          #expect(!answer.body.contains("evil.example"), "\(service.name) \(path)")
          #expect(answer.status >= 400 || !ForeignWords.areIn(answer.body), "\(service.name) \(path)")
        }
      }
    }
    site.removeAll()
  }
}
