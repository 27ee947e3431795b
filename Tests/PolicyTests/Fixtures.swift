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
      try volumes(box, now, in: session)
      try eraseRecords(now, in: session)
      try diskBackups(now, in: session)
      try servers(box, now, in: session)
      for side in ["tenant", "elsewhere"] {
        try images(of: side, sharedWith: ["friend"], now, in: session)
        try ImageTaskStore.insert(
          ImageTask(
            id: MatrixSite.uuid("task-\(side)"), imageID: MatrixSite.uuid("image-\(side)"),
            owner: MatrixSite.id("project-\(side)"), userID: MatrixSite.id("user-\(side)"), requestID: "req-\(side)",
            method: ["name": "glance-direct"], status: .success, createdAt: now), in: session)
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
}
