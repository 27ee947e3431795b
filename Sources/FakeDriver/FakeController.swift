import Domain
import DriverInterfaces
import Wire

struct FakeController: PowerInterface, ManagementInterface, IndicatorInterface, InterruptInterface {
  let node: String
  let machines: FakeMachines
  let conduct: FakeConduct

  func observePower() async throws -> Power {
    try await conduct.call(.power) { machines.machine(node).power }
  }
  func ensurePower(_ power: Power, graceful: Bool, patience: Duration) async throws {
    try await conduct.call(.power, patience: patience) {
      try await machines.change(node) { machine in
        // A boot device for the next boot only is used up by it.
        if power == .on, machine.power == .off, machine.boot?.persistent == false { machine.boot = nil }
        machine.power = power
      }
    }
  }

  func verify() async throws -> JSONObject { try await conduct.call(.management) { ["product": "fake-hardware"] } }
  func observeBootOverride() async throws -> BootOverride? {
    // As new it boots over the network, as upstream's does.
    try await conduct.call(.management) { machines.machine(node).boot ?? BootOverride(.pxe, persistent: false) }
  }
  func ensureBootOverride(_ boot: BootOverride) async throws {
    try await conduct.call(.management) {
      try await machines.change(node) { machine in
        machine.boot = BootOverride(boot.device, persistent: boot.persistent, mode: boot.mode ?? machine.boot?.mode)
      }
    }
  }
  func supportedBootDevices() async throws -> [BootDevice] { BootDevice.allCases }
  func inventory() async throws -> JSONObject { [:] }

  // MARK: Lamps and the interrupt

  private static let lamp = Indicator.Name(.system, "led"), powerLamp = Indicator.Name(.chassis, "led-0")

  /// The names are those of Ironic's fake.
  func indicators() async throws -> [Indicator] {
    [
      Indicator(Self.powerLamp, isReadOnly: true, states: [.off, .on]),
      Indicator(Self.lamp, states: [.blinking, .off, .on]),
    ]
  }
  func observeIndicator(_ name: Indicator.Name) async throws -> Indicator.State {
    let machine = try await conduct.call(.management) { machines.machine(node) }
    switch name {
    case Self.lamp: return machine.lamp
    case Self.powerLamp: return machine.power == .on ? .on : .off
    default: throw conduct.error(.unsupported, "it has no indicator \(name.unique)")
    }
  }
  func ensureIndicator(_ name: Indicator.Name, _ state: Indicator.State) async throws {
    guard name == Self.lamp else { throw conduct.error(.unsupported, "it has no indicator \(name.unique) to set") }
    try await conduct.call(.management) { try await machines.change(node) { $0.lamp = state } }
  }
  func sendInterrupt() async throws {
    try await conduct.call(.management) {
      guard machines.machine(node).power == .on else { throw conduct.error(.refused, "the machine is off") }
      machines.say("interrupted", of: node)
    }
  }
}

/// A fake has the settings that it was told, and the firmware that `driver_info` says.
extension FakeController: BIOSInterface, FirmwareInterface {
  func biosSettings(isDetailed: Bool) async throws -> [BIOSSetting] {
    let settings = try await conduct.call(.management) { machines.machine(node).bios }
    return settings.sorted { $0.key < $1.key }.map { BIOSSetting($0.key, $0.value) }
  }
  func applyBIOSSettings(_ wanted: [BIOSSetting.Choice]) async throws {
    try await machines.change(node) { machine in for choice in wanted { machine.bios[choice.name] = choice.value } }
  }
  func resetBIOSSettings() async throws { try await machines.change(node) { $0.bios = [:] } }

  func firmware() async throws -> [FirmwareComponent] {
    try await conduct.call(.management) { conduct.settings.firmware }
  }
}

/// A fake has UEFI and no Secure Boot until it is told otherwise.
extension FakeController: BootModeInterface {
  func observeBootMode() async throws -> BootMode? {
    try await conduct.call(.management) { machines.machine(node).mode }
  }
  func ensureBootMode(_ mode: BootMode) async throws {
    try await conduct.call(.management) { try await machines.change(node) { $0.mode = mode } }
  }
  func observeSecureBoot() async throws -> Bool? {
    try await conduct.call(.management) { machines.machine(node).isSecureBoot }
  }
  func ensureSecureBoot(_ isOn: Bool) async throws {
    try await conduct.call(.management) {
      guard !isOn || machines.machine(node).mode == .uefi else {
        throw conduct.error(.refused, "Secure Boot needs the boot mode uefi")
      }
      try await machines.change(node) { $0.isSecureBoot = isOn }
    }
  }
}

/// A fake is as warm as its power lets it be.
extension FakeController: SensorInterface {
  func sensors() async throws -> [Sensor] {
    let isOn = try await conduct.call(.management) { machines.machine(node).power == .on }
    func sensor(_ type: String, _ name: String, _ reading: Int, _ unit: String) -> Sensor {
      Sensor(
        type, name,
        ["identity": .string(name), "reading": .int(reading), "reading_units": .string(unit), "health": "OK"])
    }
    return [
      sensor("Temperature", "inlet", isOn ? 24 : 20, "Cel"), sensor("Fan", "fan1", isOn ? 4200 : 0, "RPM"),
      sensor("Power", "system", isOn ? 180 : 12, "W"),
    ]
  }
}
