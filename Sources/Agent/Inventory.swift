import Glibc
import Wire

/// What the machine is made of (docs/agent-protocol.md, "Claim").
struct Inventory {
  let machine: Machine

  /// - Parameter neighbors: what LLDP has told so far, by interface index.
  func json(neighbors: [Int32: LLDPNeighbor] = [:]) -> JSON {
    let dmi = machine.sys + "/class/dmi/id/"
    let system: JSON = [
      "vendor": JSON(Machine.text(of: dmi + "sys_vendor")),
      "product": JSON(Machine.text(of: dmi + "product_name")),
      "serial": JSON(Machine.text(of: dmi + "product_serial")),
      "uuid": JSON(Machine.text(of: dmi + "product_uuid")?.lowercased()),
    ]
    let (count, model) = processors()
    let controller = ManagementController.address(of: machine)
    return [
      "cpus": .int(count), "cpu_arch": .string(architecture()), "cpu_model": .string(model),
      "memory_mb": .int(memoryMebibytes()),
      "boot_mode": Machine.exists(machine.sys + "/firmware/efi") ? "uefi" : "bios",
      "bmc_address": JSON(controller?.v4), "bmc_v6address": JSON(controller?.v6), "bmc_mac": JSON(controller?.mac),
      "system": system,
      "disks": .array(Disk.all(on: machine).map(\.json)),
      "interfaces": .array(interfaces().map { json($0, neighbors) }),
    ]
  }

  private func processors() -> (count: Int, model: String) {
    let text = String(decoding: Machine.bytes(of: machine.proc + "/cpuinfo", limit: 1 << 20) ?? [], as: UTF8.self)
    var count = 0
    var model = ""
    for line in text.split(separator: "\n") {
      if line.hasPrefix("processor") { count += 1 }
      if model.isEmpty, line.hasPrefix("model name"), let colon = line.firstIndex(of: ":") {
        model = trimmed(printable(String(line[line.index(after: colon)...]), limit: 255))
      }
    }
    return (max(count, 1), model)
  }

  private func architecture() -> String {
    var name = utsname()
    guard uname(&name) == 0 else { return "" }
    return withUnsafePointer(to: &name.machine) { tuple in
      tuple.withMemoryRebound(to: CChar.self, capacity: 65) { String(cString: $0) }
    }
  }

  /// What is plugged in, by the firmware's own account; what Linux was left with when that is not to be had.
  private func memoryMebibytes() -> Int {
    let table = Machine.bytes(of: machine.sys + "/firmware/dmi/tables/DMI", limit: 1 << 20) ?? []
    let installed = Self.installedMemory(table)
    if installed > 0 { return installed }
    let text = String(decoding: Machine.bytes(of: machine.proc + "/meminfo") ?? [], as: UTF8.self)
    for line in text.split(separator: "\n") where line.hasPrefix("MemTotal:") {
      let words = line.split(separator: " ")
      if words.count >= 2, let kibibytes = Int(words[1]) { return kibibytes / 1024 }
    }
    return 0
  }

  /// The sum of all memory devices in MiB. Source: DMTF DSP0134 3.6, section 7.18 (type 17).
  static func installedMemory(_ table: [UInt8]) -> Int {
    var at = 0
    var total = 0
    while at + 4 <= table.count {
      let length = Int(table[at + 1])
      guard length >= 4, at + length <= table.count else { break }
      if table[at] == 17, length >= 0x0e {
        let size = Int(table[at + 0x0c]) | Int(table[at + 0x0d]) << 8
        if size == 0x7fff, length >= 0x20 {
          total += Int(table.little32(at + 0x1c) & 0x7fff_ffff)
        } else if size != 0xffff, size != 0x7fff {
          total += size & 0x8000 != 0 ? (size & 0x7fff) / 1024 : size
        }
      }
      // The structure's strings follow, and two zero bytes end them.
      at += length
      while at + 1 < table.count, table[at] != 0 || table[at + 1] != 0 { at += 1 }
      at += 2
    }
    return total
  }

  struct Interface { var name: String, mac: String, index: Int32, speed: Int?, hasLink: Bool }

  /// Real Ethernet ports: what has a device behind it.
  func interfaces() -> [Interface] {
    Machine.names(in: machine.sys + "/class/net").compactMap { name in
      let path = "\(machine.sys)/class/net/\(name)"
      guard Machine.exists(path + "/device"), Machine.number(of: path + "/type") == 1,
        let mac = Machine.text(of: path + "/address")?.lowercased()
      else { return nil }
      let speed = Machine.number(of: path + "/speed").flatMap { $0 > 0 ? $0 : nil }
      return Interface(
        name: name, mac: mac, index: Int32(Machine.number(of: path + "/ifindex") ?? 0), speed: speed,
        hasLink: Machine.number(of: path + "/carrier") == 1)
    }
  }

  /// The interfaces that have heard something: `[{"mac", "lldp"}]`.
  func neighbors(_ heard: [Int32: LLDPNeighbor]) -> JSON {
    .array(
      interfaces().compactMap { interface in
        heard[interface.index].map { ["mac": .string(interface.mac), "lldp": $0.json] }
      })
  }

  private func json(_ interface: Interface, _ neighbors: [Int32: LLDPNeighbor]) -> JSON {
    [
      "name": .string(interface.name), "mac": .string(interface.mac), "speed_mbps": JSON(interface.speed),
      "link": .bool(interface.hasLink), "lldp": neighbors[interface.index]?.json ?? .null,
    ]
  }
}
