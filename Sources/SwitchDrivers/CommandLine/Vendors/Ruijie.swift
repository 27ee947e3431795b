import DriverInterfaces

extension CommandTemplate {
  /// Ruijie RGOS: access ports.
  static let ruijie = CommandTemplate(
    kind: "ruijie", device: "Ruijie", capabilities: [], begin: ["terminal length 0", "terminal width 256"],
    enable: "enable", show: ["show running-config"],
    read: {
      InterfaceReader(
        ports: [
          "GigabitEthernet ", "TenGigabitEthernet ", "TFGigabitEthernet ", "FortyGigabitEthernet ",
          "HundredGigabitEthernet ",
        ]
      ).read($0[0])
    },
    port: { SwitchportCommands().commands($0) }, save: ["write memory"])
}
