import BlockMaps
import Conductor
import Cryptography
import Domain
import Store
import Wire

/// The agents of the machines in a ``World``: they claim, obey at once, and are gone when their machine loses power.
public struct WorldAgent: Sendable {
  let world: World
  let conductor: Conductor
  let machine: String
  let mac: MACAddress

  public init(world: World, conductor: Conductor, machine: String, mac: MACAddress) {
    self.world = world
    self.conductor = conductor
    self.machine = machine
    self.mac = mac
  }

  /// Runs until the task is cancelled.
  public func run() async {
    while !Task.isCancelled {
      if runs, reachesServer, world.value("fault/no-agent") == nil { try? await serve() }
      try? await Task.sleep(for: .milliseconds(2))
    }
  }

  /// One that stands by is in quarantine until it is wanted.
  private var reachesServer: Bool {
    world.value("stands-by/\(machine)") == nil || world.value("switch/\(machine)") == "100"
  }
  /// What an agent becomes when it has done its work.
  private static let successors = ["rescue", "waiting agent"]
  /// Also one that has made way for what follows it, until the server has heard so.
  private var runs: Bool {
    let system = world.value("runs/\(machine)") ?? ""
    return system == "agent" || (Self.successors.contains(system) && world.value("agent/\(machine)") != nil)
  }

  private func serve() async throws {
    // The machine outlives the server: what its agent holds is kept in the world.
    let token: String, secret: String
    if let held = world.value("agent/\(machine)")?.split(separator: " ").map({ String($0) }), held.count == 2 {
      (token, secret) = (held[0], held[1])
    } else {
      guard let boot = try await conductor.bootRequest(mac: mac) else { return }
      (token, secret) = (boot.token, Identifier.hex() + Identifier.hex())
      try world.ensure("agent/\(machine)", "\(token) \(secret)")
    }
    guard let claimed = try await conductor.agentClaim(token: token, mac: mac, secret: secret, inventory: inventory)
    else {
      // A token of an earlier boot: the next look asks for this boot's.
      try leave()
      return try world.ensure("agent/\(machine)", nil)
    }
    while !Task.isCancelled, runs {
      guard reachesServer else {
        try await Task.sleep(for: .milliseconds(2))
        continue
      }
      guard let holder = try await conductor.agentHolder(session: claimed.session) else {
        if Self.successors.contains(world.value("runs/\(machine)") ?? "") { try world.ensure("agent/\(machine)", nil) }
        return try leave()
      }
      guard
        let command = try await conductor.agentCommand(
          node: holder.node, workflow: holder.workflow, limit: .milliseconds(20))
      else {
        continue
      }
      if let fault = world.value("fault/agent-\(command.kind)") {
        if fault == "silent" {
          // Hangs until the machine is switched off.
          while !Task.isCancelled, world.value("runs/\(machine)") == "agent" {
            try await Task.sleep(for: .milliseconds(2))
          }
          return
        }
        _ = try await conductor.agentResult(id: command.id, node: holder.node, error: fault, output: [:])
        continue
      }
      var output: JSONObject = [:]
      switch command.kind {
      case "inspect": output["inventory"] = inventory
      case "erase":
        try world.ensure("disk/\(machine)", "zeros")
        output["disks"] = []
        output["neighbors"] = neighbors
      case "read-disk":
        output["map_sha256"] = .string(try await send(holder.node, holder.workflow))
      case "back-up-disk":
        output["map_sha256"] = .string(try await backUp(holder.node, holder.workflow))
        output["sent_bytes"] = 1
      case "write-image":
        let image = command.parameters["image"]
        let content = try await restored(image, holder.node, holder.workflow)
        try world.ensure("disk/\(machine)", content ?? image?["url"]?.string ?? "")
        output["bytes_written"] = 1
        output["neighbors"] = neighbors
      case "rescue": try world.ensure("runs/\(machine)", "rescue")
      case "load-system":
        let why = world.value("fault/loads-nothing")
        output = why.map { ["loaded": false, "why": .string($0)] } ?? ["loaded": true, "word": "spoken"]
        guard why == nil else { break }
        let end = CrashSite.now() + conductor.settings.buttonPatience
        try world.ensure([("waits/\(machine)", "\(end.microseconds)"), ("runs/\(machine)", "waiting agent")])
      case "stand-by":
        try world.ensure("stands-by/\(machine)", "yes")
        output["seconds"] = command.parameters["seconds"] ?? 0
      default: break
      }
      _ = try await conductor.agentProgress(id: command.id, node: holder.node, percent: 50, message: nil, remaining: 1)
      _ = try await conductor.agentResult(id: command.id, node: holder.node, error: nil, output: output)
      if command.kind == "power-off" { return try leave() }
      if command.kind == "rescue" || output["loaded"]?.bool == true {
        return try world.ensure("agent/\(machine)", nil)
      }
    }
  }

