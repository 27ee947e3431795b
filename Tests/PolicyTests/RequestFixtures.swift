import Cryptography
import Domain
import HTTPTypes
import KeystoneAPI
import Store
import Wire

/// What the matrix asks: paths with the names of objects in them, and bodies.
extension Fixtures {
  // MARK: Names in paths

  /// Fills the `{names}` of a path.
  /// - Returns: the path, and whose objects it can name, none when it names nothing that belongs to somebody; nil when a name
  ///   has no fixture here.
  static func path(_ path: String, of service: String, _ column: Column) -> (path: String, columns: [Column])? {
    var out = ""
    var columns: [Column] = []
    for segment in path.split(separator: "/") {
      guard segment.hasPrefix("{") else {
        out += "/\(segment)"
        continue
      }
      let name = segment.dropFirst().dropLast().filter { $0 != "*" }
      if let fixed = fixed(String(name), service, path) {
        out += "/\(fixed)"
      } else if let kind = kind(String(name), service, path) {
        columns = sharedKinds.contains(kind) ? Column.allCases : [.story, .elsewhere, .nonexistent]
        switch column {
        case .story: out += "/\(id(kind, "tenant"))"
        case .elsewhere: out += "/\(id(kind, "elsewhere"))"
        case .nonexistent: out += "/\(id(kind, "nonexistent"))"
        case .shared: out += "/\(id(kind, "shared"))"
        }
      } else {
        return nil
      }
    }
    return (out.isEmpty ? "/" : out, columns)
  }

  private static let dashless: Set<String> = [
    "project", "user", "group", "credential", "domain", "limit", "access_rule", "stored_credential", "access",
  ]
  private static func id(_ kind: String, _ side: String) -> String {
    if kind == "domain" && side == "tenant" { return Project.defaultDomain }
    return dashless.contains(kind) ? MatrixSite.id("\(kind)-\(side)") : MatrixSite.uuid("\(kind)-\(side)")
  }

  /// Names of things that belong to nobody.
  private static func fixed(_ name: String, _ service: String, _ path: String) -> String? {
    switch (service, name) {
    case ("ironic", "driver"): "world"
    case ("ironic", "conductor"): "steelyard"
    case ("ironic", "indicator"): "led@system"
    case ("ironic", "setting"), ("ironic", "state"): "nothing"
    case ("ironic", "agent"): MatrixSite.uuid("nothing")
    case ("ironic", "chassis"): MatrixSite.uuid("chassis")
    case ("ironic", "trait"): "CUSTOM_A"
    case ("ironic", "vif"): MatrixSite.uuid("port-tenant")
    case ("ironic", "event"), ("ironic", "id"): MatrixSite.uuid("nothing")
    case ("keystone", "role"): MatrixSite.id("role")
    case ("keystone", "implied"): MatrixSite.id("implied")
    case ("keystone", "region"): "spare"
    case ("keystone", "config_group"): "ldap"
    case ("keystone", "config_option"): "url"
    case ("keystone", "service"), ("keystone", "endpoint"), ("keystone", "endpoint_group"), ("keystone", "policy"),
      ("keystone", "registered_limit"):
      MatrixSite.id(name)
    case (_, "tag"): "blue"
    case ("neutron", "alias"): "provider"
    case ("neutron", "segment"): MatrixSite.uuid("segment")
    case ("neutron", "range"): MatrixSite.uuid("range")
    case ("neutron", "id"): path.contains("/tags") ? nil : MatrixSite.uuid("nothing")
    case ("glance", "member"): MatrixSite.id("project-friend")
    case ("cinder", _): volumeFixed(name)
    case ("agent", "image"), ("agent", "workflow"): MatrixSite.uuid("nothing")
    case ("nova", _): serverWord(name, path)
    default: nil
    }
  }
  /// The kind of object that a name stands for.
  private static func kind(_ name: String, _ service: String, _ path: String) -> String? {
    switch (service, name) {
    case ("ironic", "node"), ("esi-leap", "node"): "node"
    case ("ironic", "port"): "nic"
    case ("ironic", "portgroup"), ("ironic", "connector"), ("ironic", "target"): name
    case ("ironic", "allocation"): "allocation"
    case ("keystone", "project"), ("neutron", "project"): "project"
    case ("keystone", "user"): "user"
    case ("keystone", "group"): "group"
    case ("keystone", "credential"): "credential"
    case ("keystone", "domain"): "domain"
    case ("keystone", "limit"): "limit"
    case ("keystone", "access_rule"): "access_rule"
    case ("keystone", "stored_credential"): "stored_credential"
    case ("keystone", "access"): "access"
    case ("neutron", "network"): "network"
    case ("neutron", "subnet"): "subnet"
    case ("neutron", "port"): "port"
    case ("neutron", "rbac_policy"), ("neutron", "subnetpool"), ("neutron", "address_scope"), ("neutron", "router"),
      ("neutron", "floatingip"), ("neutron", "forwarding"), ("neutron", "trunk"), ("neutron", "security_group"),
      ("neutron", "security_group_rule"):
      name
    case ("neutron", "id"):
      path.contains("/networks/")
        ? "network"
        : path.contains("/subnets/")
          ? "subnet"
          : path.contains("/ports/")
            ? "port"
            : path.contains("/subnetpools/")
              ? "subnetpool"
              : path.contains("/security-groups/")
                ? "security_group"
                : path.contains("/routers/")
                  ? "router"
                  : path.contains("/floatingips/") ? "floatingip" : path.contains("/trunks/") ? "trunk" : nil
    case ("glance", "image"):
      path.hasSuffix("/import") ? "staged" : path.contains("/actions/") ? "filled" : "image"
    case ("glance", "task"): "task"
    case ("cinder", let name) where volumeKinds.contains(name): name
    case ("nova", "image"): "image"
    case ("nova", "server"), ("nova", "flavor"), ("nova", "project"): name
    case ("nova", "volume"): "attached"
    case ("nova", "group"): "server_group"
    case ("nova", "network"): path.contains("os-tenant-networks") ? "network" : nil
    case ("esi-leap", "lease"): "lease"
    case ("esi-leap", "offer"), ("esi-leap", "erase_record"), ("esi-leap", "disk_backup"),
      ("esi-leap", "disk_backup_schedule"):
      name
    default: nil
    }
  }

