import Domain

/// Reads switches that list the ports under each VLAN.
struct VLANMembers: Sendable {
  /// The number of a VLAN in the header of its block; nil for a block that is none.
  var vlan: @Sendable (String) -> Int?
  var untagged = "untagged "
  var tagged = "tagged "
  /// The ports that the rest of such a line names.
  var ports: @Sendable (String) -> [String]

  /// By port: VLANs without and with a tag.
  func read(_ blocks: [ConfigurationBlocks.Block]) -> [String: (untagged: Set<Int>, tagged: Set<Int>)] {
    var found: [String: (untagged: Set<Int>, tagged: Set<Int>)] = [:]
    for block in blocks {
      guard let vlan = vlan(block.header) else { continue }
      for line in block.lines {
        if line.hasPrefix(untagged) {
          for port in ports(String(line.dropFirst(untagged.count))) {
            found[port, default: ([], [])].untagged.insert(vlan)
          }
        } else if line.hasPrefix(tagged) {
          for port in ports(String(line.dropFirst(tagged.count))) { found[port, default: ([], [])].tagged.insert(vlan) }
        }
      }
    }
    return found
  }

  /// What a port with these VLANs carries; `usual` is the VLAN of a port that is in none.
  static func configuration(_ member: (untagged: Set<Int>, tagged: Set<Int>)?, usual: Int = 1) -> PortConfiguration {
    let untagged = member?.untagged ?? [], tagged = member?.tagged ?? []
    guard untagged.count <= 1 else { return SwitchPortState.foreign }
    let native = untagged.first ?? (tagged.isEmpty ? usual : 0)
    return PortConfiguration(native: native, tagged: Array(tagged))
  }

  /// "0/1-3,7" is "0/1", "0/2", "0/3" and "0/7", each behind the name before it.
  static func expanded(_ name: String, _ list: some StringProtocol) -> [String] {
    var path: Substring = ""
    return list.split(separator: ",").flatMap { part -> [String] in
      var numbers = Substring(part)
      if let slash = numbers.lastIndex(of: "/") {
        path = Substring(String(numbers[...slash]))
        numbers = numbers[numbers.index(after: slash)...]
      }
      let bounds = numbers.split(separator: "-").map { Int($0) }
      guard let first = bounds.first ?? nil, let last = bounds.last ?? nil, first <= last, last - first < 512 else {
        return []
      }
      return (first...last).map { "\(name)\(path)\($0)" }
    }
  }
}
