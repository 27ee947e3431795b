import DriverInterfaces

extension CommandTemplate {
  /// Dell SmartFabric OS10. The native VLAN of a trunk is its access VLAN; lists of tagged VLANs are added to.
  static let dellOS10 = CommandTemplate(
    kind: "dell-os10", device: "Dell OS10", capabilities: [.trunk, .bond], begin: ["terminal length 0"],
    show: ["show running-configuration"],
    read: {
      InterfaceReader(
        ports: ["ethernet", "port-channel"], native: "switchport access vlan ", listNamesNative: false
      ).read($0[0])
    },
    network: { vlan, name in
      ["interface vlan \(vlan)"] + (name.map { ["description \($0)"] } ?? []) + ["exit"]
    },
    port: {
      SwitchportCommands(
        trunk: { native, tagged in
          [
            "switchport mode trunk", "switchport access vlan \(native)",
            "switchport trunk allowed vlan \(SwitchText.list(tagged))",
          ]
        },
        forgetTrunk: { _, tagged in ["no switchport trunk allowed vlan \(SwitchText.list(tagged))"] },
        forgetsFirst: true
      ).commands($0)
    }, save: ["write memory"])
}
