/// Power of a node, in the words of the Bare Metal API.
public enum Power: String, Sendable, CaseIterable {
  case on = "power on"
  case off = "power off"
}

/// Where a node boots from next. Source: Ironic API reference v1, "Set Boot Device".
public enum BootDevice: String, Sendable, CaseIterable { case pxe, disk, cdrom, bios, safe }

/// Firmware interface of a node. Source: Ironic, "Boot mode support".
public enum BootMode: String, Sendable, CaseIterable { case bios, uefi }

/// A boot device and whether it holds for every boot or only the next one.
public struct BootOverride: Sendable, Equatable {
  public var device: BootDevice
  public var persistent: Bool
  /// Nil leaves the mode as it is.
  public var mode: BootMode?
  public init(_ device: BootDevice, persistent: Bool, mode: BootMode? = nil) {
    self.device = device
    self.persistent = persistent
    self.mode = mode
  }
}

/// A hardware address in its one spelling: lower case, colons.
public struct MACAddress: Sendable, Hashable, CustomStringConvertible {
  public let description: String
  /// Reads "52:54:00:AA:bb:01", also with dashes; nil for anything else.
  public init?(_ text: String) {
    let parts = text.split(whereSeparator: { $0 == ":" || $0 == "-" })
    // A sign is no digit, although a number may have one.
    let isWritten = parts.allSatisfy { $0.utf8.count == 2 && UInt8($0, radix: 16) != nil && $0.first != "+" }
    guard parts.count == 6, text.utf8.count == 17, isWritten else { return nil }
    description = parts.map { $0.lowercased() }.joined(separator: ":")
  }
}
