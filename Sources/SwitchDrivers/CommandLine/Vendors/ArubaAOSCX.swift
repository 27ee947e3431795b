import DriverInterfaces

extension CommandTemplate {
  /// ArubaOS-CX: ports are "1/1/3", and shut unless they say otherwise.
  static let arubaAOSCX = CommandTemplate(
    kind: "aruba-aoscx", device: "ArubaOS-CX", capabilities: [.trunk, .bond], begin: ["no page"],
    show: ["show running-config"],
    read: {
      InterfaceReader(
        ports: (0...9).map { "\($0)" } + ["lag "], accessMode: "no routing", trunkMode: "vlan trunk ",
        access: "vlan access ", native: "vlan trunk native ", allowed: "vlan trunk allowed ", isShutByDefault: true,
        foreign: ["routing", "lag "], mode: "vlan trunk "
      ).read($0[0])
    },
    port: {
      SwitchportCommands(
        reset: ["no vlan access"], prepare: ["no routing"], access: { ["vlan access \($0)"] },
        trunk: { native, tagged in
          ["vlan trunk native \(native)", "vlan trunk allowed \(SwitchText.list([native] + tagged))"]
        },
        forgetTrunk: { _, _ in ["no vlan trunk allowed", "no vlan trunk native"] }, forgetsFirst: true
      ).commands($0)
    }, save: ["write memory"], errors: ["command incomplete"],
    macTable: (
      "show mac-address-table",
      { text in SwitchTables.macTable(text) { $0.contains("/") && $0.first?.isNumber == true || $0.hasPrefix("lag") } }
    ))
}
