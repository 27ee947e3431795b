/// What may go into a switch's command line or document, and what comes out of one.
///
/// Everything else is refused before a word of it is sent: a name with a newline, `;`, `!`, `#` or `$` reaches no switch.
enum SwitchText {
  /// A port as switches name it: "Ethernet1/4", "swp3", "TenGigabitEthernet 0/3", "xe-0/0/1:2", "1/1/5".
  static func isPort(_ text: String) -> Bool {
    let bytes = Array(text.utf8)
    guard (1...64).contains(bytes.count), let first = bytes.first, isAlphanumeric(first) else { return false }
    var spaces = 0
    for (index, byte) in bytes.enumerated() {
      if byte == 0x20 {
        // One, before a number.
        spaces += 1
        guard spaces == 1, index + 1 < bytes.count, (0x30...0x39).contains(bytes[index + 1]) else { return false }
      } else {
        guard isAlphanumeric(byte) || byte == 0x2f || byte == 0x3a || byte == 0x2e || byte == 0x5f || byte == 0x2d
        else { return false }
      }
    }
    return true
  }
  /// A VLAN's name or an effect key: letters, digits, `-`, `_`, `.`, `/` and `:`.
  static func isWord(_ text: String) -> Bool {
    (1...128).contains(text.utf8.count)
      && text.utf8.allSatisfy { isAlphanumeric($0) || [0x2d, 0x5f, 0x2e, 0x2f, 0x3a].contains($0) }
  }
  /// A VLAN's name that every switch takes, from whatever people call a network; nil when nothing is left.
  static func networkName(_ text: String?) -> String? {
    let kept = (text ?? "").utf8.filter { isAlphanumeric($0) || $0 == 0x2d || $0 == 0x5f }.prefix(32)
    let name = String(decoding: Array(kept), as: UTF8.self)
    return name.isEmpty || name.hasPrefix("-") ? nil : name
  }
  private static func isAlphanumeric(_ byte: UInt8) -> Bool {
    (0x30...0x39).contains(byte) || (0x41...0x5a).contains(byte) || (0x61...0x7a).contains(byte)
  }

  /// "101,105-107" or "101 105 to 107" in ascending order; nil for anything but numbers from 1 to 4094.
  static func vlans(_ text: String) -> [Int]? {
    var found: Set<Int> = []
    let words = text.split { $0 == "," || $0.isWhitespace }
    var index = words.startIndex
    while index < words.endIndex {
      let bounds = words[index].split(separator: "-", omittingEmptySubsequences: false)
      guard let first = vlan(bounds[0]), bounds.count <= 2 else { return nil }
      var last = first
      if bounds.count == 2 {
        guard let number = vlan(bounds[1]) else { return nil }
        last = number
      } else if index + 2 < words.endIndex, words[index + 1] == "to" {
        guard let number = vlan(words[index + 2]) else { return nil }
        last = number
        index += 2
      }
      guard first <= last else { return nil }
      found.formUnion(first...last)
      index += 1
    }
    return found.sorted()
  }
  static func vlan(_ text: some StringProtocol) -> Int? {
    guard text.utf8.count <= 4, text.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let number = Int(text) else {
      return nil
    }
    return (1...4094).contains(number) ? number : nil
  }

  /// "101,105-107".
  static func list(_ vlans: [Int], separator: String = ",", range: String = "-") -> String {
    var parts: [ClosedRange<Int>] = []
    for vlan in vlans.sorted() {
      if let last = parts.last, last.upperBound + 1 == vlan {
        parts[parts.count - 1] = last.lowerBound...vlan
      } else {
        parts.append(vlan...vlan)
      }
    }
    return parts.map { $0.count == 1 ? "\($0.lowerBound)" : "\($0.lowerBound)\(range)\($0.upperBound)" }
      .joined(separator: separator)
  }

  /// What a switch said, on one line and without control characters, for people.
  static func quoted(_ text: String, limit: Int = 200) -> String {
    let plain = String(text.unicodeScalars.map { $0.value < 32 || $0.value == 127 ? " " : Character($0) })
    let words = plain.split(separator: " ").joined(separator: " ")
    return words.count > limit ? String(words.prefix(limit)) + "…" : words
  }
}
