import DriverInterfaces

extension CommandTemplate {
  /// Dell Networking OS9, once Force10 FTOS: networks list their ports. The administrator gives each port `portmode hybrid`
  /// and `switchport` once; without them it reads as foreign.
  /// Source: Dell Networking OS9 command line reference, "VLAN commands".
  static let dellOS9 = CommandTemplate(
    kind: "dell-os9", device: "Dell OS9 (Force10)", begin: ["terminal length 0"], enable: "enable",
    enterConfiguration: ["configure"], show: ["show running-config"],
    read: { replies in
      let blocks = ConfigurationBlocks.read(replies[0])
      let members = VLANMembers(
        vlan: { $0.lowercased().hasPrefix("interface vlan ") ? SwitchText.vlan($0.dropFirst(15)) : nil },
        ports: { text in
          guard let space = text.lastIndex(of: " ") else { return [] }
          return VLANMembers.expanded(String(text[...space]), text[text.index(after: space)...])
        }
      ).read(blocks)
      var found: [String: SwitchPortState] = [:]
      for block in blocks where block.header.hasPrefix("interface ") {
        let name = String(block.header.dropFirst(10))
        guard name.contains("Ethernet ") || name.hasPrefix("fortyGigE ") || name.hasPrefix("Port-channel "),
          !name.hasPrefix("Management")
        else { continue }
        let isSwitched = block.lines.contains("switchport") && block.lines.contains("portmode hybrid")
        let carried = isSwitched ? VLANMembers.configuration(members[name]) : SwitchPortState.foreign
        found[name] = SwitchPortState(
          configuration: block.lines.contains("shutdown") ? .quarantine : carried,
          description: (block.rest(of: "description ") ?? "").filter { $0 != "\"" }, underneath: carried)
      }
      return found
    },
    network: { vlan, name in
      ["interface vlan \(vlan)"] + (name.map { ["description \($0)"] } ?? []) + ["exit"]
    },
    port: { change in
      var lines = ["interface \(change.port)"]
      if let description = change.description {
        lines.append(description.isEmpty ? "no description" : "description \(description)")
      }
      if change.wanted.native == nil { lines.append("shutdown") }
      lines.append("exit")
      let (native, tagged) = change.old
      for vlan in tagged where !change.wanted.tagged.contains(vlan) {
        lines += ["interface vlan \(vlan)", "no tagged \(change.port)", "exit"]
      }
      if let native, native != 1, native != change.wanted.native {
        lines += ["interface vlan \(native)", "no untagged \(change.port)", "exit"]
      }
      guard let wanted = change.wanted.native else { return lines }
      if wanted != native { lines += ["interface vlan \(wanted)", "untagged \(change.port)", "exit"] }
      for vlan in change.wanted.tagged where !tagged.contains(vlan) {
        lines += ["interface vlan \(vlan)", "tagged \(change.port)", "exit"]
      }
      return lines + ["interface \(change.port)", "no shutdown", "exit"]
    },
    save: ["copy running-config startup-config"], errors: ["% error", "error:"],
    answers: [("yes/no", "yes")])
}
