import Glibc
import Wire

/// A switch with a command line whose configuration lies in files, so that each log-in may be a process of its own.
///
/// In the folder: `running.json`, `startup.json`, `faults.json` (``SwitchFaults``), and `log`, with every line typed and
/// every change.
public struct CommandLineSwitch {
  struct Block: Equatable {
    var header: String
    var lines: [String]
  }
  public let dialect: CommandLineDialect
  let folder: String
  let log: EffectLog
  var running: [Block] = []
  var candidate: [Block]?
  var faults = SwitchFaults()
  var isConfiguring = false
  private var block: String?
  /// The statement of the block that is a block itself.
  private var innerBlock: String?
  /// Printed as it comes.
  let print: (String) -> Void

  /// - Throws: ``MachineError`` when the folder cannot be used.
  public init(_ dialect: CommandLineDialect, folder: String, print: @escaping (String) -> Void) throws {
    self.dialect = dialect
    self.folder = folder
    self.print = print
    log = try EffectLog(path: "\(folder)/log")
    faults = SwitchFaults(Self.load("\(folder)/faults.json") ?? .emptyObject)
    if let stored = Self.blocks(Self.load("\(folder)/running.json")) {
      running = stored
    } else {
      running =
        dialect.ports.map { Block(header: dialect.header($0), lines: dialect.initial) }
        + dialect.fixed.map { Block(header: $0.header, lines: $0.lines) }
      try keep(running, "running.json")
      try keep(running, "startup.json")
    }
  }

  /// One log-in, until the input ends.
  /// - Returns: the status to exit with.
  public mutating func converse(_ readLine: () -> String?) throws -> Int32 {
    if faults.sessionsRefused > 0 {
      faults.sessionsRefused -= 1
      try keep(faults.json, "faults.json")
      print("Maximum number of sessions reached.\n")
      return 1
    }
    wait()
    print("\n" + dialect.prompts(nil, false))
    while let line = readLine() {
      wait()
      guard try type(line, readLine) else { return 255 }
      print(dialect.prompts(block, isConfiguring))
    }
    return 0
  }
  private func wait() { if faults.stallSeconds > 0 { usleep(UInt32(faults.stallSeconds * 1_000_000)) } }

  /// One line typed.
  /// - Returns: false when the connection is to be cut.
  public mutating func type(_ text: String, _ readLine: () -> String? = { "" }) throws -> Bool {
    let line = text.split(separator: " ").joined(separator: " ")
    log.write("typed", device: dialect.vendor, ["line": .string(text)])
    if line.isEmpty || dialect.silent.contains(line) { return true }
    if dialect.style == .shell { return try shell(line) }
    if !isConfiguring {
      if let table = dialect.tables[line] {
        print(table)
      } else if let computed = dialect.computed[line] {
        print(computed(running.map { ($0.header, $0.lines) }, faults))
      } else if line == dialect.showConfiguration {
        print(rendered)
      } else if line == dialect.enter {
        isConfiguring = true
        if !dialect.commit.isEmpty { candidate = running }
      } else if line == dialect.save {
        if let question = dialect.saveQuestion {
          print(question)
          _ = readLine()
        }
        try keep(running, "startup.json")
      } else {
        print(dialect.refusal(line) + "\n")
      }
      return true
    }
    if line == dialect.exit, innerBlock != nil {
      innerBlock = nil
      return true
    }
    if line == dialect.exit, block != nil {
      block = nil
      return true
    }
    if line == dialect.leave || (line == dialect.exit && block == nil) || dialect.discard.contains(line) {
      isConfiguring = false
      block = nil
      innerBlock = nil
      candidate = nil
      return true
    }
    if dialect.style == .sets { return try path(line) }
    if dialect.commit.contains(line) { return try takeCandidate() }
    if dialect.blocks.contains(where: { line.hasPrefix($0) }) {
      if let header = open(line) {
        block = header
      } else {
        print(dialect.refusal(line) + "\n")
      }
      return true
    }
    return try statement(line)
  }

  private mutating func open(_ line: String) -> String? {
    guard let header = dialect.canonical(line) else { return nil }
    let all = candidate ?? running
    if all.contains(where: { $0.header == header }) { return header }
    // Networks are made by naming them; ports are there or not.
    guard header.lowercased().contains("vlan"), let number = Self.vlan(in: header), (1...4094).contains(number) else {
      return nil
    }
    edit { $0.append(Block(header: header, lines: [])) }
    return header
  }
  private static func vlan(in header: String) -> Int? {
    header.split(whereSeparator: { !$0.isNumber }).last.flatMap { Int($0) }
  }

