import APISupport
import Wire

/// Reads what an agent says about its machine.
///
/// The ramdisk is ours, the hardware, its firmware and whoever speaks LLDP on its cables are not: only known members are kept, counted
/// and cut, and text is made printable before it is stored or shown.
enum AgentInventory {
  static let itemLimit = 256
  static let textLimit = 255

  /// - Throws: 400 when there are more disks or NICs than a machine has.
  static func checked(_ json: JSON) throws -> JSON {
    guard json.object != nil else { throw APIError.badRequest("The inventory must be an object.") }
    let disks = json["disks"]?.array ?? []
    let interfaces = json["interfaces"]?.array ?? []
    guard disks.count <= itemLimit, interfaces.count <= itemLimit else {
      throw APIError.badRequest("The inventory has more than \(itemLimit) disks or interfaces.")
    }
    return [
      "cpus": number(json["cpus"]), "cpu_arch": text(json["cpu_arch"]), "cpu_model": text(json["cpu_model"]),
      "memory_mb": number(json["memory_mb"]),
      "boot_mode": json["boot_mode"]?.string == "uefi" ? "uefi" : json["boot_mode"]?.string == "bios" ? "bios" : nil,
      "system": members(json["system"], ["vendor", "product", "serial", "uuid"]),
      "bmc_address": text(json["bmc_address"]), "bmc_v6address": text(json["bmc_v6address"]),
      "bmc_mac": text(json["bmc_mac"]),
      "disks": .array(
        disks.map { disk in
          [
            "name": text(disk["name"]), "size_bytes": number(disk["size_bytes"]), "model": text(disk["model"]),
            "serial": text(disk["serial"]), "rotational": flag(disk["rotational"]),
            "transport": text(disk["transport"]),
          ]
        }),
      "interfaces": .array(
        interfaces.map { nic in
          [
            "name": text(nic["name"]), "mac": text(nic["mac"]), "speed_mbps": number(nic["speed_mbps"]),
            "link": flag(nic["link"]),
            "lldp": neighbor(nic["lldp"]),
          ]
        }),
    ]
  }

  /// What NICs heard by LLDP while the agent did something else.
  /// - Throws: 400 when there are more than a machine has.
  static func checkedNeighbors(_ json: JSON) throws -> JSON {
    let items = json.array ?? []
    guard items.count <= itemLimit else {
      throw APIError.badRequest("The result has more than \(itemLimit) neighbors.")
    }
    return .array(items.map { ["mac": text($0["mac"]), "lldp": neighbor($0["lldp"])] })
  }
  private static func neighbor(_ json: JSON?) -> JSON {
    json?.object == nil ? .null : members(json, ["chassis_id", "port_id", "port_description", "system_name"])
  }

  private static func text(_ json: JSON?) -> JSON { JSON(json?.string.map { printable($0, limit: textLimit) }) }
  private static func number(_ json: JSON?) -> JSON { json?.int.map { .int($0) } ?? .null }
  private static func flag(_ json: JSON?) -> JSON { json?.bool.map { .bool($0) } ?? .null }
  private static func members(_ json: JSON?, _ names: [String]) -> JSON {
    var out = JSONObject()
    for name in names { out[name] = text(json?[name]) }
    return .object(out)
  }

  /// The text without control characters, cut to `limit` bytes.
  static func printable(_ text: String, limit: Int) -> String {
    var out = String.UnicodeScalarView()
    var count = 0
    for scalar in text.unicodeScalars {
      let isControl =
        scalar.value < 32 || (0x7f...0x9f).contains(scalar.value) || scalar == "\u{2028}" || scalar == "\u{2029}"
      count += UTF8.width(scalar)
      if count > limit { break }
      out.append(isControl ? " " : scalar)
    }
    return String(out)
  }
}
