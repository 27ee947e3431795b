import Wire

/// One virtual bare-metal machine: a QEMU process with real firmware behind a management controller.
public struct LabMachine: Sendable, Equatable {
  public enum Firmware: String, Sendable { case bios, uefi }
  public enum Controller: String, Sendable { case ipmi, redfish }
  public enum Disk: String, Sendable { case virtio, nvme }

  /// 1 to 99; everything about the machine is named after it.
  public var index: Int
  public var firmware: Firmware
  public var controller: Controller
  public var disk: Disk
  /// Mebibytes.
  public var memory: Int
  public var diskGibibytes: Int
  public var nics: Int

  public init(
    index: Int, firmware: Firmware = .bios, controller: Controller = .ipmi, disk: Disk = .virtio, memory: Int = 384,
    diskGibibytes: Int = 2, nics: Int = 1
  ) {
    self.index = index
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
  public var uuid: String { "00000000-0000-4000-8000-" + String(repeating: "0", count: 12 - String(index).count) + String(index) }
  /// Loopback address of the controller.
  public var controllerAddress: String { "127.78.0.\(10 + index)" }
  /// TCP port on loopback that carries the serial line to `ipmi_sim`.
  public var serialPort: Int { 7700 + index }

  private func hex(_ number: Int) -> String { (number < 16 ? "0" : "") + String(number, radix: 16) }

  var json: JSON {
    [
      "index": .int(index), "firmware": .string(firmware.rawValue), "controller": .string(controller.rawValue),
      "disk": .string(disk.rawValue), "memory": .int(memory), "disk_gib": .int(diskGibibytes), "nics": .int(nics),
    ]
  }
  init?(_ json: JSON) {
    guard let index = json["index"]?.int, let firmware = json["firmware"]?.string.flatMap({ Firmware(rawValue: $0) }),
      let controller = json["controller"]?.string.flatMap({ Controller(rawValue: $0) }),
      let disk = json["disk"]?.string.flatMap({ Disk(rawValue: $0) }), let memory = json["memory"]?.int,
      let size = json["disk_gib"]?.int, let nics = json["nics"]?.int
    else { return nil }
    self.init(
      index: index, firmware: firmware, controller: controller, disk: disk, memory: memory, diskGibibytes: size, nics: nics)
  }
}
