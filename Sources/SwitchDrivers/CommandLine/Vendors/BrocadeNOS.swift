import DriverInterfaces

extension CommandTemplate {
  /// Brocade, now Extreme, VDX. The native VLAN goes without a tag, and beside the list.
  static let brocadeNOS = CommandTemplate(
    kind: "brocade-nos", device: "Brocade VDX (NOS)", capabilities: [.trunk, .bond], begin: ["terminal length 0"],
    show: ["show running-config"],
    read: {
      InterfaceReader(
        ports: [
          "TenGigabitEthernet ", "GigabitEthernet ", "FortyGigabitEthernet ", "HundredGigabitEthernet ",
          "Port-channel ",
        ],
        native: "switchport trunk native-vlan ", isShutByDefault: true, listNamesNative: false,
        foreign: ["no switchport", "channel-group ", "switchport trunk tag native-vlan"]
      ).read($0[0])
    },
    network: { vlan, name in ["interface Vlan \(vlan)"] + (name.map { ["name \($0)"] } ?? []) + ["exit"] },
    port: {
      SwitchportCommands(
        reset: [], prepare: ["switchport"],
        trunk: { native, tagged in
          [
            "switchport mode trunk", "switchport trunk allowed vlan none",
            "switchport trunk allowed vlan add \(SwitchText.list(tagged))", "no switchport trunk tag native-vlan",
            "switchport trunk native-vlan \(native)",
          ]
        },
        forgetTrunk: { _, _ in [] }
      ).commands($0)
    }, save: ["copy running-config startup-config"], answers: [("y/n", "y")])
}
