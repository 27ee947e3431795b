import DriverInterfaces

extension CommandTemplate {
  /// The command line of Arista switches, where their Command API (kind `arista-eapi`) is off.
  static let aristaEOS = CommandTemplate(
    kind: "arista-eos", device: "Arista EOS", capabilities: [.trunk, .bond],
    begin: ["terminal length 0", "terminal width 32767"], enable: "enable", show: ["show running-config"],
    read: { InterfaceReader(ports: ["Ethernet", "Port-Channel"]).read($0[0]) },
    port: { SwitchportCommands(prepare: ["switchport"]).commands($0) }, save: ["write memory"])
}
