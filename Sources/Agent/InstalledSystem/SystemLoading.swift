import Glibc
import Wire

/// The command `load-system`: has the kernel keep what the disk's own boot loader would start (docs/agent-protocol.md).
struct SystemLoading {
  let machine: Machine
  let starter: (any SystemStarter)?
  /// Where kernel and ramdisk are put for the kernel to take.
  let folder: String
  let log: AgentLog

  static let longestWait = 3600

  /// Whatever stands against it is in the output: the server goes on by the firmware.
  /// - Throws: ``AgentError`` for parameters that are not right.
  func run(_ parameters: JSON) throws -> (output: JSON, system: LoadedSystem?) {
    guard let seconds = parameters["button_seconds"]?.int, (1...Self.longestWait).contains(seconds) else {
      throw AgentError(.refused, "The command does not say how long to wait for the power button.")
    }
    let hint = try DiskHint(parameters["disk"])
    do {
      let system = try load(hint)
      let word = base64URL((0..<16).map { _ in UInt8.random(in: 0...255) })
      return (
        [
          "loaded": true, "word": .string(word), "kernel": .string(printable(system.kernel.path, limit: 200)),
          "title": .string(printable(system.title, limit: 200)), "bytes": .int(system.bytes),
        ], LoadedSystem(word: word, seconds: seconds)
      )
    } catch let error as AgentError {
      log.say("the firmware will start the installed system: \(error)")
      return (["loaded": false, "why": .string(printable(error.description, limit: 500))], nil)
    }
  }

  private func load(_ hint: DiskHint) throws -> InstalledSystem {
    guard let starter else { throw AgentError(.refused, "this agent starts no other system") }
    if let problem = starter.problem(on: machine) { throw AgentError(.refused, problem) }
    let disk = try hint.choose(from: Disk.all(on: machine))
    let system = try InstalledSystem.find(
      on: try BlockDevice(path: disk.name), isUEFI: Machine.exists("\(machine.sys)/firmware/efi"))
    try requireMemory(for: system)
    let kernel = "\(folder)/kernel", initrd = "\(folder)/initrd"
    defer { for path in [kernel, initrd] { unlink(path) } }
    try RamdiskFile.makeFolder(folder)
    // The kernel takes no file that somebody has open for writing.
    try RamdiskFile.write(to: kernel) { try system.kernel.system.pieces(of: system.kernel.node, $0) }
    try RamdiskFile.write(to: initrd) { body in
      for part in system.initrds {
        try part.system.pieces(of: part.node, body)
        // Each archive begins at a multiple of four.
        try body([UInt8](repeating: 0, count: (4 - part.node.size % 4) % 4))
      }
    }
    let problem = starter.load(
      kernel: kernel, initrd: system.initrds.isEmpty ? nil : initrd, commandLine: system.commandLine)
    if let problem { throw AgentError(.refused, problem) }
    let title = system.title.isEmpty ? "" : " ('\(printable(system.title, limit: 100))')"
    log.say("loaded \(printable(system.kernel.path, limit: 200))\(title), \(system.bytes) bytes with its ramdisk")
    return system
  }

  /// As a file, as the kernel reads it, and where it will lie: three times, and room to work.
  private func requireMemory(for system: InstalledSystem) throws {
    let text = String(decoding: Machine.bytes(of: "\(machine.proc)/meminfo") ?? [], as: UTF8.self)
    let line = text.split(separator: "\n").first { $0.hasPrefix("MemAvailable:") }
    guard let available = line?.split(separator: " ").dropFirst().first.flatMap({ Int($0) }) else { return }
    let needed = 3 * (system.bytes >> 10) + (32 << 10)
    guard needed <= available else {
      throw AgentError(.refused, "it needs \(needed >> 10) MiB of memory, and the ramdisk has \(available >> 10)")
    }
  }
}
