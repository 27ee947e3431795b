/// GRUB's commands, as far as they have to do with what is booted.
///
/// Source: GNU GRUB Manual 2.12, section 16 ("Available commands").
extension GRUBMenu {
  /// They change nothing of what is booted.
  private static let harmless: Set<String> = [
    "insmod", "echo", "terminal_input", "terminal_output", "terminal", "serial", "gfxmode", "loadfont", "export",
    "play",
    "clear", "background_color", "background_image", "videoinfo", "videomode", "true", "sleep", "password",
    "password_pbkdf2", "rmmod",
  ]
  /// Variables by which GRUB counts how boots went, and nothing else.
  private static let counters: Set<String> = [
    "recordfail", "initrdfail", "initrdless_boot_fallback_triggered", "boot_success", "boot_indeterminate",
    "boot_counter",
  ]

  /// - Returns: whether it succeeded.
  mutating func carryOut(_ written: [GRUBScript.Word]) throws -> Bool {
    commands += 1
    guard commands <= Self.mostCommands else { throw Self.unclear("it has no end") }
    let words = try written.flatMap { try expand($0) }
    guard let name = words.first else { return true }
    let arguments = Array(words.dropFirst())
    if let body = functions[name] {
      for place in 1...9 { variables["\(place)"] = place <= arguments.count ? arguments[place - 1] : nil }
      return try carryOut(body)
    }
    if Self.harmless.contains(name) || name.hasPrefix("gfx") { return true }
    switch name {
    case "set":
      for argument in arguments { try assign(argument) }
    case "unset": for argument in arguments { variables[argument] = nil }
    case "[":
      guard arguments.last == "]" else { throw Self.unclear("a test has no end") }
      return try GRUBTest(arguments.dropLast(), exists: exists).value
    case "test": return try GRUBTest(arguments[...], exists: exists).value
    case "false", "keystatus", "hwmatch", "cmostest": return false
    case "fwsetup" where arguments == ["--is-supported"]: return false
    case "search", "search.fs_uuid", "search.fs_label", "search.file": return try search(name, arguments)
    case "load_env": try loadEnvironment(arguments)
    case "save_env":
      if let lasting = arguments.first(where: {
        !Self.counters.contains($0) && !$0.hasPrefix("-") && !$0.hasPrefix("(")
      }) {
        throw AgentError(.refused, "GRUB writes down '\(printable(lasting, limit: 40))' for the boots that follow")
      }
    case "increment", "decrement":
      guard let variable = arguments.first else { break }
      variables[variable] = String((Int(variables[variable] ?? "") ?? 0) &+ (name == "increment" ? 1 : -1))
    case "source", ".", "configfile":
      guard let path = arguments.first, let (system, rest) = try place(path),
        let text = try system.text(rest, limit: GRUBScript.limit)
      else { return false }
      return try carryOut(try GRUBScript(text).statements)
    case "blscfg": try addLoaderEntries()
    case "linux", "linux16", "linuxefi":
      guard let path = arguments.first, let found = try place(path) else {
        throw Self.unclear("it names a kernel on a disk that is not there")
      }
      choice.kernel = (found.system, found.path)
      choice.initrds = []
      // As GRUB does it.
      choice.arguments = ["BOOT_IMAGE=\(path)"] + arguments.dropFirst()
    case "initrd", "initrd16", "initrdefi":
      choice.initrds = try arguments.map { path in
        guard let found = try place(path) else { throw Self.unclear("it names a ramdisk on a disk that is not there") }
        return (found.system, found.path)
      }
    case "boot": throw Boots()
    default:
      guard arguments.isEmpty, let equals = name.firstIndex(of: "="), equals != name.startIndex else {
        throw Self.unclear("'\(name)'")
      }
      try assign(name)
    }
    return true
  }

  private mutating func assign(_ text: String) throws {
    guard let equals = text.firstIndex(of: "=") else { return }
    variables[String(text[..<equals])] = String(text[text.index(after: equals)...])
  }

  // MARK: Files

