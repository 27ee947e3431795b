import DriverInterfaces

extension CommandTemplate {
  /// HPE and H3C Comware. A trunk carries VLAN 1 unless it says that it does not.
  static let hpeComware = CommandTemplate(
    kind: "hpe-comware", device: "HPE Comware", capabilities: [.trunk, .bond], begin: ["screen-length disable"],
    enterConfiguration: ["system-view"], leaveConfiguration: ["return"], show: ["display current-configuration"],
    read: {
      InterfaceReader(
        ports: [
          "GigabitEthernet", "Ten-GigabitEthernet", "Twenty-FiveGigE", "FortyGigE", "HundredGigE", "Bridge-Aggregation",
        ], accessMode: "port link-type access", trunkMode: "port link-type trunk", access: "port access vlan ",
        native: "port trunk pvid vlan ", allowed: "port trunk permit vlan ", negation: "undo ",
        foreign: ["port link-mode route", "port link-aggregation group "], withoutFirst: "undo port trunk permit vlan 1"
      ).read($0[0])
    },
    network: { vlan, name in ["vlan \(vlan)"] + (name.map { ["name \($0)"] } ?? []) + ["quit"] },
    port: {
      SwitchportCommands(
        reset: [], enable: "undo shutdown", access: { ["port link-type access", "port access vlan \($0)"] },
        trunk: { native, tagged in
          [
            "port link-type trunk", "undo port trunk permit vlan all",
            "port trunk permit vlan \(SwitchText.list([native] + tagged, separator: " ", range: " to "))",
            "port trunk pvid vlan \(native)",
          ]
        },
        forgetTrunk: { _, _ in [] }, negation: "undo ", exit: ["quit"]
      ).commands($0)
    }, save: ["save force"], errors: ["too many parameters"],
    macTable: (
      "display mac-address",
      { text in
        SwitchTables.macTable(text) { $0.contains("Ethernet") || $0.contains("GigE") || $0.hasPrefix("Bridge-Agg") }
      }
    ))
}
