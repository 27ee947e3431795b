import Domain
import DriverInterfaces

extension CommandTemplate {
  /// Juniper Junos with Enhanced Layer 2 Software. A commit is for trial, and taken back by the switch unless it is confirmed.
  /// VLANs that this program makes are called "vlan101"; those of the administrator may have any name.
  /// Source: Junos OS CLI user guide, "commit confirmed"; "Layer 2 Bridging and VLANs on EX and QFX Series".
  static let juniperJunos = CommandTemplate(
    kind: "juniper-junos", device: "Juniper Junos", capabilities: [.trunk, .bond],
    begin: ["set cli screen-length 0", "set cli screen-width 0"], enterConfiguration: ["configure exclusive"],
    leaveConfiguration: ["exit"], commit: ["commit confirmed 2"], discard: ["rollback 0", "exit"],
    confirm: ["configure exclusive", "commit", "exit"],
    takeBack: ["configure exclusive", "rollback 1", "commit", "exit"],
    show: ["show interfaces terse", "show configuration | display set"],
    read: { junosPorts(terse: $0[0], set: $0[1]) },
    network: { vlan, _ in ["set vlans vlan\(vlan) vlan-id \(vlan)"] },
    port: { change in
      let port = "interfaces \(change.port)", family = "\(port) unit 0 family ethernet-switching"
      var lines: [String] = []
      if let description = change.description {
        lines.append(description.isEmpty ? "delete \(port) description" : "set \(port) description \(description)")
      }
      guard let native = change.wanted.native else { return lines + ["set \(port) disable"] }
      lines += ["delete \(family)", "delete \(port) native-vlan-id"]
      if change.wanted.tagged.isEmpty {
        lines += ["set \(family) interface-mode access", "set \(family) vlan members \(native)"]
      } else {
        lines += ["set \(family) interface-mode trunk", "set \(port) native-vlan-id \(native)"]
        lines += ([native] + change.wanted.tagged).sorted().map { "set \(family) vlan members \($0)" }
      }
      return lines + ["delete \(port) disable"]
    },
    save: [], errors: ["missing argument", "commit failed"])

  private static func junosPorts(terse: String, set: String) -> [String: SwitchPortState] {
    let kinds = ["ge-", "xe-", "et-", "mge-", "ae"]
    var lines: [String: [[Substring]]] = [:]
    var numbers: [Substring: Int] = [:]
    for line in set.split(separator: "\n") {
      let words = line.split(separator: " ")
      if words.count == 5, words[1] == "vlans", words[3] == "vlan-id" { numbers[words[2]] = SwitchText.vlan(words[4]) }
      if words.count > 3, words[0] == "set", words[1] == "interfaces" {
        lines[String(words[2]), default: []].append(Array(words[3...]))
      }
    }
    var found: [String: SwitchPortState] = [:]
    for line in terse.split(separator: "\n") {
      guard let name = line.split(separator: " ").first.map({ String($0) }), !name.contains("."),
        kinds.contains(where: { name.hasPrefix($0) })
      else { continue }
      let own = lines[name] ?? []
      let family: [Substring] = ["unit", "0", "family", "ethernet-switching"]
      let members = own.filter { $0.starts(with: family + ["vlan", "members"]) }.compactMap(\.last)
      let vlans = members.map { SwitchText.vlans(String($0)) ?? numbers[$0].map { [$0] } }
      let mode = own.first { $0.starts(with: family + ["interface-mode"]) }?.last
      let native = own.first { $0.first == "native-vlan-id" }?.last.flatMap { SwitchText.vlan($0) }
      var carried = SwitchPortState.foreign
      let all = vlans.compactMap { $0 }.flatMap { $0 }
      if vlans.allSatisfy({ $0 != nil }) {
        if mode == "trunk", let native, all.contains(native) {
          carried = PortConfiguration(native: native, tagged: all.filter { $0 != native })
        } else if mode != "trunk", all.count == 1 {
          carried = PortConfiguration(native: all[0])
        }
      }
      let text = own.first { $0.first == "description" }?.dropFirst().joined(separator: " ") ?? ""
      found[name] = SwitchPortState(
        configuration: own.contains(["disable"]) ? .quarantine : carried, description: text.filter { $0 != "\"" },
        underneath: carried)
    }
    return found
  }
}
