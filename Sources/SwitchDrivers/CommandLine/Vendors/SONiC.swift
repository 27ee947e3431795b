import Domain
import DriverInterfaces

extension CommandTemplate {
  /// Community SONiC, at the shell of an account that may use `sudo` without a password.
  /// Source: SONiC command reference, "VLAN" and "Interfaces".
  static let sonic = sonic("sonic", "SONiC")
  /// Dell Enterprise SONiC has the same commands at its shell.
  static let dellSONiC = sonic("dell-sonic", "Dell Enterprise SONiC")

  private static func sonic(_ kind: String, _ device: String) -> CommandTemplate {
    CommandTemplate(
      kind: kind, device: device, capabilities: [.trunk, .bond], keepsDescriptions: false, enterConfiguration: [],
      leaveConfiguration: [],
      show: ["show interfaces status | cat", "show vlan config | cat"],
      read: { sonicPorts(status: $0[0], vlans: $0[1]) },
      // It refuses to make what is there.
      network: { vlan, _ in ["sudo config vlan add \(vlan) 2>/dev/null >/dev/null || true"] },
      port: { change in
        let (native, tagged) = change.old
        var lines: [String] = []
        if change.wanted.native == nil { lines.append("sudo config interface shutdown \(change.port)") }
        for vlan in tagged + (native.map { [$0] } ?? []) {
          lines.append("sudo config vlan member del \(vlan) \(change.port)")
        }
        guard let wanted = change.wanted.native else { return lines }
        lines.append("sudo config vlan member add -u \(wanted) \(change.port)")
        lines += change.wanted.tagged.map { "sudo config vlan member add \($0) \(change.port)" }
        return lines + ["sudo config interface startup \(change.port)"]
      },
      save: ["sudo config save -y"], errors: ["doesn't exist", "invalid vlan", "name is invalid", "usage:"])
  }

  private static func sonicPorts(status: String, vlans: String) -> [String: SwitchPortState] {
    var members: [String: (untagged: Set<Int>, tagged: Set<Int>)] = [:]
    // "Vlan101  101  Ethernet0  untagged".
    for line in vlans.split(separator: "\n") {
      let cells = line.split(separator: " ")
      guard cells.count == 4, cells[0].hasPrefix("Vlan"), let vlan = SwitchText.vlan(cells[1]) else { continue }
      if cells[3] == "untagged" {
        members[String(cells[2]), default: ([], [])].untagged.insert(vlan)
      } else {
        members[String(cells[2]), default: ([], [])].tagged.insert(vlan)
      }
    }
    var found: [String: SwitchPortState] = [:]
    var admin: Int?
    for line in status.split(separator: "\n") {
      let cells = line.split(separator: " ")
      if cells.first == "Interface" {
        admin = cells.firstIndex(of: "Admin")
        continue
      }
      // Counted from the end, for a cell in the middle may have spaces in it.
      guard let name = cells.first, name.hasPrefix("Ethernet") || name.hasPrefix("PortChannel"), admin != nil else {
        continue
      }
      let isDown: Bool
      switch cells.last(where: { $0 == "up" || $0 == "down" }) {
      case "up"?: isDown = false
      case "down"?: isDown = true
      default: continue
      }
      let carried = VLANMembers.configuration(members[String(name)], usual: 0)
      found[String(name)] = SwitchPortState(configuration: isDown ? .quarantine : carried, underneath: carried)
    }
    return found
  }
}
