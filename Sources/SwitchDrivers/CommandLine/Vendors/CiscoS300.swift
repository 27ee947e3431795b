import DriverInterfaces

extension CommandTemplate {
  /// Cisco Small Business 300 and its kin: access ports, for their lists of tagged VLANs read differently by release.
  static let ciscoS300 = CommandTemplate(
    kind: "cisco-s300", device: "Cisco S300", capabilities: [], begin: ["terminal datadump"], enable: "enable",
    show: ["show running-config"],
    read: {
      InterfaceReader(
        ports: ["gigabitethernet", "tengigabitethernet", "fastethernet", "GigabitEthernet", "TenGigabitEthernet"],
        mode: "switchport trunk "
      ).read($0[0])
    },
    network: { vlan, _ in ["vlan \(vlan)", "exit"] },
    port: { SwitchportCommands().commands($0) }, save: ["write memory"], answers: [("overwrite file", "Y")])
}
