import BlockMaps
import CLinux
import Glibc
import Wire

/// Does what the server's commands say (docs/agent-protocol.md, "Commands").
final class CommandRunner {
  /// A config drive is kept in memory on its way, and the ramdisk has little.
  static let configDriveLimit = 64 << 20
  /// A week.
  static let longestStandBy = 7 * 86_400

  private let machine: Machine
  private let session: ServerSession
  private let progress: Progress
  private let lldp: LLDPListener
  private let rescueFolder: String
  private let loading: SystemLoading
  /// What `load-system` has loaded.
  private(set) var loaded: LoadedSystem?
  private var log: AgentLog { session.log }

  init(
    machine: Machine, session: ServerSession, progress: Progress, lldp: LLDPListener, rescueFolder: String,
    loading: SystemLoading
  ) {
    self.rescueFolder = rescueFolder
    self.loading = loading
    self.machine = machine
    self.session = session
    self.progress = progress
    self.lldp = lldp
  }

  /// - Returns: the result's `output`.
  /// - Throws: ``AgentError`` with the sentence that becomes the result's `error`.
  func run(_ command: ServerSession.Command) throws -> JSON {
    switch command.kind {
    case "inspect": return inspect(command.parameters)
    case "write-image": return withNeighbors(try writeImage(command.parameters))
    case "erase": return withNeighbors(try erase(command.parameters))
    case "rescue":
      let rescue = try RescueSystem(command.parameters)
      try rescue.leave(try fetch(rescue.archive, "rescue system"), in: rescueFolder)
      return .emptyObject
    case "read-disk": return withNeighbors(try readDisk(command.parameters))
    case "back-up-disk": return withNeighbors(try backUpDisk(command.parameters))
    case "load-system":
      let (output, system) = try loading.run(command.parameters)
      loaded = system
      return output
    case "stand-by":
      guard let seconds = command.parameters["seconds"]?.int, (1...Self.longestStandBy).contains(seconds) else {
        throw AgentError(.refused, "A machine stands by for 1 to \(Self.longestStandBy) seconds.")
      }
      return ["seconds": .int(seconds)]
    case "power-off": return .emptyObject
    default:
      throw AgentError(.refused, "This agent knows no command \"\(printable(command.kind, limit: 40))\".")
    }
  }

  /// An output with what LLDP has told meanwhile: the server compares it with the wiring that it knows.
  private func withNeighbors(_ output: JSON) -> JSON {
    guard var members = output.object else { return output }
    members["neighbors"] = Inventory(machine: machine).neighbors(lldp.neighbors)
    return .object(members)
  }

  // MARK: - inspect

  private func inspect(_ parameters: JSON) -> JSON {
    let inventory = Inventory(machine: machine)
    let seconds = max(0, min(parameters["lldp_seconds"]?.int ?? 5, 120))
    let listening = inventory.interfaces().filter(\.hasLink).map(\.index)
    if !listening.isEmpty, seconds > 0 {
      log.say("listening for LLDP on \(listening.count) interfaces, at most \(seconds) s")
      lldp.wait(for: listening, seconds: seconds)
    }
    return ["inventory": inventory.json(neighbors: lldp.neighbors)]
  }

  // MARK: - write-image

