import Domain
import DriverInterfaces
import Wire

struct FakeController: PowerInterface, ManagementInterface {
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
    try await conduct.call(.management) { machines.machine(node).boot }
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
}
