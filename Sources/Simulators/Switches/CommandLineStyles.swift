/// Command lines without blocks.
extension CommandLineSwitch {
  /// One line in Junos' configuration mode.
  mutating func path(_ line: String) throws -> Bool {
    let previous = "previous.json"
    switch line {
    case "commit":
      // It confirms, too; and saves.
      let goesOn = try takeCandidate()
      try keep(running, "startup.json")
      return goesOn
    case "commit confirmed 2":
      try keep(running, previous)
      print("commit confirmed will be automatically rolled back in 2 minutes unless confirmed\ncommit complete\n")
      return try takeCandidate()
    case "rollback 0": candidate = running
    case "rollback 1": candidate = Self.blocks(Self.load("\(folder)/\(previous)"))
    default: return edited(line)
    }
    return true
  }

  private mutating func edited(_ line: String) -> Bool {
    let words = line.split(separator: " ").map { String($0) }
    guard words.count >= 4, ["set", "delete"].contains(words[0]), ["interfaces", "vlans"].contains(words[1]) else {
      print(dialect.refusal(line) + "\n")
      return true
    }
    if let port = faults.refusedPort, words[2] == port {
      print("error: \(port): hardware resource\n")
      return true
    }
    let header = words[1...2].joined(separator: " "), rest = words[3...].joined(separator: " ")
    guard words[1] == "vlans" || dialect.ports.contains(words[2]) else {
      print("error: \(words[2]): invalid interface\n")
      return true
    }
    let single = dialect.single
    edit { blocks in
      if !blocks.contains(where: { $0.header == header }) { blocks.append(Block(header: header, lines: [])) }
      for index in blocks.indices where blocks[index].header == header {
        if words[0] == "delete" {
          blocks[index].lines.removeAll { $0 == rest || $0.hasPrefix(rest + " ") }
        } else {
          if let key = single.first(where: { rest.hasPrefix($0 + " ") }) {
            blocks[index].lines.removeAll { $0.hasPrefix(key + " ") }
          }
          if !blocks[index].lines.contains(rest) { blocks[index].lines.append(rest) }
        }
      }
    }
    return true
  }

  /// One line at SONiC's shell. A port's block has "untagged 101", "tagged 102", "down", and what somebody wrote.
  mutating func shell(_ line: String) throws -> Bool {
    let words = line.split(separator: " ").map { String($0) }
    switch line {
    case "show interfaces status | cat":
      var text =
        "  Interface        Lanes    Speed    MTU    FEC        Alias    Vlan    Oper    Admin    Type    Asym PFC\n"
      text +=
        "-----------  -----------  -------  -----  -----  -----------  ------  ------  -------  ------  ----------\n"
      for port in dialect.ports {
        let isDown = running.first { $0.header == dialect.header(port) }?.lines.contains("down") == true
        text +=
          "  \(port)      1,2,3,4     100G   9100    N/A      Eth1/1  trunk      \(isDown ? "down     down" : "up       up")  QSFP28  off\n"
      }
      print(text)
      return true
    case "show vlan config | cat":
      var text = "Name       VID  Member      Mode\n-------  -----  ----------  --------\n"
      for port in dialect.ports {
        for line in running.first(where: { $0.header == dialect.header(port) })?.lines ?? [] {
          let cells = line.split(separator: " ")
          if cells.count == 2, cells[0].hasSuffix("tagged") {
            text += "Vlan\(cells[1])  \(cells[1])  \(port)  \(cells[0])\n"
          }
        }
      }
      print(text)
      return true
    case dialect.save:
      try keep(running, "startup.json")
      return true
    default: break
    }
    if words.starts(with: ["sudo", "config", "vlan", "add"]) { return true }
    guard let port = words.last, let header = dialect.ports.contains(port) ? dialect.header(port) : nil else {
      print("Error: Interface name is invalid!!\n")
      return true
    }
    if words[0] == "echo" {
      edit { blocks in
        for index in blocks.indices where blocks[index].header == header {
          blocks[index].lines.append("description \(words[1])")
        }
      }
      try keep(running, "running.json")
      return true
    }
    if faults.refusedPort == port {
      print(dialect.refusal(line) + "\n")
      return true
    }
    let before = running
    edit { blocks in
      guard let index = blocks.firstIndex(where: { $0.header == header }) else { return }
      switch words.dropFirst(2).dropLast() {
      case ["interface", "shutdown"]: blocks[index].lines.append("down")
      case ["interface", "startup"]: blocks[index].lines.removeAll { $0 == "down" }
      case let rest where rest.starts(with: ["vlan", "member", "del"]):
        blocks[index].lines.removeAll { $0 == "untagged \(words[5])" || $0 == "tagged \(words[5])" }
      case let rest where rest.starts(with: ["vlan", "member", "add", "-u"]):
        blocks[index].lines.append("untagged \(words[6])")
      case let rest where rest.starts(with: ["vlan", "member", "add"]): blocks[index].lines.append("tagged \(words[5])")
      default: return
      }
    }
    return before == running ? true : try obeyed()
  }
}
