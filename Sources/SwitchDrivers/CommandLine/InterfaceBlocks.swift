import Domain

/// A configuration as most switches print it: lines without space before them, each with indented lines under it.
enum ConfigurationBlocks {
  struct Block: Sendable, Equatable {
    var header: String
    var lines: [String] = []
    /// The rest of the first line that begins with the words.
    func rest(of words: String) -> String? {
      lines.first { $0.hasPrefix(words) }.map { String($0.dropFirst(words.count)) }
    }
  }
  static func read(_ text: String) -> [Block] {
    var blocks: [Block] = []
    for line in text.split(separator: "\n") {
      let content = trimmed(line)
      guard let first = line.first, !content.isEmpty, content != "!", content != "#", content != "exit" else {
        continue
      }
      if first == " " || first == "\t" {
        if !blocks.isEmpty { blocks[blocks.count - 1].lines.append(content) }
      } else {
        blocks.append(Block(header: content))
      }
    }
    return blocks
  }
  static func trimmed(_ text: some StringProtocol) -> String {
    var rest = text.drop { $0 == " " || $0 == "\t" }
    while let last = rest.last, last == " " || last == "\t" || last == "\r" { rest.removeLast() }
    return String(rest)
  }
}

/// Reads ports whose networks stand under the port itself, in whatever words.
struct InterfaceReader: Sendable {
  /// Beginnings of the names of ports that can be machines': "Ethernet", "port-channel".
  var ports: [String]
  var header = "interface "
  var accessMode = "switchport mode access"
  var trunkMode = "switchport mode trunk"
  var access = "switchport access vlan "
  var native = "switchport trunk native vlan "
  var allowed = "switchport trunk allowed vlan "
  /// What a port without a word on its mode is.
  var isAccessByDefault = true
  var isShutByDefault = false
  /// "no " or "undo ".
  var negation = "no "
  /// Whether the list of tagged VLANs names the native one, too.
  var listNamesNative = true
  /// What makes a port none of the switch's: it routes, or belongs to an aggregate. Whole lines, or beginnings that end with
  /// a space.
  var foreign = ["no switchport", "channel-group "]
  var descriptions = ["description "]
  /// What a line on the mode begins with; out of `accessMode` where it is nil.
  var mode: String?
  /// A line without which a trunk carries VLAN 1, too, and does not say so.
  var withoutFirst: String?

  func read(_ text: String) -> [String: SwitchPortState] { read(ConfigurationBlocks.read(text)) }
  func read(_ blocks: [ConfigurationBlocks.Block]) -> [String: SwitchPortState] {
    var found: [String: SwitchPortState] = [:]
    for block in blocks where block.header.hasPrefix(header) {
      let name = String(block.header.dropFirst(header.count))
      // A sub-interface is no port.
      guard ports.contains(where: { name.hasPrefix($0) }), !name.contains(".") else { continue }
      found[name] = state(block)
    }
    return found
  }

  private func state(_ block: ConfigurationBlocks.Block) -> SwitchPortState {
    let lines = block.lines
    let text = descriptions.lazy.compactMap { block.rest(of: $0) }.first ?? ""
    let carried = carried(block)
    let isShut = lines.contains("shutdown") || (isShutByDefault && !lines.contains(negation + "shutdown"))
    return SwitchPortState(
      configuration: isShut ? .quarantine : carried, description: text.filter { $0 != "\"" }, underneath: carried)
  }

  private func carried(_ block: ConfigurationBlocks.Block) -> PortConfiguration {
    let lines = block.lines
    let isForeign = lines.contains { line in
      foreign.contains { $0 == line || ($0.hasSuffix(" ") && line.hasPrefix($0)) }
    }
    if isForeign { return SwitchPortState.foreign }
    let isTrunk = lines.contains(trunkMode) || (trunkMode.hasSuffix(" ") && lines.contains { $0.hasPrefix(trunkMode) })
    if isTrunk {
      var allowed: Set<Int> = []
      var isKnown = false
      for line in lines where line.hasPrefix(self.allowed) {
        var list = line.dropFirst(self.allowed.count)
        if list.hasPrefix("add ") { list = list.dropFirst(4) }
        if list == "none" {
          isKnown = true
        } else if let vlans = SwitchText.vlans(String(list)) {
          isKnown = true
          allowed.formUnion(vlans)
        } else {
          // "all", "except …".
          return SwitchPortState.foreign
        }
      }
      if let withoutFirst, !lines.contains(withoutFirst) {
        isKnown = true
        allowed.insert(1)
      }
      let native = block.rest(of: native).map { SwitchText.vlan($0) } ?? 1
      guard isKnown, let native, !listNamesNative || allowed.contains(native) else { return SwitchPortState.foreign }
      return PortConfiguration(native: native, tagged: allowed.filter { $0 != native })
    }
    // Any other word on the mode (dot1q-tunnel, hybrid, private-vlan) is none of ours.
    let isAccess = lines.contains(accessMode) || (isAccessByDefault && !lines.contains { $0.hasPrefix(modeWords) })
    guard isAccess else { return SwitchPortState.foreign }
    guard let vlan = block.rest(of: access) else { return PortConfiguration(native: 1) }
    return SwitchText.vlan(vlan).map { PortConfiguration(native: $0) } ?? SwitchPortState.foreign
  }
  /// "switchport mode ", out of "switchport mode access".
  private var modeWords: String {
    if let mode { return mode }
    let words = accessMode.split(separator: " ").dropLast()
    return words.joined(separator: " ") + " "
  }
}

/// Tables that switches print, by the shape of their cells.
enum SwitchTables {
  /// Lines with a VLAN, a MAC address and a port, in whatever order.
  /// - Parameter isVLANLast: of several small numbers the last is the VLAN (an age stands before it), else the first.
  static func macTable(
    _ text: String, isVLANLast: Bool = false, port isPort: (String) -> Bool
  ) -> [(port: String, vlan: Int, mac: MACAddress)] {
    text.split(separator: "\n").compactMap { line in
      let cells = line.split(whereSeparator: \.isWhitespace).map { String($0) }
      guard let mac = cells.lazy.compactMap({ MACAddress(anyStyle: $0) }).first,
        let vlan = isVLANLast ? vlans(cells).last : vlans(cells).first,
        let port = cells.last(where: { isPort($0) })
      else { return nil }
      return (port, vlan, mac)
    }
  }

  private static func vlans(_ cells: [String]) -> [Int] {
    cells.compactMap { SwitchText.vlan($0.drop { "Vlan".contains($0) }) }
  }

  /// Paragraphs of "Name: value", as `show lldp neighbors detail` prints; the keys in lower case.
  /// - Parameter first: the key that begins a paragraph.
  static func paragraphs(_ text: String, first: String) -> [[String: String]] {
    var all: [[String: String]] = []
    for line in text.split(separator: "\n") {
      guard let colon = line.firstIndex(of: ":") else { continue }
      let key = ConfigurationBlocks.trimmed(line[..<colon]).lowercased()
      let value = ConfigurationBlocks.trimmed(line[line.index(after: colon)...])
      if key == first || all.isEmpty { all.append([:]) }
      if all[all.count - 1][key] == nil { all[all.count - 1][key] = value }
    }
    return all
  }
}
