import Cryptography
import Domain
import HTTPTypes
import Store
import Wire

/// Servers, flavors, keypairs and server groups of the matrix, and what is asked of them.
extension Fixtures {
  static func servers(_ box: SecretBox, _ now: Timestamp, in session: any Session) throws {
    for (side, owner) in [("tenant", MatrixSite.owner), ("elsewhere", MatrixSite.elsewhere)] {
      let project = MatrixSite.id("project-\(side)")
      var flavor = Flavor(
        id: MatrixSite.uuid("flavor-\(side)"), name: "f-\(side)", memory: 1, vcpus: 1, disk: 0, createdAt: now)
      flavor.isPublic = false
      flavor.extraSpecs = ["a": "1"]
      try FlavorStore.insert(flavor, in: session)
      _ = try FlavorStore.addProject(project, to: flavor.id, in: session)
      try KeypairStore.insert(
        Keypair(
          userID: MatrixSite.id("user-\(side)"), name: "key", publicKey: "ssh-rsa \(side)", fingerprint: "x",
          createdAt: now),
        in: session)
      try ServerGroupStore.insert(
        ServerGroup(
          id: MatrixSite.uuid("server_group-\(side)"), name: "sg-\(side)", projectID: project,
          userID: MatrixSite.id("user-\(side)"), policy: .antiAffinity, createdAt: now), in: session)
      var server = Server(
        id: MatrixSite.uuid("server-\(side)"), projectID: project, userID: MatrixSite.id("user-\(side)"),
        name: "s-\(side)", flavor: flavor.snapshot, createdAt: now)
      // A machine of its own, which nobody leases but has a server on it.
      var node = Node(uuid: MatrixSite.uuid("machine-\(side)"), name: "m-\(side)", driver: "world", createdAt: now)
      node.owner = owner
      node.provisionState = .active
      node.powerState = .on
      node.instanceUUID = server.id
      try NodeStore.insert(node, secrets: [], box: box, in: session)
      server.nodeUUID = node.uuid
      server.metadata = ["blue": "1"]
      server.tags = ["blue"]
      server.launchedAt = now - .seconds(60)
      try ServerStore.insert(server, in: session)
      var item = ServerVolume(serverID: server.id, volumeID: MatrixSite.uuid("attached-\(side)"), createdAt: now)
      item.device = "/dev/sdb"
      try ServerVolumeStore.insert(item, in: session)
      var action = ServerAction("create", of: server.id, requestID: "req-x", startedAt: now)
      action.projectID = project
      try ServerActionStore.insert(action, in: session)
    }
  }

  /// Names in paths of the compute service that belong to nobody.
  static func serverWord(_ name: String, _ path: String) -> String? {
    switch name {
    case "spec": "a"
    case "key": "blue"
    case "keypair": "key"
    case "request": "req-x"
    case "class": "default"
    case "alias": "os-keypairs"
    case "hypervisor", "port": MatrixSite.uuid("nothing")
    case "network" where path.contains("/ips/"): "net"
    default: nil
    }
  }

  static let serverBodies: [String: JSON] = [
    "nova POST /v2.1/flavors": ["flavor": ["name": "new", "ram": 1, "vcpus": 1, "disk": 1]],
    "nova PUT /v2.1/flavors/{flavor}": ["flavor": ["description": "x"]],
    "nova POST /v2.1/flavors/{flavor}/os-extra_specs": ["extra_specs": ["b": "2"]],
    "nova PUT /v2.1/flavors/{flavor}/os-extra_specs/{spec}": ["a": "2"],
    "nova POST /v2.1/flavors/{flavor}/action": ["addTenantAccess": ["tenant": .string(MatrixSite.owner)]],
    "nova POST /v2.1/os-keypairs": [
      "keypair": [
        "name": "new",
        "public_key": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f test",
      ]
    ],
    "nova POST /v2.1/servers": [
      "server": [
        "name": "new", "flavorRef": .string(MatrixSite.uuid("flavor-tenant")),
        "imageRef": .string(MatrixSite.uuid("filled-tenant")), "networks": "none",
      ]
    ],
    "nova PUT /v2.1/servers/{server}": ["server": ["name": "x"]],
    "nova POST /v2.1/servers/{server}/action": ["lock": nil],
    "nova POST /v2.1/images/{image}/metadata": ["metadata": ["a": "b"]],
    "nova PUT /v2.1/images/{image}/metadata": ["metadata": ["a": "b"]],
    "nova PUT /v2.1/images/{image}/metadata/{key}": ["meta": ["blue": "b"]],
    "nova POST /v2.1/servers/{server}/metadata": ["metadata": ["a": "b"]],
    "nova PUT /v2.1/servers/{server}/metadata": ["metadata": ["a": "b"]],
    "nova PUT /v2.1/servers/{server}/metadata/{key}": ["meta": ["blue": "b"]],
    "nova PUT /v2.1/servers/{server}/tags": ["tags": ["red"]],
    "nova POST /v2.1/servers/{server}/os-interface": [
      "interfaceAttachment": ["net_id": .string(MatrixSite.uuid("network-tenant"))]
    ],
    "nova POST /v2.1/servers/{server}/remote-consoles": ["remote_console": ["protocol": "serial", "type": "serial"]],
    "nova POST /v2.1/servers/{server}/os-volume_attachments": [
      "volumeAttachment": ["volumeId": .string(MatrixSite.uuid("volume-tenant"))]
    ],
    "nova PUT /v2.1/servers/{server}/os-volume_attachments/{volume}": [
      "volumeAttachment": ["volumeId": .string(MatrixSite.uuid("attached-tenant"))]
    ],
    "nova POST /v2.1/os-server-groups": ["server_group": ["name": "new", "policy": "anti-affinity"]],
    "nova PUT /v2.1/os-quota-class-sets/{class}": ["quota_class_set": ["instances": 5]],
    "nova PUT /v2.1/os-quota-sets/{project}": ["quota_set": ["instances": 5]],
  ]
}