  private func writeImage(_ parameters: JSON) throws -> JSON {
    let started = clinux_monotonic_seconds()
    guard let description = parameters["image"] else {
      throw AgentError(.refused, "The command names no image.")
    }
    let image = try DiskImage(description)
    let disk = try DiskHint(parameters["disk"]).choose(from: Disk.all(on: machine))
    var drive: ImageSource?
    if let json = parameters["config_drive"], !json.isNull { drive = try ImageSource(json, what: "config drive") }
    try requireRoom(on: disk, image: image, drive: drive)
    let device = try BlockDevice(path: disk.name)
    // First, because what cannot be had makes the long part pointless.
    let driveBytes = try drive.map { try fetch($0, "config drive") }
    let map = try image.fetchMap(session)

    log.say(
      "writing an image of \(image.size) bytes, \(map.dataBytes) of them not zero, to \(disk.name) (\(device.size) bytes)"
    )
    let writer = ImageWriter(
      image, map, to: device, zeroesByCommand: disk.zeroesByCommand, session: session
    ) { [progress] part, what in
      try progress.update(part, what)
    }
    let report: ImageWriter.Report
    do {
      report = try writer.run()
      log.say("every block had its SHA-256; \(report.verified) bytes were read back")
      try progress.update(0.98, "finishing the disk")
      if image.size == device.size, driveBytes == nil {
        log.say("the image is as large as the disk: every byte is as it is there")
      } else {
        log.say(
          try DiskLayout.finish(
            device, configDrive: driveBytes, imageSize: image.size,
            growsLast: parameters["grow_last_partition"]?.bool ?? false))
      }
      try device.sync()
    } catch {
      // Half an image, or one that is not what it claims to be, must not boot.
      if writer.hasBegun { DiskLayout.spoil(device) }
      throw error
    }
    sync()
    dropCaches()
    let seconds = Int(clinux_monotonic_seconds() - started + 0.5)
    log.say(
      "sent \(report.sent) bytes, wrote \(report.written), left \(report.reused), zeroed \(report.zeroed) in \(seconds) s"
    )
    return [
      "disk": .string(disk.name), "bytes_sent": .int(report.sent), "bytes_written": .int(report.written),
      "bytes_reused": .int(report.reused), "bytes_zeroed": .int(report.zeroed), "bytes_verified": .int(report.verified),
      "seconds": .int(seconds),
    ]
  }

  private func requireRoom(on disk: Disk, image: DiskImage, drive: ImageSource?) throws {
    guard image.size <= disk.sizeBytes else {
      throw AgentError(
        .refused,
        "The disk \(disk.name) has \(disk.sizeBytes) bytes; the image needs \(image.size) bytes: choose a smaller image, "
          + "or another disk by instance_info/root_device.")
    }
    guard let drive else { return }
    guard drive.size <= Self.configDriveLimit else {
      throw AgentError(
        .refused, "The config drive has \(drive.size) bytes; \(Self.configDriveLimit) bytes is the most.")
    }
    // A partition of whole megabytes that begins at one; whether the image's own partitions leave room shows later.
    guard drive.size <= disk.sizeBytes - (2 << 20) else {
      throw AgentError(
        .refused, "The disk \(disk.name) has \(disk.sizeBytes) bytes; the config drive needs \(drive.size) bytes.")
    }
  }

  /// A file that is kept in memory as a whole, verified.
  private func fetch(_ source: ImageSource, _ what: String) throws -> [UInt8] {
    log.say("fetching the \(what) of \(source.size) bytes")
    return try source.fetch(session, what: what)
  }

  /// What a first boot or a later check reads must come from the disk.
  private func dropCaches() {
    let descriptor = open("\(machine.proc)/sys/vm/drop_caches", O_WRONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return }
    _ = write(descriptor, "3\n", 2)
    close(descriptor)
  }

  // MARK: - read-disk

  private func readDisk(_ parameters: JSON) throws -> JSON {
    try read(parameters) { disk, device, path in
      let reading = DiskReading(device: device, path: path, session: session) { [progress] position in
        try progress.update(Double(position) / Double(disk.sizeBytes), "reading \(disk.name)")
      }
      let outcome = try reading.run()
      return (outcome.map, outcome.sentBytes)
    }
  }

  private func backUpDisk(_ parameters: JSON) throws -> JSON {
    try read(parameters) { disk, device, path in
      let backup = DiskBackup(device: device, path: path, session: session) { [progress] part, what in
        try progress.update(part, what)
      }
      let outcome = try backup.run()
      return (outcome.map, outcome.sentBytes)
    }
  }

  /// Chooses the disk, has it read and sent, and tells of it.
  private func read(
    _ parameters: JSON, _ body: (Disk, BlockDevice, String) throws -> (map: BlockMap, sentBytes: Int)
  ) throws -> JSON {
    let started = clinux_monotonic_seconds()
    guard let path = parameters["url"]?.string, HTTPConnection.isSafePath(path), path.hasPrefix("/agent/v1/"),
      let most = parameters["most_bytes"]?.int
    else { throw AgentError(.refused, "The command does not say where the disk's content is to go.") }
    let disk = try DiskHint(parameters["disk"]).choose(from: Disk.all(on: machine))
    guard disk.sizeBytes <= most else {
      throw AgentError(
        .refused, "The disk \(disk.name) has \(disk.sizeBytes) bytes; this site takes at most \(most) bytes of a disk.")
    }
    log.say("reading \(disk.name) (\(disk.sizeBytes) bytes)")
    let (map, sentBytes) = try body(disk, try BlockDevice(path: disk.name), path)
    let seconds = Int(clinux_monotonic_seconds() - started + 0.5)
    log.say("sent \(sentBytes) bytes for \(map.dataBytes) that are not zero in \(seconds) s")
    var hash = SHA256()
    hash.update(map.bytes)
    return [
      "disk": .string(disk.name), "size_bytes": .int(disk.sizeBytes), "data_bytes": .int(map.dataBytes),
      "sent_bytes": .int(sentBytes), "map_sha256": .string(hash.hexDigest()), "seconds": .int(seconds),
    ]
  }

