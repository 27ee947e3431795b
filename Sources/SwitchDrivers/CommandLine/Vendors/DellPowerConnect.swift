import DriverInterfaces

extension CommandTemplate {
  /// Dell PowerConnect and N series: access ports; VLANs are made in `vlan database`.
  static let dellPowerConnect = CommandTemplate(
    kind: "dell-powerconnect", device: "Dell PowerConnect", capabilities: [],
    begin: ["terminal length 0"], enable: "enable", show: ["show running-config"],
    read: { InterfaceReader(ports: ["Gi", "Te", "gigabitethernet", "tengigabitethernet", "ethernet"]).read($0[0]) },
    network: { vlan, _ in ["vlan database", "vlan \(vlan)", "exit"] },
    port: { SwitchportCommands().commands($0) }, save: ["copy running-config startup-config"],
    errors: ["vlan was not created by user", "database locked", "not in layer-2 mode"],
    answers: [("are you sure", "y"), ("(y/n)", "y")])
}
