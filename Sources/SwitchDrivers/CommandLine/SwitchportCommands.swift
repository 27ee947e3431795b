/// The commands for a port in the words that most vendors took from Cisco, with their differences.
struct SwitchportCommands: Sendable {
  var interface = "interface "
  var reset: [String] = ["no switchport access vlan"]
  var enable = "no shutdown"
  var disable = "shutdown"
  var describe = "description "
  /// Before a network: what makes the port a switched one.
  var prepare: [String] = []
  var access: @Sendable (Int) -> [String] = { ["switchport mode access", "switchport access vlan \($0)"] }
  var trunk: @Sendable (_ native: Int, _ tagged: [Int]) -> [String] = { native, tagged in
    [
      "switchport mode trunk", "switchport trunk native vlan \(native)",
      "switchport trunk allowed vlan \(SwitchText.list([native] + tagged))",
    ]
  }
  /// After a change to an access port: what is left of a trunk.
  var forgetTrunk: @Sendable (_ native: Int?, _ tagged: [Int]) -> [String] = { _, _ in
    ["no switchport trunk native vlan", "no switchport trunk allowed vlan"]
  }
  /// Before a change to an access port, and before another trunk: where lists are added to.
  var forgetsFirst = false
  var negation = "no "
  var exit: [String] = ["exit"]

  func commands(_ change: PortChange) -> [String] {
    var lines = [interface + change.port]
    if let description = change.description {
      lines.append(description.isEmpty ? negation + describe.dropLast() : describe + description)
    }
    guard let native = change.wanted.native else {
      // Shut first: what it named before must not be reached for a moment in another way.
      return lines + [disable] + (prepare.isEmpty ? [] : prepare + [disable]) + reset + exit
    }
    lines += prepare
    let old = change.old
    if forgetsFirst, !old.tagged.isEmpty { lines += forgetTrunk(old.native, old.tagged) }
    if change.wanted.tagged.isEmpty {
      lines += access(native)
      if !forgetsFirst, !old.tagged.isEmpty { lines += forgetTrunk(old.native, old.tagged) }
    } else {
      lines += trunk(native, change.wanted.tagged)
    }
    return lines + [enable] + exit
  }
}
