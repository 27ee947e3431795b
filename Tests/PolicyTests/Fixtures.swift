import Cryptography
import Domain
import HTTPTypes
import KeystoneAPI
import Store
import Wire

/// What the matrix's database holds, and how paths and bodies name it.
enum Fixtures {
  static func write(to database: Database) async throws {
    let box = database.secrets
    try await database.write { session in
      let now = MatrixSite.now()
      _ = try IdentityBootstrap.initialise(in: session, adminPassword: "not used", now: now)
      try ProjectStore.insert(
        Project(
          id: MatrixSite.id("domain-elsewhere"), name: "d-elsewhere", domainID: nil, isDomain: true, createdAt: now),
        in: session)
      for name in ["admin", "owner", "tenant", "stranger", "elsewhere", "service", "former", "sub", "sharer"] {
        try ProjectStore.insert(
          Project(
            id: MatrixSite.id("project-\(name)"), name: "p-\(name)", domainID: domain(of: name), tags: ["blue"],
            createdAt: now
          ), in: session)
      }
      try IdentitySettings.setAdminProjectID(MatrixSite.admin, in: session)
      let member = MatrixSite.id("role")
      let implied = Role(id: MatrixSite.id("implied"), name: "implied")
      try RoleStore.insert(Role(id: member, name: "custom"), in: session)
      try RoleStore.insert(implied, in: session)
      try RoleStore.addImplication(member, implies: implied.id, in: session)
      for name in [
        "admin", "boss", "manager", "owner", "tenant", "member", "reader", "stranger", "elsewhere", "system-reader",
        "domain-manager", "service", "former", "sub",
      ] {
        let user = MatrixSite.id("user-\(name)")
        try UserStore.insert(User(id: user, name: "u-\(name)", domainID: domain(of: name), createdAt: now), in: session)
      }
      for side in ["tenant", "elsewhere"] {
        let group = MatrixSite.id("group-\(side)"), user = MatrixSite.id("user-\(side)"),
          project = MatrixSite.id("project-\(side)")
        try UserGroupStore.insert(UserGroup(id: group, name: "g-\(side)", domainID: domain(of: side)), in: session)
        try UserGroupStore.add(user, to: group, in: session)
        for (target, inherited) in [
          (RoleAssignment.Target.project(project), false), (.domain(domain(of: side)), false),
          (.project(project), true),
          (.domain(domain(of: side)), true), (.system, false),
        ] {
          for holder in [RoleAssignment.Holder.user(user), .group(group)] {
            try RoleAssignmentStore.add(
              RoleAssignment(holder: holder, target: target, roleID: member, isInherited: inherited), in: session)
          }
        }
        let access = MatrixSite.id("access-\(side)")
        for (id, blob) in [
          (MatrixSite.id("stored_credential-\(side)"), "x"),
          (Digest.sha256Hex(access), JSON.object(["access": .string(access), "secret": "s"]).description),
        ] {
          try CredentialStore.insert(
            .init(id: id, userID: user, projectID: project, type: blob == "x" ? "note" : "ec2", blob: blob), box: box,
            in: session)
        }
        try DomainOptionStore.set(
          "ldap://x", domain: domain(of: side), group: "ldap", name: "url", box: nil, in: session)
        let rule = AccessRule(
          id: MatrixSite.id("access_rule-\(side)"), service: "baremetal", method: "GET", path: "/v1/\(side)")
        _ = try AccessRuleStore.ensure(rule, user: user, in: session)
        try ApplicationCredentialStore.insert(
          ApplicationCredential(
            id: MatrixSite.id("credential-\(side)"), name: "c-\(side)", description: nil, userID: user,
            projectID: project,
            roleIDs: [member], expiresAt: nil, isUnrestricted: false, secretHash: "x"), at: now, in: session)
      }
      try catalog(in: session)
      try machines(box, now, in: session)
      try networks(now, in: session)
      try routers(now, in: session)
      try share(box, now, in: session)
      for side in ["tenant", "elsewhere"] {
        var image = Image(
          id: MatrixSite.uuid("image-\(side)"), name: "i-\(side)", owner: MatrixSite.id("project-\(side)"),
          createdAt: now)
        image.diskFormat = "raw"
        image.containerFormat = "bare"
        image.tags = ["blue"]
        try ImageStore.insert(image, in: session)
        try ImageStore.set(
          ImageMember(imageID: image.id, projectID: MatrixSite.id("project-friend"), createdAt: now), in: session)
      }
    }
  }

