/// What tgtd has: the text of `--mode target --op show`, read.
struct TargetTable: Sendable, Equatable {
  struct Target: Sendable, Equatable {
    var number: Int32
    var name: String
    /// Offline it refuses to let anybody in, in a way that initiators try again.
    var isReady = true
    /// Sessions and the connection of each.
    var connections: [Connection] = []
    var units: [Int: Unit] = [:]
    /// CHAP users; a target with none lets everybody in who is in its access list.
    var users: [String] = []
    var accessList: [String] = []
  }
  struct Connection: Sendable, Equatable {
    var session: UInt64
    var number: UInt32
  }
  struct Unit: Sendable, Equatable {
    /// As it is shown: "10737 MB".
    var size = ""
    var isReadOnly = false
    var store = ""
    var path = ""
    var scsiID = ""
  }
  private(set) var targets: [Target] = []

  func target(named name: String) -> Target? { targets.first { $0.name == name } }

  init(_ text: String) {
    enum Section { case system, nexus, units, users, accessList }
    var section = Section.system
    var target: Target?
    var (unit, session): (Int?, UInt64?) = (nil, nil)
    for line in text.split(separator: "\n") {
      if line.hasPrefix("Target ") {
        if let target { targets.append(target) }
        let parts = line.dropFirst(7).split(separator: ":", maxSplits: 1)
        target =
          parts.count == 2
          ? Int32(parts[0]).map { Target(number: $0, name: String(parts[1].dropFirst())) } : nil
        (section, unit, session) = (.system, nil, nil)
        continue
      }
      let text = line.drop { $0 == " " }
      let depth = line.utf8.count - text.utf8.count
      if depth == 4 {
        section =
          switch text {
          case "I_T nexus information:": .nexus
          case "LUN information:": .units
          case "Account information:": .users
          case "ACL information:": .accessList
          default: .system
          }
        continue
      }
      let field = text.firstRange(of: ": ").map { (text[..<$0.lowerBound], String(text[$0.upperBound...])) }
      switch section {
      case .system: if let field, field.0 == "State" { target?.isReady = field.1 == "ready" }
      case .users: target?.users.append(String(text))
      case .accessList: target?.accessList.append(String(text))
      case .nexus:
        if let field, field.0 == "I_T nexus" { session = UInt64(field.1) }
        if let field, field.0 == "Connection", let session, let number = UInt32(field.1) {
          target?.connections.append(Connection(session: session, number: number))
        }
      case .units:
        guard let field else { break }
        if field.0 == "LUN" {
          unit = Int(field.1)
          if let unit { target?.units[unit] = Unit() }
        } else if let unit {
          switch field.0 {
          case "Size": target?.units[unit]?.size = String(field.1.prefix { $0 != "," })
          case "Readonly": target?.units[unit]?.isReadOnly = field.1 == "Yes"
          case "Backing store type": target?.units[unit]?.store = field.1
          case "Backing store path": target?.units[unit]?.path = field.1
          case "SCSI ID": target?.units[unit]?.scsiID = field.1
          default: break
          }
        }
      }
    }
    if let target { targets.append(target) }
  }

  /// How tgtd shows a size (`print_disksize` in usr/target.c of tgt).
  static func shown(_ bytes: Int) -> String {
    let sectors = bytes / 512
    return "\((sectors - (sectors / 625 - 974)) / 1950) MB"
  }
}