  // MARK: Bodies

  /// What a caller would send; nil sends nothing.
  static func body(_ service: String, _ method: HTTPRequest.Method, _ path: String) -> JSON? {
    if method == .get || method == .delete || method == .head { return nil }
    let key = "\(service) \(method) \(path)"
    if let known = bodies[key] ?? routerBodies[key] ?? serverBodies[key] ?? volumeBodies[key] ?? diskBackupBodies[key] {
      return known
    }
    switch (service, method) {
    case ("ironic", .patch): return [["op": "add", "path": "/extra/x", "value": 1]]
    case ("neutron", .put) where path.hasSuffix("/tags"), ("neutron", .post) where path.hasSuffix("/tags"):
      return ["tags": ["red"]]
    case ("glance", .patch): return [["op": "add", "path": "/x", "value": "1"]]
    default: return [:]
    }
  }
  private static let bodies: [String: JSON] = [
    "ironic POST /v1/nodes": ["driver": "world"],
    "ironic POST /v1/nodes/{node}/capture": ["name": "captured"],
    "ironic POST /v1/ports": ["node_uuid": .string(MatrixSite.uuid("node-tenant")), "address": "52:54:00:aa:00:77"],
    "ironic POST /v1/portgroups": ["node_uuid": .string(MatrixSite.uuid("node-tenant"))],
    "ironic POST /v1/volume/connectors": [
      "node_uuid": .string(MatrixSite.uuid("node-tenant")), "type": "iqn", "connector_id": "iqn.new",
    ],
    "ironic POST /v1/volume/targets": [
      "node_uuid": .string(MatrixSite.uuid("node-tenant")), "volume_type": "iscsi", "volume_id": "new", "boot_index": 1,
    ],
    "ironic POST /v1/allocations": ["resource_class": "metal"],
    "ironic PUT /v1/nodes/{node}/states/raid": ["logical_disks": []],
    "ironic PUT /v1/nodes/{node}/states/boot_mode": ["target": "uefi"],
    "ironic PUT /v1/nodes/{node}/states/secure_boot": ["target": true],
    "ironic PUT /v1/nodes/{node}/management/indicators/{indicator}": ["state": "ON"],
    "ironic PUT /v1/nodes/{node}/states/power": ["target": "power on"],
    "ironic PUT /v1/nodes/{node}/states/provision": ["target": "deleted"],
    "ironic PUT /v1/nodes/{node}/states/console": ["enabled": true],
    "ironic PUT /v1/nodes/{node}/management/boot_device": ["boot_device": "disk"],
    "ironic PUT /v1/nodes/{node}/traits": ["traits": ["CUSTOM_B"]],
    "ironic POST /v1/nodes/{node}/vifs": ["id": .string(MatrixSite.uuid("port-tenant"))],
    "keystone POST /v3/projects": ["project": ["name": "new", "domain_id": "default"]],
    "keystone PATCH /v3/projects/{project}": ["project": ["description": "x"]],
    "keystone PUT /v3/projects/{project}/tags": ["tags": ["red"]],
    "keystone POST /v3/domains": ["domain": ["name": "new"]],
    "keystone PATCH /v3/domains/{domain}": ["domain": ["description": "x"]],
    "keystone POST /v3/users": ["user": ["name": "new", "domain_id": "default"]],
    "keystone PATCH /v3/users/{user}": ["user": ["description": "x"]],
    "keystone POST /v3/users/{user}/password": ["user": ["password": "new", "original_password": "old"]],
    "keystone POST /v3/groups": ["group": ["name": "new", "domain_id": "default"]],
    "keystone PATCH /v3/groups/{group}": ["group": ["description": "x"]],
    "keystone POST /v3/roles": ["role": ["name": "new"]],
    "keystone PATCH /v3/roles/{role}": ["role": ["description": "x"]],
    "keystone POST /v3/users/{user}/application_credentials": ["application_credential": ["name": "new"]],
    "keystone POST /v3/credentials": ["credential": ["type": "note", "blob": "x"]],
    "keystone PATCH /v3/credentials/{stored_credential}": ["credential": ["blob": "y"]],
    "keystone POST /v3/users/{user}/credentials/OS-EC2": ["tenant_id": .string(MatrixSite.tenant)],
    "keystone PUT /v3/domains/{domain}/config": ["config": ["ldap": ["url": "ldap://y"]]],
    "keystone PATCH /v3/domains/{domain}/config": ["config": ["ldap": ["url": "ldap://y"]]],
    "keystone PATCH /v3/domains/{domain}/config/{config_group}": ["config": ["ldap": ["url": "ldap://y"]]],
    "keystone PATCH /v3/domains/{domain}/config/{config_group}/{config_option}": ["config": ["url": "ldap://y"]],
    "keystone POST /v3/regions": ["region": ["id": "new"]],
    "keystone PUT /v3/regions/{region}": ["region": ["description": "x"]],
    "keystone PATCH /v3/regions/{region}": ["region": ["description": "x"]],
    "keystone POST /v3/services": ["service": ["type": "new"]],
    "keystone PATCH /v3/services/{service}": ["service": ["name": "x"]],
    "keystone POST /v3/endpoints": [
      "endpoint": [
        "service_id": .string(MatrixSite.id("service")), "interface": "internal", "url": "http://x/",
        "region_id": "spare",
      ]
    ],
    "keystone PATCH /v3/endpoints/{endpoint}": ["endpoint": ["url": "http://y/"]],
    "keystone POST /v3/OS-EP-FILTER/endpoint_groups": [
      "endpoint_group": ["name": "new", "filters": ["interface": "admin"]]
    ],
    "keystone PATCH /v3/OS-EP-FILTER/endpoint_groups/{endpoint_group}": ["endpoint_group": ["name": "x"]],
    "keystone POST /v3/policies": ["policy": ["type": "application/json", "blob": "{}"]],
    "keystone PATCH /v3/policies/{policy}": ["policy": ["type": "text/plain"]],
    "keystone POST /v3/registered_limits": [
      "registered_limits": [
        ["service_id": .string(MatrixSite.id("service")), "resource_name": "ports", "default_limit": 1]
      ]
    ],
    "keystone PATCH /v3/registered_limits/{registered_limit}": ["registered_limit": ["default_limit": 9]],
    "keystone POST /v3/limits": [
      "limits": [
        [
          "service_id": .string(MatrixSite.id("service")), "resource_name": "nodes", "resource_limit": 1,
          "project_id": .string(MatrixSite.id("project-owner")),
        ]
      ]
    ],
    "keystone PATCH /v3/limits/{limit}": ["limit": ["resource_limit": 9]],
    "keystone POST /v3/auth/tokens": [
      "auth": ["identity": ["methods": ["password"], "password": ["user": ["id": "x", "password": "y"]]]]
    ],
    "neutron POST /v2.0/networks": ["network": ["name": "new"]],
    "neutron PUT /v2.0/networks/{network}": ["network": ["name": "x"]],
    "neutron POST /v2.0/subnets": [
      "subnet": ["network_id": .string(MatrixSite.uuid("network-tenant")), "cidr": "10.9.0.0/24", "ip_version": 4]
    ],
    "neutron PUT /v2.0/subnets/{subnet}": ["subnet": ["name": "x"]],
    "neutron POST /v2.0/ports": ["port": ["network_id": .string(MatrixSite.uuid("network-tenant"))]],
    "neutron PUT /v2.0/ports/{port}": ["port": ["name": "x"]],
    "neutron POST /v2.0/rbac-policies": [
      "rbac_policy": [
        "object_type": "network", "object_id": .string(MatrixSite.uuid("network-tenant")), "action": "access_as_shared",
        "target_tenant": .string(MatrixSite.id("project-other")),
      ]
    ],
    "neutron POST /v2.0/security-groups": ["security_group": ["name": "new"]],
    "neutron PUT /v2.0/security-groups/{security_group}": ["security_group": ["name": "x"]],
    "neutron POST /v2.0/security-group-rules": [
      "security_group_rule": [
        "security_group_id": .string(MatrixSite.uuid("security_group-tenant")), "direction": "ingress",
        "protocol": "tcp",
      ]
    ],
    "neutron POST /v2.0/subnetpools": ["subnetpool": ["name": "new", "prefixes": ["10.77.0.0/16"]]],
    "neutron PUT /v2.0/subnetpools/{subnetpool}": ["subnetpool": ["name": "x"]],
    "neutron PUT /v2.0/subnetpools/{subnetpool}/add_prefixes": ["prefixes": ["10.78.0.0/16"]],
    "neutron PUT /v2.0/subnetpools/{subnetpool}/remove_prefixes": ["prefixes": ["10.78.0.0/16"]],
    "neutron POST /v2.0/address-scopes": ["address_scope": ["name": "new", "ip_version": 4]],
    "neutron PUT /v2.0/address-scopes/{address_scope}": ["address_scope": ["name": "x"]],
    "neutron PUT /v2.0/rbac-policies/{rbac_policy}": [
      "rbac_policy": ["target_tenant": .string(MatrixSite.id("project-other"))]
    ],
    "neutron POST /v2.0/segments": [
      "segment": [
        "network_id": .string(MatrixSite.uuid("network-tenant")), "network_type": "vxlan", "segmentation_id": 8,
      ]
    ],
    "neutron PUT /v2.0/segments/{segment}": ["segment": ["name": "x"]],
    "neutron POST /v2.0/trunks": ["trunk": ["port_id": .string(MatrixSite.uuid("subport-tenant"))]],
    "neutron PUT /v2.0/trunks/{trunk}": ["trunk": ["name": "x"]],
    "neutron PUT /v2.0/trunks/{trunk}/add_subports": [
      "sub_ports": [
        ["port_id": .string(MatrixSite.uuid("subport-tenant")), "segmentation_type": "vlan", "segmentation_id": 5]
      ]
    ],
    "neutron PUT /v2.0/trunks/{trunk}/remove_subports": ["sub_ports": []],
    "neutron PUT /v2.0/quotas/{project}": ["quota": ["network": 5]],
    "neutron POST /v2.0/network_segment_ranges": [
      "network_segment_range": [
        "name": "new", "network_type": "vlan", "physical_network": "datacentre", "minimum": 300, "maximum": 310,
        "shared": true,
      ]
    ],
    "neutron PUT /v2.0/network_segment_ranges/{range}": ["network_segment_range": ["name": "x"]],
    "glance POST /v2/images": ["name": "new"],
    "glance POST /v2/images/{image}/members": ["member": .string(MatrixSite.id("project-stranger"))],
    "glance PUT /v2/images/{image}/members/{member}": ["status": "accepted"],
    "glance POST /v2/images/{image}/import": ["method": ["name": "glance-direct"]],
    "esi-leap POST /v1/console_auth_tokens": ["node_uuid_or_name": .string(MatrixSite.uuid("node-tenant"))],
    "esi-leap POST /v1/offers": ["resource_uuid": .string(MatrixSite.uuid("node-tenant"))],
    "esi-leap POST /v1/leases": [
      "resource_uuid": .string(MatrixSite.uuid("offered-tenant")), "project_id": .string(MatrixSite.tenant),
    ],
    "esi-leap PATCH /v1/leases/{lease}": ["end_time": "2099-01-01T00:00:00"],
  ]
}
