import Wire

/// One virtual bare-metal machine: a QEMU process with real firmware behind a management controller.
public struct LabMachine: Sendable, Equatable {
  public enum Firmware: String, Sendable { case bios, uefi }
  public enum Controller: String, Sendable { case ipmi, redfish }
  public enum Disk: String, Sendable { case virtio, nvme }

  /// 1 to 99; everything about the machine is named after it.
  public var index: Int
  /// 0 to 250: labs that run at the same time on one host have different rooms, and so different loopback addresses.
  public var room: Int
  public var firmware: Firmware
  public var controller: Controller
  public var disk: Disk
  /// Mebibytes.
  public var memory: Int
  public var diskGibibytes: Int
  public var nics: Int

  public init(
    index: Int, room: Int = 0, firmware: Firmware = .bios, controller: Controller = .ipmi, disk: Disk = .virtio,
    memory: Int = 384,
    diskGibibytes: Int = 2, nics: Int = 1
  ) {
    self.index = index
    self.room = room
    self.firmware = firmware
    self.controller = controller
    self.disk = disk
    self.memory = memory
    self.diskGibibytes = diskGibibytes
    self.nics = nics
  }

  public var name: String { "machine\(index)" }
  /// The taps, which are the names of the switch ports too.
  public var taps: [String] { (0..<nics).map { $0 == 0 ? "n\(index)" : "n\(index)x\($0)" } }
  public var macs: [String] { (0..<nics).map { "52:54:00:77:\(hex($0)):\(hex(index))" } }
  public var uuid: String {
    "00000000-0000-4000-8000-" + String(repeating: "0", count: 12 - String(index).count) + String(index)
  }
  /// Loopback address of the controller.
  public var controllerAddress: String { "127.78.\(room).\(10 + index)" }
  /// Loopback address of the room's serial relay, and its TCP port for the controller; the machine's is 100 above.
  public var serialAddress: String { "127.78.\(room).1" }
  public var serialPort: Int { 7700 + index }

  private func hex(_ number: Int) -> String { (number < 16 ? "0" : "") + String(number, radix: 16) }

  var json: JSON {
    [
      "index": .int(index), "room": .int(room), "firmware": .string(firmware.rawValue),
      "controller": .string(controller.rawValue),
      "disk": .string(disk.rawValue), "memory": .int(memory), "disk_gib": .int(diskGibibytes), "nics": .int(nics),
    ]
  }
  init?(_ json: JSON) {
    guard let index = json["index"]?.int, let room = json["room"]?.int,
      let firmware = json["firmware"]?.string.flatMap({ Firmware(rawValue: $0) }),
      let controller = json["controller"]?.string.flatMap({ Controller(rawValue: $0) }),
      let disk = json["disk"]?.string.flatMap({ Disk(rawValue: $0) }), let memory = json["memory"]?.int,
      let size = json["disk_gib"]?.int, let nics = json["nics"]?.int
    else { return nil }
    self.init(
      index: index, room: room, firmware: firmware, controller: controller, disk: disk, memory: memory,
      diskGibibytes: size, nics: nics)
  }
}
