import Domain

/// Reads what `ipmitool` prints. Every value comes from a device: it is made printable here, and is never trusted.
enum IPMIReply {
  /// "Name : value" lines; the first of a name counts, empty and unspecified values are left out.
  static func values(_ text: String) -> [String: String] {
    var result: [String: String] = [:]
    for line in text.split(whereSeparator: \.isNewline) {
      guard let colon = line.firstRange(of: " :") else { continue }
      let name = printable(line[..<colon.lowerBound])
      let value = printable(line[colon.upperBound...])
      if name.isEmpty || value.isEmpty || value == "Unspecified" || result[name] != nil { continue }
      result[name] = value
    }
    return result
  }

  /// Boot parameter 5.
  struct BootFlags: Equatable {
    /// Nil when the controller says that its flags are not valid, or that there is no override.
    var override: BootOverride?
    var isEFI: Bool
  }

  /// Reads `chassis bootparam get 5`; nil when it is none.
  static func bootFlags(_ text: String) -> BootFlags? {
    guard text.contains("Boot Flags :"), let selector = values(text)["- Boot Device Selector"] else { return nil }
    let isEFI = text.contains("BIOS EFI boot")
    let device: BootDevice? =
      switch selector {
      case "Force PXE": .pxe
      case "Force Boot from default Hard-Drive": .disk
      case "Force Boot from default Hard-Drive, request Safe-Mode": .safe
      case "Force Boot from CD/DVD": .cdrom
      case "Force Boot into BIOS Setup": .bios
      default: nil
      }
    guard let device, !text.contains("Boot Flag Invalid") else { return BootFlags(override: nil, isEFI: isEFI) }
    let isPersistent = text.contains("Options apply to all future boots")
    return BootFlags(
      override: BootOverride(device, persistent: isPersistent, mode: isEFI ? .uefi : .bios), isEFI: isEFI)
  }
}
