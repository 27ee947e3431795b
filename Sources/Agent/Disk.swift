import Wire

/// A disk of the machine.
struct Disk: Equatable {
  /// "/dev/vda"
  var name: String
  var sizeBytes: Int
  var model: String
  var serial: String
  var isRotational: Bool
  /// How it is attached: "nvme", "virtio", "sata", "usb", "scsi", "mmc" or "unknown".
  var transport: String
  var isRemovable: Bool
  var isReadOnly: Bool
  /// A range of it is made zero by a command, without the zeros being sent to it or, as far as one can tell, written.
  var zeroesByCommand: Bool

  /// What tells it from the machine's other disks, also after the next boot where it has a serial number.
  var key: String { serial.isEmpty ? name : serial }

  var json: JSON {
    [
      "name": .string(name), "size_bytes": .int(sizeBytes), "model": .string(model), "serial": .string(serial),
      "rotational": .bool(isRotational), "transport": .string(transport),
    ]
  }

  /// Every disk that can hold an operating system or somebody's data: no CD, no RAM disk, nothing built on others.
  static func all(on machine: Machine) -> [Disk] {
    Machine.names(in: machine.sys + "/block").compactMap { name in
      let virtual = ["loop", "ram", "zram", "sr", "dm-", "md", "fd", "nbd"]
      guard !virtual.contains(where: { name.hasPrefix($0) }) else { return nil }
      let path = "\(machine.sys)/block/\(name)"
      guard let sectors = Machine.number(of: path + "/size"), sectors > 0, sectors < 1 << 50 else { return nil }
      return Disk(
        name: "\(machine.dev)/\(name)", sizeBytes: sectors * 512,
        model: Machine.text(of: path + "/device/model") ?? "",
        serial: Machine.text(of: path + "/serial") ?? Machine.text(of: path + "/device/serial") ?? vitalSerial(path),
        isRotational: Machine.number(of: path + "/queue/rotational") == 1,
        transport: transport(name, Machine.target(of: path) ?? ""),
        isRemovable: Machine.number(of: path + "/removable") == 1,
        isReadOnly: Machine.number(of: path + "/ro") == 1,
        zeroesByCommand: (Machine.number(of: path + "/queue/write_zeroes_max_bytes") ?? 0) > 0
          && Machine.number(of: path + "/queue/rotational") != 1)
    }
  }

  /// A SCSI or SATA disk's unit serial number. Source: SPC-4, vital product data page 0x80.
  private static func vitalSerial(_ path: String) -> String {
    guard let page = Machine.bytes(of: path + "/device/vpd_pg80", limit: 256), page.count > 4, page[1] == 0x80 else {
      return ""
    }
    return trimmed(printable(String(decoding: page[4...].prefix(Int(page[3])), as: UTF8.self), limit: 255))
  }

  private static func transport(_ name: String, _ devicePath: String) -> String {
    if name.hasPrefix("nvme") { return "nvme" }
    if name.hasPrefix("vd") { return "virtio" }
    if name.hasPrefix("mmc") { return "mmc" }
    if devicePath.contains("/usb") { return "usb" }
    if devicePath.contains("/ata") { return "sata" }
    return name.hasPrefix("sd") ? "scsi" : "unknown"
  }
}

/// Which disk is meant: members that must all match; with none, the smallest of at least 1 GiB that is not removable.
struct DiskHint {
  var name: String?
  var serial: String?
  var model: String?
  /// In GiB, rounded down as people say it.
  var gibibytes: Int?

  /// - Throws: ``AgentError`` when a member is unknown or of the wrong type: guessing would write to the wrong disk.
  init(_ json: JSON?) throws {
    guard let json, !json.isNull else { return }
    guard let object = json.object else { throw AgentError(.refused, "The disk hint is not an object.") }
    for member in object where !member.value.isNull {
      let isUnderstood: Bool
      switch member.key {
      case "name":
        name = member.value.string
        isUnderstood = name != nil
      case "serial":
        serial = member.value.string
        isUnderstood = serial != nil
      case "model":
        model = member.value.string
        isUnderstood = model != nil
      case "size":
        gibibytes = member.value.lenientInt
        isUnderstood = gibibytes != nil
      default: isUnderstood = false
      }
      guard isUnderstood else {
        throw AgentError(.refused, "The disk hint's member \(printable(member.key, limit: 40)) is not understood.")
      }
    }
    // "vda" and "/dev/vda" mean the same.
    if let given = name, given.hasPrefix("/dev/") { name = String(given.dropFirst(5)) }
  }

  var isEmpty: Bool { name == nil && serial == nil && model == nil && gibibytes == nil }

  func matches(_ disk: Disk) -> Bool {
    if let name, disk.name.split(separator: "/").last ?? "" != name { return false }
    if let serial, disk.serial != serial { return false }
    if let model, disk.model != model { return false }
    if let gibibytes, disk.sizeBytes >> 30 != gibibytes { return false }
    return true
  }

  /// The one disk meant.
  func choose(from disks: [Disk]) throws -> Disk {
    let usable = disks.filter { !$0.isReadOnly }
    let candidates = usable.filter { isEmpty ? !$0.isRemovable && $0.sizeBytes >= 1 << 30 : matches($0) }
    guard let disk = candidates.min(by: { ($0.sizeBytes, $0.name) < ($1.sizeBytes, $1.name) }) else {
      let seen = disks.map { "\($0.name) (\($0.sizeBytes) bytes, serial \"\($0.serial)\")" }.joined(separator: ", ")
      throw AgentError(
        .refused,
        "No disk matches \(isEmpty ? "(the smallest of at least 1 GiB)" : "the hint"); "
          + "the machine has \(seen.isEmpty ? "none" : seen). Name one by root_device in properties or instance_info.")
    }
    return disk
  }
}
