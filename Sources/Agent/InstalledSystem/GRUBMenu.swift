/// What GRUB would boot by itself: its configuration, carried out as far as to the kernel and its ramdisks.
///
/// Whatever is not known, or would have an effect that lasts, ends it with an error: then the firmware starts GRUB itself. Where GRUB
/// only keeps count (whether the last boot went well), nothing is written.
struct GRUBMenu {
  /// What a menu's entry or the configuration itself has come to.
  struct Choice {
    var kernel: (system: any DiskFileSystem, path: String)?
    var arguments: [String] = []
    var initrds: [(system: any DiskFileSystem, path: String)] = []
    var title = ""
  }
  enum Entry {
    case script(GRUBScript.Statement)
    case loader(LoaderEntry, on: any DiskFileSystem)
  }
  struct Item {
    var title: String
    var id: String?
    var isSubmenu = false
    var isRestricted: Bool
    var body: Entry
  }
  /// The configuration's `boot`: nothing behind it is looked at.
  struct Boots: Error {}

  static let mostCommands = 20000
  let systems: [any DiskFileSystem]
  var variables: [String: String]
  var functions: [String: [GRUBScript.Statement]] = [:]
  var items: [Item] = []
  var choice = Choice()
  var commands = 0
  private var depth = 0

  /// - Parameters:
  ///   - system: where the configuration is.
  ///   - folder: of the configuration, "/boot/grub".
  init(systems: [any DiskFileSystem], on system: any DiskFileSystem, folder: String, isUEFI: Bool) {
    self.systems = systems
    variables = [
      "root": system.partition.name, "prefix": "(\(system.partition.name))\(folder)",
      "grub_cpu": isUEFI ? "x86_64" : "i386",
      "grub_platform": isUEFI ? "efi" : "pc",
    ]
    for feature in [
      "chainloader_bpb", "ntldr", "platform_search_hint", "default_font_path", "all_video_module", "menuentry_id",
      "menuentry_options", "200_final", "nativedisk_cmd", "timeout_style",
    ] {
      variables["feature_\(feature)"] = "y"
    }
  }

  /// Carries a configuration out, and the entry of its menu that is booted when nobody touches a key.
  /// - Throws: ``AgentError`` for what is not understood, or has no kernel.
  mutating func run(_ text: String) throws -> Choice {
    do {
      _ = try carryOut(try GRUBScript(text).statements)
    } catch is Boots { return try finished() }
    guard !items.isEmpty else { throw Self.unclear("it has no menu") }
    var wanted = (variables["default"] ?? "0")[...]
    // A menu in a menu: "1>2".
    for _ in 0..<8 {
      let name = wanted.prefix { $0 != ">" }
      wanted = wanted.dropFirst(name.count + 1)
      let item = try item(String(name))
      guard !item.isRestricted || (variables["superusers"] ?? "").isEmpty else {
        throw Self.unclear("its entry asks for a password")
      }
      choice.title = item.title
      items = []
      do {
        switch item.body {
        case .script(.entry(_, let body, _)): _ = try carryOut(body)
        case .script: break
        case .loader(let entry, let system): try take(entry, on: system)
        }
      } catch is Boots { return try finished() }
      guard item.isSubmenu else { return try finished() }
    }
    throw Self.unclear("its menus are nested too deeply")
  }

  private func item(_ name: String) throws -> Item {
    if let index = Int(name), items.indices.contains(index) { return items[index] }
    // What is not there means the first.
    guard let found = items.first(where: { $0.id == name || $0.title == name }) ?? items.first else {
      throw Self.unclear("a menu has no entry")
    }
    return found
  }
  private func finished() throws -> Choice {
    guard choice.kernel != nil else { throw Self.unclear("its entry boots no Linux kernel") }
    return choice
  }
  static func unclear(_ what: String) -> AgentError {
    AgentError(.refused, "the configuration of GRUB is not understood: \(printable(what, limit: 120))")
  }

  // MARK: Statements

  /// - Returns: whether the last command succeeded.
  mutating func carryOut(_ statements: [GRUBScript.Statement]) throws -> Bool {
    depth += 1
    defer { depth -= 1 }
    guard depth <= 64 else { throw Self.unclear("its functions call each other without end") }
    var status = true
    for statement in statements {
      switch statement {
      case .command(let words):
        status = try carryOut(words)
        variables["?"] = status ? "0" : "1"
      case .function(let name, let body): functions[name] = body
      case .entry(let words, _, let isSubmenu): try add(try words.flatMap { try expand($0) }, statement, isSubmenu)
      case .condition(let branches, let otherwise):
        var isDone = false
        for branch in branches where try carryOut(branch.test) {
          status = try carryOut(branch.body)
          isDone = true
          break
        }
        if !isDone { status = try carryOut(otherwise) }
      }
    }
    return status
  }

  private mutating func add(_ words: [String], _ statement: GRUBScript.Statement, _ isSubmenu: Bool) throws {
    guard items.count < 1024 else { throw Self.unclear("it has too many entries") }
    var item = Item(title: words.first ?? "", isSubmenu: isSubmenu, isRestricted: true, body: .script(statement))
    var left = words.dropFirst()
    while let word = left.popFirst() {
      switch word {
      case "--id": item.id = left.popFirst()
      case "--unrestricted": item.isRestricted = false
      case "--class", "--users", "--hotkey": _ = left.popFirst()
      default: if word.hasPrefix("--id=") { item.id = String(word.dropFirst(5)) }
      }
    }
    items.append(item)
  }

  /// The words that a word becomes.
  func expand(_ word: GRUBScript.Word) throws -> [String] {
    var words: [String] = []
    var current = word.isQuoted ? "" : nil as String?
    for piece in word.pieces {
      guard words.count <= 4096, current?.utf8.count ?? 0 <= 65536 else {
        throw Self.unclear("a word of it is too long")
      }
      switch piece {
      case .text(let text): current = (current ?? "") + text
      case .variable(let name, let isQuoted):
        let value = variables[name] ?? ""
        guard value.utf8.count <= 8192 else { throw Self.unclear("the value of \(name) is too long") }
        if isQuoted {
          current = (current ?? "") + value
          continue
        }
        let parts = value.split(separator: " ").map { String($0) }
        if value.hasPrefix(" "), let done = current { (words, current) = (words + [done], nil) }
        for (index, part) in parts.enumerated() {
          if index > 0, let done = current { (words, current) = (words + [done], nil) }
          current = (current ?? "") + part
        }
        if value.hasSuffix(" "), let done = current { (words, current) = (words + [done], nil) }
      }
    }
    return words + (current.map { [$0] } ?? [])
  }
}
