import DriverInterfaces

extension CommandTemplate {
  /// Huawei VRP 3 and 5: every command is in force at once.
  static let huaweiVRP = huawei("huawei-vrp", "Huawei VRP V3 and V5", commit: [], discard: [])
  /// Huawei VRP 8: a candidate, and `commit`.
  static let huaweiVRPV8 = huawei(
    "huawei-vrpv8", "Huawei VRP V8", commit: ["commit"], discard: ["clear configuration candidate", "return"])

  private static func huawei(_ kind: String, _ device: String, commit: [String], discard: [String]) -> CommandTemplate {
    CommandTemplate(
      kind: kind, device: device, capabilities: [.trunk, .bond], begin: ["screen-length 0 temporary"],
      enterConfiguration: ["system-view"], leaveConfiguration: ["return"], commit: commit, discard: discard,
      show: ["display current-configuration"],
      read: {
        // The mode that a port without a word has differs between models.
        InterfaceReader(
          ports: ["GigabitEthernet", "XGigabitEthernet", "10GE", "25GE", "40GE", "100GE", "MultiGE", "Eth-Trunk"],
          accessMode: "port link-type access", trunkMode: "port link-type trunk", access: "port default vlan ",
          native: "port trunk pvid vlan ", allowed: "port trunk allow-pass vlan ", isAccessByDefault: false,
          negation: "undo ", foreign: ["undo portswitch", "eth-trunk "],
          withoutFirst: "undo port trunk allow-pass vlan 1"
        ).read($0[0])
      },
      network: { vlan, name in ["vlan \(vlan)"] + (name.map { ["name \($0)"] } ?? []) + ["quit"] },
      port: {
        SwitchportCommands(
          reset: [], enable: "undo shutdown", access: { ["port link-type access", "port default vlan \($0)"] },
          trunk: { native, tagged in
            [
              "undo port default vlan", "port link-type trunk", "undo port trunk allow-pass vlan 1",
              "port trunk allow-pass vlan \(SwitchText.list([native] + tagged, separator: " ", range: " to "))",
              "port trunk pvid vlan \(native)",
            ]
          },
          forgetTrunk: { native, tagged in
            let all = SwitchText.list((native.map { [$0] } ?? []) + tagged, separator: " ", range: " to ")
            return ["undo port trunk pvid vlan", "undo port trunk allow-pass vlan \(all)"]
          }, forgetsFirst: true, negation: "undo ", exit: ["quit"]
        ).commands($0)
      }, save: ["save"], errors: ["please renew the default configurations"], answers: [("[y/n]", "y")])
  }
}
