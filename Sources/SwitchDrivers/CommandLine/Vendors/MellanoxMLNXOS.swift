import DriverInterfaces

extension CommandTemplate {
  /// NVIDIA Mellanox MLNX-OS and Onyx: ports are "1/3"; access ports. The configuration has a whole command in each line.
  static let mellanoxMLNXOS = CommandTemplate(
    kind: "mellanox-mlnxos", device: "Mellanox MLNX-OS", capabilities: [],
    begin: ["no cli session paging enable"], enable: "enable", leaveConfiguration: ["exit"],
    show: ["show interfaces ethernet status", "show running-config"],
    read: { replies in
      var blocks: [String: ConfigurationBlocks.Block] = [:]
      for line in replies[0].split(separator: "\n") {
        guard let name = line.split(separator: " ").first, name.hasPrefix("Eth1") else { continue }
        blocks[String(name.dropFirst(3))] = .init(header: "interface ethernet \(name.dropFirst(3))")
      }
      for line in replies[1].split(separator: "\n") {
        let words = line.split(separator: " ")
        guard words.count > 3, words[0] == "interface", words[1] == "ethernet" else { continue }
        blocks[String(words[2])]?.lines.append(words.dropFirst(3).joined(separator: " "))
      }
      return InterfaceReader(ports: ["1/"], header: "interface ethernet ").read(Array(blocks.values))
    },
    port: { SwitchportCommands(interface: "interface ethernet ").commands($0) },
    save: ["configuration write"])
}
