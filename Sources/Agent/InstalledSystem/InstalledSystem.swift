import Glibc

/// What the boot loader on a disk would start by itself: a kernel, its ramdisks and its command line.
struct InstalledSystem {
  var kernel: (system: any DiskFileSystem, node: FileNode, path: String)
  var initrds: [(system: any DiskFileSystem, node: FileNode)]
  var commandLine: String
  /// What the boot loader's menu calls it.
  var title: String

  /// In bytes; larger ones would not leave the ramdisk room.
  static let kernelLimit = 128 << 20
  static let initrdLimit = 1 << 30
  /// What the kernel takes; it says so itself where it takes less.
  static let commandLineLimit = 4095

  /// Of kernel and ramdisks.
  var bytes: Int { kernel.node.size + initrds.reduce(0) { $0 + $1.node.size + 3 } }

  /// Finds it as GRUB or systemd-boot do.
  /// - Throws: ``AgentError`` with why that is not certain; then the firmware boots the disk.
  static func find(on device: BlockDevice, isUEFI: Bool) throws -> InstalledSystem {
    let found = try DiskFileSystems(of: device)
    let systems = found.all
    var configurations: [(system: any DiskFileSystem, folder: String)] = []
    for system in systems {
      let folders = ["/boot/grub", "/boot/grub2", "/grub", "/grub2"]
      for folder in folders where try system.open("\(folder)/grub.cfg")?.kind == .file {
        configurations.append((system, folder))
      }
    }
    if let (system, folder) = configurations.first {
      guard configurations.count == 1 else {
        throw AgentError(.refused, "the disk has \(configurations.count) configurations of GRUB")
      }
      let text = try system.text("\(folder)/grub.cfg", limit: GRUBScript.limit) ?? ""
      return try started(byGRUB: text, on: system, folder: folder, systems, isUEFI: isUEFI)
    }
    guard isUEFI, let choice = try loaderChoice(systems) else {
      let problems = found.problems.map { "; \($0)" }.joined()
      throw AgentError(.refused, "the disk has no boot loader whose configuration can be read\(problems)")
    }
    return try InstalledSystem(choice)
  }

  /// What GRUB starts with a configuration that is in `folder` of `system`.
  static func started(
    byGRUB text: String, on system: any DiskFileSystem, folder: String, _ systems: [any DiskFileSystem], isUEFI: Bool
  ) throws -> InstalledSystem {
    var menu = GRUBMenu(systems: systems, on: system, folder: folder, isUEFI: isUEFI)
    return try InstalledSystem(try menu.run(text))
  }

  /// What systemd-boot starts by itself. Source: systemd, loader.conf(5).
  private static func loaderChoice(_ systems: [any DiskFileSystem]) throws -> GRUBMenu.Choice? {
    for system in systems {
      if let folder = try system.open("/EFI/Linux"), folder.kind == .folder, try !system.names(in: folder).isEmpty {
        throw AgentError(.refused, "the disk has unified kernel images, which only firmware starts")
      }
    }
    var all: [(entry: LoaderEntry, system: any DiskFileSystem)] = []
    var pattern: String?
    for system in systems where system is FATFileSystem {
      all += try LoaderEntry.list("/loader/entries", on: system).map { ($0, system) }
      for line in try system.text("/loader/loader.conf", limit: 65536)?.split(whereSeparator: \.isNewline) ?? [] {
        let words = line.split(whereSeparator: { $0 == " " || $0 == "\t" })
        if words.first == "default", words.count > 1 { pattern = String(words[1]) }
      }
    }
    if all.contains(where: { $0.entry.id.contains("+") }) {
      throw AgentError(.refused, "the boot loader counts how often it tries an entry")
    }
    if let wanted = pattern {
      guard !wanted.hasPrefix("@") else {
        throw AgentError(.refused, "the boot loader's default is \(printable(wanted, limit: 40))")
      }
      all = all.filter { fnmatch(wanted, $0.entry.id, 0) == 0 || fnmatch(wanted, $0.entry.id + ".conf", 0) == 0 } + all
    }
    guard let (entry, system) = all.first else { return nil }
    guard let path = entry.values["linux"] else {
      throw AgentError(.refused, "the entry \(printable(entry.id, limit: 80)) names no Linux kernel")
    }
    return GRUBMenu.Choice(
      kernel: (system, path), arguments: entry.options.flatMap { $0.split(separator: " ").map { String($0) } },
      initrds: entry.initrds.map { (system, $0) }, title: entry.title)
  }

  private init(_ choice: GRUBMenu.Choice) throws {
    func file(_ place: (system: any DiskFileSystem, path: String), _ limit: Int) throws -> FileNode {
      let shown = printable(place.path, limit: 100)
      guard let node = try place.system.open(place.path), node.kind == .file, node.size > 0 else {
        throw AgentError(.refused, "there is no file \(shown) on \(place.system.partition.name)")
      }
      guard node.size <= limit else {
        throw AgentError(.refused, "\(shown) has \(node.size) bytes; \(limit) is the most")
      }
      return node
    }
    guard let place = choice.kernel else { throw AgentError(.refused, "the boot loader starts no Linux kernel") }
    kernel = (place.system, try file(place, Self.kernelLimit), place.path)
    initrds = try choice.initrds.map { ($0.system, try file($0, Self.initrdLimit)) }
    commandLine = choice.arguments.joined(separator: " ")
    title = choice.title
    guard commandLine.utf8.count <= Self.commandLineLimit, !commandLine.utf8.contains(where: { $0 < 0x20 }) else {
      throw AgentError(.refused, "the kernel's command line has \(commandLine.utf8.count) bytes, or control characters")
    }
  }
}