  /// What is elsewhere is in a domain of its own, so that a domain's manager has something to be kept from.
  private static func domain(of side: String) -> String {
    side == "elsewhere" ? MatrixSite.id("domain-elsewhere") : Project.defaultDomain
  }

  private static func catalog(in session: any Session) throws {
    let service = CatalogService(id: MatrixSite.id("service"), type: "added", name: "added")
    let endpoint = CatalogEndpoint(
      id: MatrixSite.id("endpoint"), serviceID: service.id, interface: .public, regionID: Region.own, url: "http://x/")
    let group = EndpointGroup(
      id: MatrixSite.id("endpoint_group"), name: "g", filters: ["interface": .string("public")])
    try CatalogStore.insert(service, in: session)
    try CatalogStore.insert(endpoint, in: session)
    try EndpointFilterStore.insert(group, in: session)
    try RegionStore.insert(Region(id: "spare"), in: session)
    try PolicyDocumentStore.insert(
      .init(id: MatrixSite.id("policy"), type: "application/json", content: [:]), in: session)
    let registered = RegisteredLimit(
      id: MatrixSite.id("registered_limit"), serviceID: service.id, regionID: nil, resourceName: "nodes",
      defaultLimit: 5, description: nil)
    try LimitStore.insert(registered, in: session)
    for side in ["tenant", "elsewhere"] {
      let project = MatrixSite.id("project-\(side)")
      try EndpointFilterStore.add(endpoint: endpoint.id, to: project, in: session)
      try EndpointFilterStore.add(group: group.id, to: project, in: session)
      try LimitStore.insert(
        Limit(
          id: MatrixSite.id("limit-\(side)"), registered: registered, projectID: project, isForDomain: false,
          resourceLimit: 7, description: nil), in: session)
    }
  }