  // MARK: - erase

  private func erase(_ parameters: JSON) throws -> JSON {
    let started = clinux_monotonic_seconds()
    guard let mode = parameters["mode"]?.string.flatMap({ DiskErasure.Mode(rawValue: $0) }) else {
      throw AgentError(.refused, "The mode of an erasure is \"full\" or \"metadata\".")
    }
    let disks = try disksToErase(parameters["disks"])
    // A controller's own erasure may take all of its disks with it.
    let isEverything = parameters["disks"]?.isNull ?? true
    let total = disks.reduce(0) { $0 + $1.sizeBytes }
    var before = 0
    var reports: [JSON] = []
    for disk in disks {
      log.say("erasing \(disk.name) (\(disk.sizeBytes) bytes, \(mode.rawValue))")
      let diskStarted = clinux_monotonic_seconds()
      var erasure = DiskErasure(mode: mode) { [progress] part in
        let done = Double(before) + part * Double(disk.sizeBytes)
        try progress.update(done / Double(max(total, 1)), "erasing \(disk.name)")
      }
      erasure.done = done(disk, parameters["done"])
      if erasure.done > 0 { log.say("an erasure was interrupted at byte \(erasure.done)") }
      erasure.reached = { [progress] in
        progress.reached(["disk": .string(disk.key), "size_bytes": .int(disk.sizeBytes), "done_bytes": .int($0)])
      }
      if isEverything, let nvme = NVMeDevice(path: disk.name) { erasure.nvme = (nvme, nvme.namespace) }
      let outcome = try erasure.run(try BlockDevice(path: disk.name))
      before += disk.sizeBytes
      log.say("\(disk.name) is erased (\(outcome.method)); \(outcome.verifiedBytes) bytes were read back")
      reports.append([
        "name": .string(disk.name), "serial": .string(disk.serial), "model": .string(disk.model),
        "size_bytes": .int(disk.sizeBytes), "method": .string(outcome.method),
        "verified_bytes": .int(outcome.verifiedBytes),
        "seconds": .int(Int(clinux_monotonic_seconds() - diskStarted + 0.5)),
      ])
    }
    let firmware =
      isEverything ? FirmwareVariables(folder: "\(machine.sys)/firmware/efi/efivars").reset() : nil
    if let firmware { log.say("firmware: removed \(firmware.removed), could not remove \(firmware.failed)") }
    return [
      "disks": .array(reports), "firmware": firmware?.json ?? .null, "agent": .string(Agent.name),
      "seconds": .int(Int(clinux_monotonic_seconds() - started + 0.5)),
    ]
  }

  /// How far an interrupted erasure of a disk had come, as the server was told.
  private func done(_ disk: Disk, _ places: JSON?) -> Int {
    let place = places?.array?.first {
      $0["disk"]?.string == disk.key && $0["size_bytes"]?.int == disk.sizeBytes
    }
    return place?["done_bytes"]?.int ?? 0
  }

  private func disksToErase(_ hints: JSON?) throws -> [Disk] {
    let disks = Disk.all(on: machine)
    if let hints, !hints.isNull {
      guard let list = hints.array, !list.isEmpty else {
        throw AgentError(.refused, "The disks to erase are a list of hints, or null for every disk.")
      }
      var chosen: [Disk] = []
      for hint in list {
        let disk = try DiskHint(hint).choose(from: disks)
        if !chosen.contains(disk) { chosen.append(disk) }
      }
      return chosen
    }
    // A disk that cannot be written keeps what the last tenant left on it. Removable read-only media (the BMC's
    // virtual CD and the like) are nobody's storage.
    if let locked = disks.first(where: { $0.isReadOnly && !$0.isRemovable }) {
      throw AgentError(.refused, "The disk \(locked.name) is read-only and cannot be erased.")
    }
    return disks.filter { !$0.isReadOnly }
  }
}
