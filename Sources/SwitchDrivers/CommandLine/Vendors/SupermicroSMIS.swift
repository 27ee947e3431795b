import DriverInterfaces

extension CommandTemplate {
  /// Supermicro SMIS: access ports, "Gi 0/1".
  static let supermicroSMIS = CommandTemplate(
    kind: "supermicro-smis", device: "Supermicro SMIS", capabilities: [], begin: ["terminal length 0"],
    keepsDescriptions: false,
    enable: "enable", show: ["show running-config"],
    read: { InterfaceReader(ports: ["Gi ", "Ex ", "Qx ", "Cx ", "Fx "]).read($0[0]) },
    port: { SwitchportCommands().commands($0) }, save: ["write startup-config"])
}
