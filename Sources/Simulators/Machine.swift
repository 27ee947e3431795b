/// The machine behind a simulated controller: a QEMU process of the lab, or a few variables.
///
/// The verbs are those of the machine control command (docs/lab.md).
public protocol SimulatedMachine: Sendable {
  func isOn() async throws -> Bool
  func setPower(on: Bool) async throws
  /// Asks the operating system to shut down, and returns at once; it may never do so.
  func shutDown() async throws
  func boot() async throws -> MachineBoot
  func setBoot(_ boot: MachineBoot) async throws
  func setFirmware(_ firmware: MachineFirmware) async throws
}

/// What the next power-on boots from.
public struct MachineBoot: Sendable, Equatable {
  public enum Device: String, Sendable, CaseIterable { case none, pxe, disk, cdrom }
  public var device: Device
  /// True for the next boot only.
  public var once: Bool
  public init(_ device: Device, once: Bool) {
    self.device = device
    self.once = once
  }
}

public enum MachineFirmware: String, Sendable, CaseIterable { case bios, uefi }

/// The machine did not do what it was told; the text is for a person.
public struct MachineError: Error, Sendable, CustomStringConvertible {
  public let description: String
  public init(_ description: String) { self.description = description }
}

/// A machine of a few variables, for use without QEMU.
public actor FakeMachine: SimulatedMachine {
  private var on = false
  private var override = MachineBoot(.none, once: false)
  private var firmware: MachineFirmware
  /// What each power-on booted from, oldest first.
  public private(set) var boots: [MachineBoot.Device] = []
  /// An operating system that ignores the power button.
  private var ignoresShutdown = false

  public init(firmware: MachineFirmware = .uefi) { self.firmware = firmware }

  public func isOn() -> Bool { on }
  public func setPower(on: Bool) {
    if on && !self.on {
      boots.append(override.device)
      if override.once { override = MachineBoot(.none, once: false) }
    }
    self.on = on
  }
  public func shutDown() { if !ignoresShutdown { on = false } }
  public func boot() -> MachineBoot { override }
  public func setBoot(_ boot: MachineBoot) { override = boot }
  public func setFirmware(_ firmware: MachineFirmware) { self.firmware = firmware }
  public func setIgnoresShutdown(_ flag: Bool) { ignoresShutdown = flag }
}