  private mutating func statement(_ line: String) throws -> Bool {
    let isNegated = line.hasPrefix(dialect.negation)
    let words = isNegated ? String(line.dropFirst(dialect.negation.count)) : line
    let known = dialect.single + dialect.many + dialect.cancels.keys
    guard let block,
      let key = known.filter({ words == $0 || words.hasPrefix($0 + " ") }).max(by: { $0.count < $1.count })
    else {
      print(dialect.refusal(line) + "\n")
      return true
    }
    if let port = faults.refusedPort, line.hasSuffix(port) || block == dialect.header(port) {
      print(dialect.refusal(line) + "\n")
      return true
    }
    let before = candidate ?? running
    let dialect = dialect, around = innerBlock
    if !isNegated, dialect.inner.contains(where: { line.hasPrefix($0) }) { innerBlock = line }
    edit { blocks in
      guard let index = blocks.firstIndex(where: { $0.header == block }) else { return }
      if let around {
        Self.inside(around, line, &blocks[index].lines)
        return
      }
      if dialect.special(line, &blocks[index].lines) { return }
      if let cancelled = dialect.cancels[key] {
        blocks[index].lines.removeAll { $0 == cancelled }
      } else if isNegated {
        Self.remove(words, from: &blocks[index].lines)
        if dialect.keepsNegated.contains(words), !blocks[index].lines.contains(line) {
          blocks[index].lines.append(line)
        }
      } else {
        if !dialect.many.contains(key) {
          // "switchport" alone is no value of "switchport mode".
          blocks[index].lines.removeAll {
            $0 == words || (words != key && $0.hasPrefix(key + " ")) || $0 == dialect.negation + words
          }
        }
        if !blocks[index].lines.contains(line) { blocks[index].lines.append(line) }
      }
    }
    if candidate == nil, before != running { return try obeyed() }
    return true
  }

  mutating func takeCandidate() throws -> Bool {
    guard let candidate, candidate != running else { return true }
    if faults.lies { return true }
    running = candidate
    return try obeyed()
  }
  mutating func obeyed() throws -> Bool {
    log.write("effect", device: dialect.vendor, [:])
    try keep(running, "running.json")
    guard faults.dropsAfterObeying > 0 else { return true }
    faults.dropsAfterObeying -= 1
    try keep(faults.json, "faults.json")
    return false
  }
  mutating func edit(_ body: (inout [Block]) -> Void) {
    if var edited = candidate {
      body(&edited)
      candidate = edited
    } else if !faults.lies {
      body(&running)
    }
  }

  /// What somebody sees of a port's text.
  public func portText(_ port: String, after words: String) -> String {
    let block = running.first { $0.header == dialect.header(port) }
    return block?.lines.first { $0.hasPrefix(words) }.map { String($0.dropFirst(words.count)) } ?? ""
  }
  public var isSaved: Bool { Self.blocks(Self.load("\(folder)/startup.json")) == running }

  private var rendered: String {
    var text = "!Command: show running-config\nhostname tor-1\n!\n"
    if dialect.style == .sets || dialect.isFlat {
      let word = dialect.isFlat ? "  " : "set "
      return running.flatMap { block in block.lines.map { "\(word)\(block.header) \($0)\n" } }.joined()
    }
    for block in running where !(dialect.omitsEmptyBlocks && block.lines.isEmpty) {
      text += block.header + "\n" + block.lines.map { " \(dialect.shown($0))\n" }.joined() + "!\n"
    }
    return text + "end\n"
  }

  // MARK: Files

  func keep(_ blocks: [Block], _ name: String) throws {
    try keep(
      .array(blocks.map { ["header": .string($0.header), "lines": .array($0.lines.map { .string($0) })] }), name)
  }
  func keep(_ json: JSON, _ name: String) throws { try Self.keep(json, "\(folder)/\(name)") }
  public static func keep(_ json: JSON, _ path: String) throws {
    let file = Glibc.open(path + ".new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
    guard file >= 0 else { throw MachineError("cannot write \(path): \(String(cString: strerror(errno)))") }
    let bytes = Array(json.description.utf8)
    let count = Glibc.write(file, bytes, bytes.count)
    Glibc.close(file)
    guard count == bytes.count, rename(path + ".new", path) == 0 else { throw MachineError("cannot write \(path)") }
  }
  static func load(_ path: String) -> JSON? {
    let file = Glibc.open(path, O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { return nil }
    defer { Glibc.close(file) }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 65536)
    while case let count = read(file, &chunk, chunk.count), count > 0 { bytes += chunk[..<count] }
    return try? JSON.parse(bytes)
  }
  static func blocks(_ json: JSON?) -> [Block]? {
    json?.array?.compactMap { entry in
      guard let header = entry["header"]?.string else { return nil }
      return Block(header: header, lines: (entry["lines"]?.array ?? []).compactMap(\.string))
    }
  }
}
