import Glibc

/// An entry of the Boot Loader Specification: a file of keys and values that names a kernel.
///
/// Source: UAPI Group, "Boot Loader Specification", version 1.
struct LoaderEntry {
  /// The file's name without ".conf".
  var id: String
  /// The first value of each key, and all of `initrd` and `options`.
  var values: [String: String] = [:]
  var initrds: [String] = []
  var options: [String] = []
  var title: String { values["title"] ?? id }

  init(id: String, text: String) {
    self.id = id
    for line in text.split(whereSeparator: \.isNewline) {
      let line = trimmed(line)
      guard !line.hasPrefix("#"), let space = line.firstIndex(where: { $0 == " " || $0 == "\t" }) else { continue }
      let key = String(line[..<space]), value = trimmed(line[space...])
      switch key {
      case "initrd": initrds.append(value)
      case "options": options.append(value)
      default: if values[key] == nil { values[key] = value }
      }
    }
  }

  /// Those in a folder, sorted as boot loaders show them: the first is booted where nothing else is said.
  static func list(_ folder: String, on system: any DiskFileSystem) throws -> [LoaderEntry] {
    guard let node = try system.open(folder), node.kind == .folder else { return [] }
    let names = try system.names(in: node).filter { $0.lowercased().hasSuffix(".conf") }
    guard names.count <= 256 else { throw AgentError(.refused, "there are \(names.count) boot entries in \(folder)") }
    let entries = try names.compactMap { name in
      try system.text("\(folder)/\(name)", limit: 65536).map { LoaderEntry(id: String(name.dropLast(5)), text: $0) }
    }
    return entries.sorted { isBefore($0, $1) }
  }

  /// With sort keys: by these, then by falling versions; entries without one come last, by falling names.
  private static func isBefore(_ a: LoaderEntry, _ b: LoaderEntry) -> Bool {
    switch (a.values["sort-key"], b.values["sort-key"]) {
    case (let first?, let second?):
      if first != second { return first < second }
      let machines = (a.values["machine-id"] ?? "", b.values["machine-id"] ?? "")
      if machines.0 != machines.1 { return machines.0 < machines.1 }
      let order = compareVersions(a.values["version"] ?? "", b.values["version"] ?? "")
      if order != 0 { return order > 0 }
    case (.some, nil): return true
    case (nil, .some): return false
    case (nil, nil): break
    }
    return compareVersions(a.id, b.id) > 0
  }
}

/// Which of two versions is newer: numbers by their value, letters by the alphabet, "~" before the end of a word.
/// Source: UAPI Group, "Version Format Specification"; RPM's comparison says the same for names of kernels.
/// - Returns: a negative number when `a` is older, 0 when they are the same.
func compareVersions(_ a: String, _ b: String) -> Int {
  func isDigit(_ byte: UInt8) -> Bool { (0x30...0x39).contains(byte) }
  func isLetter(_ byte: UInt8) -> Bool { (0x41...0x5a).contains(byte) || (0x61...0x7a).contains(byte) }
  var (a, b) = (Array(a.utf8)[...], Array(b.utf8)[...])
  while true {
    func isPart(_ byte: UInt8) -> Bool { isDigit(byte) || isLetter(byte) || byte == UInt8(ascii: "~") }
    a = a.drop { !isPart($0) }
    b = b.drop { !isPart($0) }
    let tildes = (a.first == UInt8(ascii: "~"), b.first == UInt8(ascii: "~"))
    if tildes.0 || tildes.1 {
      if !tildes.0 { return 1 }
      if !tildes.1 { return -1 }
      (a, b) = (a.dropFirst(), b.dropFirst())
      continue
    }
    guard let first = a.first, let second = b.first else { return a.isEmpty ? (b.isEmpty ? 0 : -1) : 1 }
    // A number is newer than a word.
    if isDigit(first) != isDigit(second) { return isDigit(first) ? 1 : -1 }
    let kind = isDigit(first) ? isDigit : isLetter
    var left = a.prefix(while: kind), right = b.prefix(while: kind)
    (a, b) = (a[left.endIndex...], b[right.endIndex...])
    if isDigit(first) {
      left = left.drop { $0 == 0x30 }
      right = right.drop { $0 == 0x30 }
      if left.count != right.count { return left.count - right.count }
    }
    if !left.elementsEqual(right) { return left.lexicographicallyPrecedes(right) ? -1 : 1 }
  }
}
