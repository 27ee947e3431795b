import DriverInterfaces

extension CommandTemplate {
  /// Catalyst switches. Those that know more than 802.1Q need `switchport trunk encapsulation dot1q` once, by hand.
  static let ciscoIOS = CommandTemplate(
    kind: "cisco-ios", device: "Cisco IOS", capabilities: [.trunk, .bond],
    begin: ["terminal length 0", "terminal width 0"], enable: "enable", show: ["show running-config"],
    read: {
      // A port without a word on its mode negotiates one: it is none of ours.
      InterfaceReader(
        ports: [
          "FastEthernet", "GigabitEthernet", "TwoGigabitEthernet", "FiveGigabitEthernet", "TenGigabitEthernet",
          "TwentyFiveGigE", "FortyGigabitEthernet", "HundredGigE", "Port-channel",
        ], isAccessByDefault: false
      ).read($0[0])
    },
    port: { SwitchportCommands().commands($0) }, save: ["write memory"])
}