  private static func machines(_ box: SecretBox, _ now: Timestamp, in session: any Session) throws {
    let far = now + .seconds(10 * 86_400)
    try ChassisStore.insert(Chassis(uuid: MatrixSite.uuid("chassis"), createdAt: now), in: session)
    for (side, owner) in [("tenant", MatrixSite.owner), ("elsewhere", MatrixSite.elsewhere)] {
      let project = MatrixSite.id("project-\(side)")
      var node = Node(uuid: MatrixSite.uuid("node-\(side)"), name: "n-\(side)", driver: "world", createdAt: now)
      node.driverInfo = ["address": .string(side), "password": "hunter2"]
      node.resourceClass = "metal"
      node.owner = owner
      node.lessee = project
      node.leaseUUID = MatrixSite.uuid("lease-\(side)")
      node.provisionState = .available
      node.powerState = .off
      node.traits = ["CUSTOM_A"]
      node.instanceUUID = MatrixSite.uuid("allocation-\(side)")
      node.allocationUUID = node.instanceUUID
      try NodeStore.insert(node, secrets: ["password"], box: box, in: session)
      try NodeStore.setInventory(["cpus": 1], of: node.uuid, at: now, in: session)
      var port = Port(
        uuid: MatrixSite.uuid("nic-\(side)"), nodeUUID: node.uuid,
        address: side == "tenant" ? "52:54:00:aa:00:01" : "52:54:00:aa:00:02",
        createdAt: now)
      port.localLinkConnection = ["switch_info": "sw0", "port_id": .string(side)]
      try PortStore.insert(port, in: session)
      var group = PortGroup(uuid: MatrixSite.uuid("portgroup-\(side)"), nodeUUID: node.uuid, createdAt: now)
      group.name = "bond-\(side)"
      try PortGroupStore.insert(group, in: session)
      var connector = VolumeConnector(uuid: MatrixSite.uuid("connector-\(side)"), nodeUUID: node.uuid, createdAt: now)
      connector.type = "iqn"
      connector.connectorID = "iqn.\(side)"
      try VolumeConnectorStore.insert(connector, in: session)
      var target = VolumeTarget(uuid: MatrixSite.uuid("target-\(side)"), nodeUUID: node.uuid, createdAt: now)
      target.volumeType = "iscsi"
      target.volumeID = "v-\(side)"
      try VolumeTargetStore.insert(target, box: box, in: session)
      var allocation = Allocation(uuid: MatrixSite.uuid("allocation-\(side)"), createdAt: now)
      allocation.owner = project
      allocation.nodeUUID = node.uuid
      allocation.state = .active
      allocation.resourceClass = "metal"
      try AllocationStore.insert(allocation, in: session)
      // A second machine of the owner's, offered.
      var offered = Node(uuid: MatrixSite.uuid("offered-\(side)"), name: "o-\(side)", driver: "world", createdAt: now)
      offered.owner = owner
      offered.provisionState = .available
      offered.powerState = .off
      try NodeStore.insert(offered, secrets: [], box: box, in: session)
      try OfferStore.insert(
        Offer(
          uuid: MatrixSite.uuid("offer-\(side)"), name: "offer-\(side)", projectID: owner, lesseeID: project,
          resourceUUID: offered.uuid, time: TimeRange(now - .seconds(60), far), createdAt: now), in: session)
      try LeaseStore.insert(
        Lease(
          uuid: MatrixSite.uuid("lease-\(side)"), name: "lease-\(side)", projectID: project, ownerID: owner,
          resourceUUID: node.uuid,
          time: TimeRange(now - .seconds(60), far), status: .active, createdAt: now), in: session)
    }
    let machine = MatrixSite.uuid("node-tenant")
    try LeaseStore.insert(
      Lease(
        uuid: MatrixSite.uuid("lease-former"), name: "lease-former", projectID: MatrixSite.id("project-former"),
        ownerID: MatrixSite.owner, resourceUUID: machine,
        time: TimeRange(now - .seconds(86_400), now - .seconds(3_600)), status: .expired, createdAt: now), in: session)
    var later = Lease(
      uuid: MatrixSite.uuid("lease-sub"), name: "lease-sub", projectID: MatrixSite.id("project-sub"),
      ownerID: MatrixSite.tenant, resourceUUID: machine,
      time: TimeRange(now + .seconds(86_400), now + .seconds(2 * 86_400)), createdAt: now)
    later.parentUUID = MatrixSite.uuid("lease-tenant")
    try LeaseStore.insert(later, in: session)
  }