  /// What is on the disk, 256 KiB of which only the first block is not zero.
  private func disk() throws -> (frame: [UInt8], map: BlockMap) {
    let (size, blockSize) = (256 << 10, 64 << 10)
    var block = Array((world.value("disk/\(machine)") ?? "").utf8)
    block += [UInt8](repeating: 0, count: blockSize - block.count)
    var frame = [UInt8](repeating: 0, count: BlockCoder.room(forBlockOf: blockSize))
    let count = block.withUnsafeBytes { block in
      frame.withUnsafeMutableBytes { BlockCoder().encode(block, index: 0, into: $0) }
    }
    var builder = try BlockMap.Builder(size: size, blockSize: blockSize)
    builder.add(digest: Digest.sha256(block))
    return (Array(frame[..<count]), builder.map)
  }
  /// Sends it for an image.
  /// - Returns: the SHA-256 of the map.
  private func send(_ node: String, _ workflow: String) async throws -> String {
    let (frame, map) = try disk()
    _ = try await conductor.agentBlocks(
      frame, size: map.size, blockSize: map.blockSize, node: node, workflow: workflow)
    _ = try await conductor.agentMap(map.bytes, node: node, workflow: workflow)
    return Digest.hex(Digest.sha256(map.bytes))
  }
  /// Sends what the backup store has not.
  /// - Returns: the SHA-256 of the map.
  private func backUp(_ node: String, _ workflow: String) async throws -> String {
    let (frame, map) = try disk()
    while let lacking = try await conductor.agentBackupMap(map.bytes, node: node, workflow: workflow), !lacking.isEmpty
    {
      guard try await conductor.agentBackupBlocks(frame, node: node, workflow: workflow) else { break }
    }
    return Digest.hex(Digest.sha256(map.bytes))
  }
  /// What a backup says of a disk; nil for an image.
  private func restored(_ image: JSON?, _ node: String, _ workflow: String) async throws -> String? {
    guard image?["url"]?.string == "/agent/v1/disk-backup/\(workflow)" else { return nil }
    guard let disk = try await conductor.restoredDisk(node: node, workflow: workflow),
      image?["map_sha256"]?.string == Digest.hex(Digest.sha256(disk.bytes))
    else { return "not the backup" }
    let frame = try await conductor.frame(of: 0, disk)
    var block = [UInt8](repeating: 0, count: disk.map.range(of: 0).count)
    try frame.withUnsafeBytes { frame in
      let stored = UnsafeRawBufferPointer(rebasing: frame[BlockCoder.headerLength...])
      try block.withUnsafeMutableBytes { try BlockCoder().decode(stored, into: $0) }
    }
    return String(decoding: block.prefix { $0 != 0 }, as: UTF8.self)
  }

  /// Switches the machine off, where the server has no controller to do it with: elsewhere that is the server's to show.
  private func leave() throws {
    guard world.value("leaves/\(machine)") != nil else { return }
    try world.ensure([("power/\(machine)", "power off"), ("runs/\(machine)", nil), ("agent/\(machine)", nil)])
  }

  private var inventory: JSON {
    [
      "cpus": 4, "cpu_arch": "x86_64", "memory_mb": 4096, "boot_mode": "bios",
      "disks": [["name": "/dev/vda", "size_bytes": .int(10 << 30)]],
      "interfaces": [
        ["name": "eth0", "mac": .string(mac.description), "lldp": neighbor]
      ],
    ]
  }
  /// Where the machine's cable ends: "lldp/<machine>", a port of sw0; by itself the one of its name.
  private var neighbor: JSON {
    ["chassis_id": "sw0", "port_id": .string(world.value("lldp/\(machine)") ?? machine)]
  }
  private var neighbors: JSON { [["mac": .string(mac.description), "lldp": neighbor]] }
}
