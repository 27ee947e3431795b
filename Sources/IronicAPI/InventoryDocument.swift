import Wire

/// An agent's inventory (docs/agent-protocol.md, "Claim") in the shape of Ironic's.
///
/// Source: Ironic, "Inspection data": `cpu`, `memory`, `disks`, `interfaces`, `system_vendor`, `boot`, `bmc_address`, `bmc_v6address`, `bmc_mac`.
enum InventoryDocument {
  static func shown(_ stored: JSON, hidesController: Bool) -> JSON {
    var out: JSONObject = [
      "cpu": [
        "count": stored["cpus"] ?? .null, "architecture": stored["cpu_arch"] ?? .null,
        "model_name": stored["cpu_model"] ?? .null,
      ],
      "memory": [
        "physical_mb": stored["memory_mb"] ?? .null,
        "total": stored["memory_mb"]?.int.map { .int($0 << 20) } ?? .null,
      ],
      "disks": .array((stored["disks"]?.array ?? []).map { disk($0) }),
      "interfaces": .array((stored["interfaces"]?.array ?? []).map { interface($0) }),
      "system_vendor": [
        "product_name": stored["system"]?["product"] ?? .null, "serial_number": stored["system"]?["serial"] ?? .null,
        "manufacturer": stored["system"]?["vendor"] ?? .null,
      ],
      "boot": ["current_boot_mode": stored["boot_mode"] ?? .null, "pxe_interface": .null],
      "hostname": .null,
    ]
    if !hidesController {
      for name in ["bmc_address", "bmc_v6address", "bmc_mac"] { out[name] = stored[name] ?? .null }
    }
    return .object(out)
  }
  private static func disk(_ disk: JSON) -> JSON {
    [
      "name": disk["name"] ?? .null, "model": disk["model"] ?? .null, "size": disk["size_bytes"] ?? .null,
      "rotational": disk["rotational"] ?? .null, "serial": disk["serial"] ?? .null, "vendor": disk["vendor"] ?? .null,
      "transport": disk["transport"] ?? .null,
    ]
  }
  private static func interface(_ nic: JSON) -> JSON {
    [
      "name": nic["name"] ?? .null, "mac_address": nic["mac"] ?? .null, "has_carrier": nic["link"] ?? .null,
      "speed_mbps": nic["speed_mbps"] ?? .null, "lldp": nic["lldp"] ?? .null,
    ]
  }
}