  private static func networks(_ now: Timestamp, in session: any Session) throws {
    try SegmentRangeStore.insert(
      SegmentRange(
        id: MatrixSite.uuid("range"), name: "pool", isDefault: true, physicalNetwork: "datacentre", vlans: 200...299,
        createdAt: now),
      in: session)
    let carried = Network(
      id: MatrixSite.uuid("carried"), projectID: MatrixSite.id("project-admins"), name: "carried",
      physicalNetwork: "datacentre", vlan: 209, createdAt: now)
    try NetworkStore.insert(carried, in: session)
    try NetworkSegmentStore.insert(
      NetworkSegment(id: MatrixSite.uuid("segment"), networkID: carried.id, carrier: .vxlan(7), createdAt: now),
      in: session)
    for (side, vlan) in [("tenant", 201), ("elsewhere", 202)] {
      let project = MatrixSite.id("project-\(side)")
      let network = Network(
        id: MatrixSite.uuid("network-\(side)"), projectID: project, name: "net-\(side)", physicalNetwork: "datacentre",
        vlan: vlan,
        tags: ["blue"], createdAt: now)
      try NetworkStore.insert(network, in: session)
      guard let cidr = CIDR("10.0.\(vlan - 200).0/24"), let first = IPAddress("10.0.\(vlan - 200).10"),
        let last = IPAddress("10.0.\(vlan - 200).99")
      else { continue }
      try SubnetStore.insert(
        Subnet(
          id: MatrixSite.uuid("subnet-\(side)"), networkID: network.id, projectID: project, name: "sub-\(side)",
          cidr: cidr, gateway: nil,
          pools: [AddressPool(first, last)], tags: ["blue"], createdAt: now), in: session)
      try NetworkPortStore.insert(
        NetworkPort(
          id: MatrixSite.uuid("port-\(side)"), networkID: network.id, projectID: project, name: "port-\(side)",
          tags: ["blue"],
          createdAt: now), in: session)
      for kind in ["network", "subnet", "port"] {
        try NetworkTagStore.set(["blue"], of: MatrixSite.uuid("\(kind)-\(side)"), in: session)
      }
      for kind in ["parent", "subport"] {
        let id = MatrixSite.uuid("\(kind)-\(side)")
        try NetworkPortStore.insert(
          NetworkPort(id: id, networkID: network.id, projectID: project, name: "\(kind)-\(side)", createdAt: now),
          in: session)
      }
      try TrunkStore.insert(
        Trunk(
          id: MatrixSite.uuid("trunk-\(side)"), projectID: project, name: "trunk-\(side)",
          portID: MatrixSite.uuid("parent-\(side)"), tags: ["blue"], createdAt: now), in: session)
      try pool(side, of: project, "10.\(vlan - 10).0.0/16", now, in: session)
      try group(side, of: project, now, in: session)
      try RBACPolicyStore.insert(
        RBACPolicy(
          id: MatrixSite.uuid("rbac_policy-\(side)"), projectID: project, objectType: .network, objectID: network.id,
          target: MatrixSite.id("project-friend"), createdAt: now), in: session)
    }
  }

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
    case ("agent", "image"), ("agent", "workflow"): MatrixSite.uuid("nothing")
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
    case ("glance", "image"): "image"
    case ("esi-leap", "lease"): "lease"
    case ("esi-leap", "offer"): "offer"
    default: nil
    }
  }

  // MARK: Bodies

  /// What a caller would send; nil sends nothing.
  static func body(_ service: String, _ method: HTTPRequest.Method, _ path: String) -> JSON? {
    if method == .get || method == .delete || method == .head { return nil }
    let key = "\(service) \(method) \(path)"
    if let known = bodies[key] ?? routerBodies[key] { return known }
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
    "neutron POST /v2.0/network-segment-ranges": [
      "network_segment_range": [
        "name": "new", "network_type": "vlan", "physical_network": "datacentre", "minimum": 300, "maximum": 310,
        "shared": true,
      ]
    ],
    "neutron PUT /v2.0/network-segment-ranges/{range}": ["network_segment_range": ["name": "x"]],
    "glance POST /v2/images": ["name": "new"],
    "glance POST /v2/images/{image}/members": ["member": .string(MatrixSite.id("project-stranger"))],
    "glance PUT /v2/images/{image}/members/{member}": ["status": "accepted"],
    "esi-leap POST /v1/console_auth_tokens": ["node_uuid_or_name": .string(MatrixSite.uuid("node-tenant"))],
    "esi-leap POST /v1/offers": ["resource_uuid": .string(MatrixSite.uuid("node-tenant"))],
    "esi-leap POST /v1/leases": [
      "resource_uuid": .string(MatrixSite.uuid("offered-tenant")), "project_id": .string(MatrixSite.tenant),
    ],
    "esi-leap PATCH /v1/leases/{lease}": ["end_time": "2099-01-01T00:00:00"],
  ]
}
