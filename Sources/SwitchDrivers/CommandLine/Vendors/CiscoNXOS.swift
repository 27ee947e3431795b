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
    ))

  /// "Eth1/3" is "Ethernet1/3" in the configuration, "Po5" is "port-channel5".
  private static func longName(_ name: String) -> String {
    if name.hasPrefix("Eth"), !name.hasPrefix("Ethernet") { return "Ethernet" + name.dropFirst(3) }
    if name.hasPrefix("Po"), !name.hasPrefix("Port") { return "port-channel" + name.dropFirst(2) }
    return name
  }
}
