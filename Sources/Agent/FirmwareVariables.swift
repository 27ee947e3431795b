import CLinux
import Glibc
import Wire

/// What a tenant's system leaves in UEFI's variables: boot entries, the order of them, drivers that the firmware would load.
///
/// The firmware's own entries (network, optical and USB drives, its shell) stay in their order. Removed is what leads to a file on a
/// partition or to a URL, what asks for something at the next boot, and drivers. What is signed, Secure Boot's keys, cannot be changed from here.
/// Source: UEFI Specification 2.10, section 3.1 (boot manager) and 10.3 (device paths); Linux, Documentation/filesystems/efivarfs.
struct FirmwareVariables {
  /// "/sys/firmware/efi/efivars"
  let folder: String

  private static let global = "8be4df61-93ca-11d2-aa0d-00e098032b8c"
  /// systemd-boot's; its default entry is one of them.
  private static let loader = "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"

  struct Outcome: Equatable {
    /// Names of what is gone, with the description of boot entries: "Boot0003 debian".
    var removed: [String] = []
    /// What the firmware did not let go.
    var failed: [String] = []
    /// The order that is in force now; nil when the firmware has none.
    var order: [String]?

    var json: JSON {
      [
        "removed": .array(removed.map { .string($0) }), "failed": .array(failed.map { .string($0) }),
        "boot_order": order.map { .array($0.map { .string($0) }) } ?? .null,
      ]
    }
  }

  /// - Returns: nil when the machine was not booted by UEFI.
  func reset() -> Outcome? {
    let names = Machine.names(in: folder)
    guard !names.isEmpty else { return nil }
    var outcome = Outcome()
    var gone: Set<Int> = []
    for file in names {
      guard let name = split(file, Self.global) else {
        if let name = split(file, Self.loader) { remove(file, name, &outcome) }
        continue
      }
      if let number = number(name, "Boot") {
        guard let data = Machine.bytes(of: "\(folder)/\(file)"), let entry = BootEntry(Array(data.dropFirst(4))),
          entry.isOfASystem
        else { continue }
        if remove(file, trimmed("\(name) \(entry.description)"), &outcome) { gone.insert(number) }
      } else if number(name, "Driver") != nil || number(name, "SysPrep") != nil
        || ["DriverOrder", "SysPrepOrder", "BootNext", "OsIndications"].contains(name)
      {
        remove(file, name, &outcome)
      }
    }
    reorder(without: gone, &outcome)
    return outcome
  }

  /// The name of a variable of a vendor: "Boot0001" of "Boot0001-8be4df61-…".
  private func split(_ file: String, _ vendor: String) -> String? {
    file.hasSuffix("-" + vendor) ? String(file.dropLast(vendor.count + 1)) : nil
  }
  /// 1 of "Boot0001".
  private func number(_ name: String, _ prefix: String) -> Int? {
    guard name.hasPrefix(prefix), name.count == prefix.count + 4 else { return nil }
    return Int(name.dropFirst(prefix.count), radix: 16)
  }

  @discardableResult private func remove(_ file: String, _ shown: String, _ outcome: inout Outcome) -> Bool {
    let path = "\(folder)/\(file)"
    unlock(path)
    guard unlink(path) == 0 else {
      outcome.failed.append("\(shown): \(errorText(errno))")
      return false
    }
    outcome.removed.append(shown)
    return true
  }
  private func unlock(_ path: String) {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return }
    _ = clinux_make_mutable(descriptor)
    close(descriptor)
  }

  private func reorder(without gone: Set<Int>, _ outcome: inout Outcome) {
    let path = "\(folder)/BootOrder-\(Self.global)"
    guard let data = Machine.bytes(of: path), data.count >= 4 else { return }
    let numbers = stride(from: 4, to: data.count - 1, by: 2).map { Int(data[$0]) | Int(data[$0 + 1]) << 8 }
    let kept = numbers.filter { !gone.contains($0) }
    outcome.order = kept.map { entryName($0) }
    guard kept != numbers else { return }
    // One write with the attributes before it is what efivarfs takes for a variable.
    let bytes =
      Array(data[..<4]) + kept.flatMap { [UInt8(truncatingIfNeeded: $0), UInt8(truncatingIfNeeded: $0 >> 8)] }
    unlock(path)
    if kept.isEmpty {
      if unlink(path) != 0 { outcome.failed.append("BootOrder: \(errorText(errno))") }
      return
    }
    // A shorter variable is a new one in a plain folder; efivarfs replaces it whatever the flag.
    let descriptor = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC)
    let count = bytes.withUnsafeBytes { descriptor < 0 ? -1 : write(descriptor, $0.baseAddress, $0.count) }
    if count != bytes.count { outcome.failed.append("BootOrder: \(errorText(errno))") }
    if descriptor >= 0 { close(descriptor) }
  }
  private func entryName(_ number: Int) -> String {
    let digits = String(number, radix: 16, uppercase: true)
    return "Boot" + String(repeating: "0", count: max(0, 4 - digits.count)) + digits
  }
}

/// A load option. Source: UEFI Specification 2.10, section 3.1.3 (`EFI_LOAD_OPTION`).
struct BootEntry {
  var description: String
  /// Its device paths' nodes: type and subtype.
  var nodes: [(type: UInt8, subtype: UInt8)] = []

  /// - Returns: nil for what is no load option.
  init?(_ data: [UInt8]) {
    guard data.count >= 8 else { return nil }
    let listLength = Int(data[4]) | Int(data[5]) << 8
    var at = 6
    var units: [UInt16] = []
    while at + 1 < data.count {
      let unit = UInt16(data[at]) | UInt16(data[at + 1]) << 8
      at += 2
      if unit == 0 { break }
      units.append(unit)
    }
    description = printable(String(decoding: units, as: UTF16.self), limit: 80)
    let end = min(data.count, at + listLength)
    while at + 4 <= end {
      let length = Int(data[at + 2]) | Int(data[at + 3]) << 8
      guard length >= 4, at + length <= end else { break }
      nodes.append((data[at], data[at + 1]))
      at += length
    }
  }

  /// Leads to a file, a partition or a URL: some system's doing. The firmware's own entries name devices.
  var isOfASystem: Bool {
    nodes.contains { node in
      // Media device path: hard drive, file path; messaging device path: URI.
      switch (node.type, node.subtype) {
      case (4, 1), (4, 4), (3, 24): true
      default: false
      }
    }
  }
}
