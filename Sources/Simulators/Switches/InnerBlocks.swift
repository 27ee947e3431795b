/// Statements that are blocks inside a block: what stands in one is indented under it.
extension CommandLineSwitch {
  static func inside(_ parent: String, _ line: String, _ lines: inout [String]) {
    guard let index = lines.firstIndex(of: parent) else { return }
    let present = lines[(index + 1)...].prefix { $0.hasPrefix("  ") }
    if !present.contains("  " + line) { lines.insert("  " + line, at: index + 1 + present.count) }
  }
  /// Takes out a statement, whatever its value, with all that stands in it.
  static func remove(_ words: String, from lines: inout [String]) {
    var left: [String] = []
    var isInside = false
    for line in lines {
      if line.hasPrefix("  ") {
        if isInside { continue }
      } else {
        isInside = line == words || line.hasPrefix(words + " ")
        if isInside { continue }
      }
      left.append(line)
    }
    lines = left
  }
}

extension CommandLineDialect {
  /// `show nve vni` of NX-OS. Source: NX-OS VXLAN configuration guide, "Verifying the VXLAN BGP EVPN configuration".
  static func nexusVNIs(_ blocks: [(header: String, lines: [String])], _ faults: SwitchFaults) -> String {
    var text = """
      Codes: CP - Control Plane        DP - Data Plane
             UC - Unconfigured         SA - Suppress ARP

      Interface VNI      Multicast-group   State Mode Type [BD/VRF]      Flags
      --------- -------- ----------------- ----- ---- ------------------ -----

      """
    var vlans: [Substring: Substring] = [:]
    for block in blocks where block.header.hasPrefix("vlan ") {
      for line in block.lines where line.hasPrefix("vn-segment ") {
        vlans[line.dropFirst(11)] = block.header.dropFirst(5)
      }
    }
    let lines = blocks.first { $0.header == "interface nve1" }?.lines ?? []
    for (index, line) in lines.enumerated() where line.hasPrefix("member vni ") {
      let words = line.split(separator: " ")
      if words.last == "associate-vrf" {
        text += "nve1      \(words[2])    n/a               Up    CP   L3 [tenants]\n"
      } else {
        let isReplicated = lines.dropFirst(index + 1).first == "  ingress-replication protocol bgp"
        let isUp = isReplicated && vlans[words[2]] != nil && !faults.keepsVNIsDown
        text +=
          "nve1      \(words[2])     UnicastBGP        \(isUp ? "Up  " : "Down")  CP   L2 [\(vlans[words[2]] ?? "-")]\n"
      }
    }
    return text
  }
}
