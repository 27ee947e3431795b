import DriverInterfaces

extension CommandTemplate {
  /// Commands: NX-OS command reference for the Nexus 9000. Tables: recorded on Nexus switches.
  static let ciscoNXOS = CommandTemplate(
    kind: "cisco-nxos", device: "Cisco NX-OS (Nexus)", capabilities: [.trunk, .bond],
    tested: "was tested with constructed dialogues and recorded tables only, never on hardware",
    begin: ["terminal length 0", "terminal width 511"], enable: "enable",
    show: ["show running-config"],
    read: { replies in
      var reader = InterfaceReader(ports: ["Ethernet", "port-channel"])
      reader.isShutByDefault = replies[0].contains("\nsystem default switchport shutdown")
      return reader.read(replies[0])
    },
    port: { SwitchportCommands(prepare: ["switchport"]).commands($0) },
    save: ["copy running-config startup-config"],
    macTable: (
      "show mac address-table",
      {
        SwitchTables.macTable($0) { $0.hasPrefix("Eth") || $0.hasPrefix("Po") }.map {
          (longName($0.port), $0.vlan, $0.mac)
        }
      }
    ),
    neighbours: (
      "show lldp neighbors detail",
      { text in
        SwitchTables.paragraphs(text, first: "chassis id").compactMap { item in
          guard let chassis = item["chassis id"], let port = item["local port id"] else { return nil }
          return SwitchNeighbour(
            port: longName(port), chassisID: chassis, portID: item["port id"] ?? "", systemName: item["system name"])
        }
      }
    ),
    vnis: VNICommands(
      show: ["show running-config", "show nve vni"], read: { replies, _ in nexusVNIs(replies[0], table: replies[1]) },
      join: { vni, vlan, _ in
        [
          "vlan \(vlan)", "vn-segment \(vni)", "exit", "interface nve1", "member vni \(vni)",
          "ingress-replication protocol bgp", "exit", "exit", "evpn", "vni \(vni) l2", "rd auto",
          "route-target import auto", "route-target export auto", "exit", "exit",
        ]
      },
      part: { state in
        let segment = state.vlan.map { ["vlan \($0)", "no vn-segment", "exit"] } ?? []
        return ["interface nve1", "no member vni \(state.vni)", "exit"] + segment
          + ["evpn", "no vni \(state.vni) l2", "exit"]
      }))

  /// A VNI is in force when its VLAN, the tunnel interface and BGP have it, and the switch says "Up" with the VLAN beside it.
  /// Source: NX-OS VXLAN configuration guide, "Configuring VXLAN BGP EVPN".
  private static func nexusVNIs(_ configuration: String, table: String) -> [VNIState] {
    let blocks = ConfigurationBlocks.read(configuration)
    func numbers(_ header: String, _ words: String, _ end: String = "") -> Set<Int> {
      let lines = blocks.first { $0.header == header }?.lines ?? []
      return Set(
        lines.compactMap { line in
          line.hasPrefix(words) && line.hasSuffix(end) ? Int(line.dropFirst(words.count).dropLast(end.count)) : nil
        })
    }
    // "member vni 5001 associate-vrf" is routing's.
    let members = numbers("interface nve1", "member vni "), told = numbers("evpn", "vni ", " l2")
    var up: [Int: Int] = [:]
    for line in table.split(separator: "\n") {
      // "nve1      5001     UnicastBGP        Up    CP   L2 [101]".
      let cells = line.split(separator: " ")
      guard cells.count >= 7, cells[0] == "nve1", let vni = Int(cells[1]), cells[3] == "Up", cells[5] == "L2",
        let vlan = SwitchText.vlan(cells[6].filter { $0 != "[" && $0 != "]" })
      else { continue }
      up[vni] = vlan
    }
    var found: [VNIState] = []
    for block in blocks where block.header.hasPrefix("vlan ") {
      guard let vlan = SwitchText.vlan(block.header.dropFirst(5)),
        let vni = block.rest(of: "vn-segment ").flatMap({ Int($0) })
      else { continue }
      let isWhole = members.contains(vni) && told.contains(vni) && up[vni] == vlan
      found.append(VNIState(vni: vni, vlan: vlan, isWhole: isWhole))
    }
    for vni in members.union(told).sorted() where !found.contains(where: { $0.vni == vni }) {
      found.append(VNIState(vni: vni, vlan: nil, isWhole: false))
    }
    return found
  }

  /// "Eth1/3" is "Ethernet1/3" in the configuration, "Po5" is "port-channel5".
  private static func longName(_ name: String) -> String {
    if name.hasPrefix("Eth"), !name.hasPrefix("Ethernet") { return "Ethernet" + name.dropFirst(3) }
    if name.hasPrefix("Po"), !name.hasPrefix("Port") { return "port-channel" + name.dropFirst(2) }
    return name
  }
}
