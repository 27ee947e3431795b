import Cryptography
import Domain
import Store
import Wire

/// What a project of its own shares: an image and a subnet pool with the tenant's project, a network, an address scope and a security group with everyone, a machine by an offer to everyone.
extension Fixtures {
  /// The kinds that there is a shared one of.
  static let sharedKinds: Set<String> = [
    "image", "staged", "filled", "network", "subnet", "offer", "node", "subnetpool", "address_scope", "security_group",
    "security_group_rule",
  ]

  static func share(_ box: SecretBox, _ now: Timestamp, in session: any Session) throws {
    let sharer = MatrixSite.id("project-sharer")
    try images(of: "shared", owner: sharer, sharedWith: ["friend", "tenant"], now, in: session)
    let network = Network(
      id: MatrixSite.uuid("network-shared"), projectID: sharer, name: "net-shared", physicalNetwork: "datacentre",
      vlan: 203, tags: ["blue"], createdAt: now)
    try NetworkStore.insert(network, in: session)
    try RBACPolicyStore.insert(
      RBACPolicy(
        id: MatrixSite.uuid("rbac_policy-shared"), projectID: sharer, objectType: .network, objectID: network.id,
        target: RBACPolicy.everyone, createdAt: now), in: session)
    if let cidr = CIDR("10.0.3.0/24") {
      try SubnetStore.insert(
        Subnet(
          id: MatrixSite.uuid("subnet-shared"), networkID: network.id, projectID: sharer, name: "sub-shared",
          cidr: cidr,
          gateway: nil, pools: [], tags: ["blue"], createdAt: now), in: session)
    }
    for kind in ["network", "subnet"] {
      try NetworkTagStore.set(["blue"], of: MatrixSite.uuid("\(kind)-shared"), in: session)
    }
    try pool("shared", of: sharer, "10.193.0.0/16", now, in: session)
    try group("shared", of: sharer, now, in: session)
    for (type, object, target) in [
      (RBACPolicy.ObjectType.subnetPool, "subnetpool", MatrixSite.tenant),
      (.addressScope, "address_scope", RBACPolicy.everyone),
      (.securityGroup, "security_group", RBACPolicy.everyone),
    ] {
      try RBACPolicyStore.insert(
        RBACPolicy(
          id: MatrixSite.uuid("rbac_policy-\(object)"), projectID: sharer, objectType: type,
          objectID: MatrixSite.uuid("\(object)-shared"), target: target, createdAt: now), in: session)
    }
    var node = Node(uuid: MatrixSite.uuid("node-shared"), name: "n-shared", driver: "world", createdAt: now)
    node.owner = sharer
    node.provisionState = .available
    node.powerState = .off
    node.traits = ["CUSTOM_A"]
    try NodeStore.insert(node, secrets: [], box: box, in: session)
    try OfferStore.insert(
      Offer(
        uuid: MatrixSite.uuid("offer-shared"), name: "offer-shared", projectID: sharer, resourceUUID: node.uuid,
        time: TimeRange(now - .seconds(60), now + .seconds(10 * 86_400)), createdAt: now), in: session)
  }

  /// A security group with a rule.
  static func group(_ side: String, of project: String, _ now: Timestamp, in session: any Session) throws {
    var group = SecurityGroup(
      id: MatrixSite.uuid("security_group-\(side)"), projectID: project, name: "group-\(side)", tags: ["blue"],
      createdAt: now)
    group.rules = [
      SecurityGroupRule(
        id: MatrixSite.uuid("security_group_rule-\(side)"), groupID: group.id, projectID: project, direction: .ingress,
        version: 4, protocolName: "udp", createdAt: now)
    ]
    try SecurityGroupStore.insert(group, in: session)
  }

  /// A subnet pool, and an address scope that no pool is in.
  static func pool(
    _ side: String, of project: String, _ prefix: String, _ now: Timestamp, in session: any Session
  ) throws {
    guard let block = CIDR(prefix) else { return }
    try SubnetPoolStore.insert(
      SubnetPool(
        id: MatrixSite.uuid("subnetpool-\(side)"), projectID: project, name: "pool-\(side)", version: 4,
        prefixes: [block], bounds: .init(version: 4, shortest: 24), tags: ["blue"], createdAt: now), in: session)
    try AddressScopeStore.insert(
      AddressScope(
        id: MatrixSite.uuid("address_scope-\(side)"), projectID: project, name: "scope-\(side)", version: 4,
        createdAt: now), in: session)
  }
}