  /// The file system and the path there of "/path" or "(device)/path"; nil when there is no such device.
  private func place(_ path: String) throws -> (system: any DiskFileSystem, path: String)? {
    var device = variables["root"] ?? "", rest = path[...]
    if path.hasPrefix("("), let close = path.firstIndex(of: ")") {
      device = String(path[path.index(after: path.startIndex)..<close])
      rest = path[path.index(after: close)...]
    }
    guard let system = systems.first(where: { $0.partition.name == device }) else { return nil }
    return (system, String(rest))
  }
  private func exists(_ path: String) throws -> FileNode? {
    guard let (system, rest) = try place(path) else { return nil }
    return try system.open(rest)
  }

  private mutating func search(_ name: String, _ words: [String]) throws -> Bool {
    var kind = name == "search.fs_uuid" ? "u" : name == "search.fs_label" ? "l" : name == "search.file" ? "f" : nil
    var variable = "root", wanted: [String] = []
    let isShort = kind != nil
    var left = words[...]
    while let word = left.popFirst() {
      switch word {
      case "--fs-uuid", "-u": kind = "u"
      case "--label", "--fs-label", "-l": kind = "l"
      case "--file", "-f": kind = "f"
      // An optional value: what follows may be what is searched for.
      case "--set": break
      case "-s": variable = left.popFirst() ?? variable
      case "--hint": _ = left.popFirst()
      default:
        if word.hasPrefix("--set=") {
          variable = String(word.dropFirst(6))
        } else if !word.hasPrefix("-") {
          wanted.append(word)
        }
      }
    }
    if isShort, wanted.count > 1 { variable = wanted[1] } else if wanted.count == 2 { variable = wanted.removeFirst() }
    guard let sought = wanted.first else { return false }
    let found = try systems.first { system in
      switch kind {
      case "u": system.uuid.lowercased() == sought.lowercased()
      case "l": system.label == sought
      default: try system.open(sought) != nil
      }
    }
    guard let found else { return false }
    variables[variable] = found.partition.name
    return true
  }

  /// Source: GNU GRUB Manual, section 15.2 ("The GRUB environment block").
  private mutating func loadEnvironment(_ words: [String]) throws {
    var file = "\(variables["prefix"] ?? "")/grubenv", names: [String] = []
    var left = words[...]
    while let word = left.popFirst() {
      if word == "-f" || word == "--file" {
        file = left.popFirst() ?? file
      } else if word.hasPrefix("--file=") {
        file = String(word.dropFirst(7))
      } else if !word.hasPrefix("-") {
        names.append(word)
      }
    }
    guard let (system, path) = try place(file), let text = try system.text(path, limit: 65536) else { return }
    for line in text.split(separator: "\n") where !line.hasPrefix("#") {
      guard let equals = line.firstIndex(of: "=") else { continue }
      let name = String(line[..<equals])
      if names.isEmpty || names.contains(name) { variables[name] = String(line[line.index(after: equals)...]) }
    }
  }

  // MARK: Entries of the Boot Loader Specification

  private mutating func addLoaderEntries() throws {
    let device = variables["boot"] ?? variables["root"] ?? ""
    guard let system = systems.first(where: { $0.partition.name == device }) else { return }
    var entries = try LoaderEntry.list("/loader/entries", on: system)
    if entries.isEmpty { entries = try LoaderEntry.list("/boot/loader/entries", on: system) }
    for entry in entries {
      let isRestricted = entry.values["grub_users"] != nil && entry.values["grub_users"] != "$grub_users"
      items.append(Item(title: entry.title, id: entry.id, isRestricted: isRestricted, body: .loader(entry, on: system)))
    }
  }

  /// Its values may name GRUB's variables: `$kernelopts`.
  mutating func take(_ entry: LoaderEntry, on system: any DiskFileSystem) throws {
    func words(_ values: [String]) throws -> [String] {
      try values.flatMap { value in
        try value.split(separator: " ").flatMap { word -> [String] in
          guard word.contains("$") else { return [String(word)] }
          guard case .command(let parsed)? = try GRUBScript(String(word)).statements.first else { return [] }
          return try parsed.flatMap { try expand($0) }
        }
      }
    }
    guard let path = entry.values["linux"] else { return }
    choice.kernel = (system, path)
    choice.arguments = try ["BOOT_IMAGE=(\(system.partition.name))\(path)"] + words(entry.options)
    choice.initrds = try words(entry.initrds).map { (system, $0) }
  }
}
