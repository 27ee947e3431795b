import DriverInterfaces

extension CommandTemplate {
  /// Brocade, now Ruckus, ICX: ports are "1/1/3". One untagged network per port and no tagged ones: how both go together
  /// differs between releases (`dual-mode` until 08.0.90).
  /// Source: FastIron command reference, "vlan", "untagged", "disable"; the shape of the configuration: recorded on ICX.
  static let brocadeFastIron = CommandTemplate(
    kind: "brocade-fastiron", device: "Brocade ICX (FastIron)", capabilities: [],
    tested: "was tested with constructed dialogues and a recorded configuration only, never on hardware",
    begin: ["skip-page-display"], enable: "enable",
    show: ["show interfaces brief", "show running-config"],
    read: { replies in
      let blocks = ConfigurationBlocks.read(replies[1])
      let members = VLANMembers(
        vlan: { header in
          guard header.hasPrefix("vlan ") else { return nil }
          return SwitchText.vlan(header.dropFirst(5).prefix { $0 != " " })
        }, ports: { fastIronPorts($0) }
      ).read(blocks)
      var found: [String: SwitchPortState] = [:]
      for line in replies[0].split(separator: "\n") {
        guard let name = line.split(separator: " ").first.map({ String($0) }), name.split(separator: "/").count >= 2,
          name.utf8.allSatisfy({ (0x30...0x39).contains($0) || $0 == 0x2f })
        else { continue }
        let block = blocks.first { $0.header == "interface ethernet \(name)" }
        let carried = VLANMembers.configuration(members[name])
        found[name] = SwitchPortState(
          configuration: block?.lines.contains("disable") == true ? .quarantine : carried,
          description: block?.rest(of: "port-name ") ?? "", underneath: carried)
      }
      return found
    },
    network: { vlan, name in
      ["vlan \(vlan)" + (name.map { " name \($0)" } ?? "") + " by port", "exit"]
    },
    port: { change in
      var lines = ["interface ethernet \(change.port)"]
      if let description = change.description {
        lines.append(description.isEmpty ? "no port-name" : "port-name \(description)")
      }
      if change.wanted.native == nil { lines.append("disable") }
      lines.append("exit")
      let (native, tagged) = change.old
      for vlan in tagged { lines += ["vlan \(vlan) by port", "no tagged ethernet \(change.port)", "exit"] }
      if let native, native != 1, native != change.wanted.native {
        lines += ["vlan \(native) by port", "no untagged ethernet \(change.port)", "exit"]
      }
      guard let wanted = change.wanted.native else { return lines }
      if wanted != native, wanted != 1 {
        lines += ["vlan \(wanted) by port", "untagged ethernet \(change.port)", "exit"]
      }
      return lines + ["interface ethernet \(change.port)", "enable", "exit"]
    },
    save: ["write memory"], errors: ["error -", "error,"],
    macTable: (
      "show mac-address",
      { text in
        SwitchTables.macTable(text, isVLANLast: true) {
          $0.split(separator: "/").count >= 2 && $0.first?.isNumber == true
        }
      }
    ))

  /// "ethe 1/1/1 to 1/1/4 ethe 1/2/1": each name, with what lies between.
  private static func fastIronPorts(_ text: String) -> [String] {
    let words = text.split(separator: " ").map { String($0) }
    var found: [String] = []
    for (index, word) in words.enumerated() where word.contains("/") {
      if index > 0, words[index - 1] == "to", let first = found.last {
        let path = first.split(separator: "/").dropLast().joined(separator: "/")
        let from = Int(first.split(separator: "/").last ?? "") ?? 0,
          to = Int(word.split(separator: "/").last ?? "") ?? 0
        if from < to, to - from < 512 { found += (from + 1...to).map { "\(path)/\($0)" } }
      } else {
        found.append(word)
      }
    }
    return found
  }
}
