import Domain
import Testing
import Wire

@Suite struct NodeTransferTests {
  private static let site = NodeTransfer.Site(
    drivers: [
      "ipmi": [
        "boot_interface": ["ipxe"], "network_interface": ["neutron", "flat", "noop"], "bios_interface": ["no-bios"],
      ]
    ], projects: ["p1"])
  /// The members that the API reference shows ("List Nodes Detailed", 1.95), shortened.
  private static let shown: JSON = [
    "uuid": "6d85703a-565d-469a-96ce-30b6de53079d", "name": "r1u1", "driver": "ipmi",
    "driver_info": [
      "ipmi_address": "10.0.3.1", "ipmi_username": "ADMIN", "ipmi_password": "******", "deploy_kernel": "file:///k",
    ],
    "driver_internal_info": ["clean_steps": .null], "extra": ["rack": 3], "instance_info": .emptyObject,
    "instance_uuid": .null, "last_error": .null,
    "links": [["href": "http://127.0.0.1:6385/v1/nodes/6", "rel": "self"]],
    "maintenance": false, "network_interface": "flat", "boot_interface": "pxe", "bios_interface": "no-bios",
    "owner": "p2", "lessee": "p1", "properties": ["cpus": 8, "lease_uuid": "L"], "provision_state": "available",
    "power_state": "power off", "protected": true, "conductor_group": "north", "resource_class": "metal",
    "retired": false, "traits": ["CUSTOM_A"], "target_raid_config": .emptyObject, "chassis_uuid": .null,
  ]
  private static let port: JSON = [
    "uuid": "d2b30520-907d-46c8-bfee-c5586e6fb3a1", "address": "11:11:11:11:11:11", "extra": .emptyObject,
    "internal_info": ["tenant_vif_port_id": "V"], "is_smartnic": true, "node_uuid": "6", "pxe_enabled": true,
    "local_link_connection": ["port_id": "Ethernet3/1", "switch_id": "0a:1b:2c:3d:4e:5f", "switch_info": "switch1"],
    "physical_network": .null, "portgroup_uuid": "e43c722c-248e-4c6e-8ce8-0d8ff129387a", "vendor": "splitrock",
  ]
  private func transfer(_ change: JSONObject = [:], secrets: JSONObject = [:]) -> NodeTransfer {
    var source = Self.shown.object ?? [:]
    for member in change { source[member.key] = member.value }
    return NodeTransfer(.object(source), ports: [Self.port], portGroups: [], secrets: secrets, site: Self.site)
  }

  @Test func whatIsHereIsTakenAndTheRestIsTold() {
    let node = transfer()

    #expect(node.label == "r1u1" && node.uuid == "6d85703a-565d-469a-96ce-30b6de53079d" && !node.isInUse)
    #expect(
      node.node == [
        "uuid": "6d85703a-565d-469a-96ce-30b6de53079d", "name": "r1u1", "driver": "ipmi", "properties": ["cpus": 8],
        "extra": ["rack": 3], "resource_class": "metal", "retired": false, "maintenance": false,
        "driver_info": ["ipmi_address": "10.0.3.1", "ipmi_username": "ADMIN"], "network_interface": "flat",
      ])
    #expect(node.traits == ["CUSTOM_A"])
    #expect(
      node.ports == [
        [
          "uuid": "d2b30520-907d-46c8-bfee-c5586e6fb3a1", "address": "11:11:11:11:11:11", "extra": .emptyObject,
          "local_link_connection": [
            "port_id": "Ethernet3/1", "switch_id": "0a:1b:2c:3d:4e:5f", "switch_info": "switch1",
          ],
          "pxe_enabled": true, "portgroup_uuid": "e43c722c-248e-4c6e-8ce8-0d8ff129387a",
        ]
      ])
    #expect(node.missingSecrets == ["ipmi_password"])
    #expect(
      node.notes == [
        "driver_info.deploy_kernel", "boot_interface pxe (here ipxe)", "owner p2 (no such project here)",
        "conductor_group north", "protected", "is_smartnic of a port", "attached networks",
      ])
  }

  @Test(
    arguments: [
      ["r1u1": "s"], ["6d85703a-565d-469a-96ce-30b6de53079d": "s"], ["*": ["ipmi_password": "s"]],
      ["r1u1": "s", "*": "t"],
    ] as [JSONObject])
  func aPasswordIsGivenByNameByUUIDOrForAll(_ secrets: JSONObject) {
    let node = transfer(secrets: secrets)

    #expect(node.missingSecrets.isEmpty && node.node["driver_info"]?["ipmi_password"] == "s")
  }
  @Test func anObjectOfSecretsNamesItsKeys() {
    let node = transfer(secrets: ["r1u1": ["ipmi_username": "me"]])

    #expect(node.missingSecrets == ["ipmi_password"] && node.node["driver_info"]?["ipmi_username"] == "me")
  }

  @Test func anActiveNodeBringsItsInstanceWithoutItsSecrets() {
    let info: JSON = ["image_source": "http://x/i", "configdrive": "******"]
    let node = transfer(["provision_state": "active", "instance_uuid": "I", "instance_info": info])

    #expect(node.isInUse && node.isActive && node.node["lessee"] == "p1" && node.node["instance_uuid"] == "I")
    #expect(node.node["instance_info"] == ["image_source": "http://x/i"])
    #expect(node.notes.contains("instance_info.configdrive"))
    #expect(transfer(["provision_state": "deploy failed"]).isInUse)
  }

  @Test func partsComeAfterWhatTheyArePartsOf() {
    let part = transfer(["name": "dpu", "parent_node": "6d85703a-565d-469a-96ce-30b6de53079d"])

    #expect(NodeTransfer.inOrder([part, transfer()]).map(\.label) == ["r1u1", "dpu"])
  }

  @Test func whatIsNoNodeIsNoTrouble() {
    for odd: JSON in [.null, [], ["driver_info": 5, "traits": 5, "name": 5, "provision_state": 5], "x"] {
      let node = NodeTransfer(odd, ports: [odd], portGroups: [odd], secrets: ["*": 5], site: Self.site)
      #expect(node.node["driver_info"] == .emptyObject && node.state == "enroll")
    }
  }
}
