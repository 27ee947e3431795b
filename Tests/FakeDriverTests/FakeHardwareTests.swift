import Domain
import DriverInterfaces
import Glibc
import Testing
import Wire

@testable import FakeDriver

@Suite struct FakeHardwareTests {
  @Test func whatIsAskedOfAMachineIsRemembered() async throws {
    let hardware = try FakeHardware(file: nil)
    let driver = try hardware.driver(node: "n1", driverInfo: [:])
    #expect(try await driver.power.observePower() == .off)
    #expect(try await driver.management.observeBootOverride() == BootOverride(.pxe, persistent: false))

    try await driver.power.ensurePower(.on, graceful: false, patience: .seconds(1))
    try await driver.management.ensureBootOverride(BootOverride(.pxe, persistent: true, mode: .uefi))

    // By another instance of the same node's driver, and not by another node's.
    let again = try hardware.driver(node: "n1", driverInfo: [:])
    #expect(try await again.power.observePower() == .on)
    #expect(try await again.management.observeBootOverride() == BootOverride(.pxe, persistent: true, mode: .uefi))
    let other = try hardware.driver(node: "n2", driverInfo: [:])
    #expect(try await other.power.observePower() == .off)
  }

  @Test func aBootDeviceForTheNextBootIsUsedUpByIt() async throws {
    let driver = try FakeHardware(file: nil).driver(node: "n1", driverInfo: [:])
    try await driver.management.ensureBootOverride(BootOverride(.cdrom, persistent: false))
    try await driver.power.ensurePower(.off, graceful: false, patience: .seconds(1))
    #expect(try await driver.management.observeBootOverride()?.device == .cdrom)
    try await driver.power.ensurePower(.on, graceful: false, patience: .seconds(1))
    #expect(try await driver.management.observeBootOverride() == BootOverride(.pxe, persistent: false))
  }

  @Test func everyInterfaceHasADefaultAndEveryStepAnImplementation() throws {
    let hardware = try FakeHardware(file: nil)
    for kind in InterfaceKind.allCases { #expect(hardware.interfaces[kind]?.isEmpty == false, "\(kind)") }
    for step in hardware.cleanSteps {
      #expect(hardware.interfaces[step.interface]?.contains(step.implementation) == true, "\(step.step)")
    }
    #expect(!hardware.needsAgent)
    #expect(try hardware.driver(node: "n", driverInfo: [:]).provisioning != nil)
  }

  @Test func itsFirmwareIsWhatItIsTold() async throws {
    let hardware = try FakeHardware(file: nil)
    let driver = try hardware.driver(node: "n1", driverInfo: ["fake_firmware": ["bios": "1.0"]])
    #expect(try await driver.firmware?.firmware() == [FirmwareComponent("bios", "1.0")])
    #expect(try await hardware.driver(node: "n1", driverInfo: [:]).firmware?.firmware() == [])
    for wrong in ["new", ["bios": 1], ["bios": ""], ["": "1"], ["x": .string(String(repeating: "1", count: 256))]]
      as [JSON]
    {
      #expect(hardware.problems(in: ["fake_firmware": wrong]).count == 1, "\(wrong)")
    }
  }

  // MARK: Delays and faults

  @Test func faultsSayWhatTheyWereToldTo() async throws {
    let hardware = try FakeHardware(file: nil)
    func power(_ fault: JSON) throws -> any PowerInterface {
      try hardware.driver(node: "n1", driverInfo: ["fake_power_fault": fault]).power
    }
    let refused = await #expect(throws: DriverError.self) {
      try await power("refused: wrong password").ensurePower(.on, graceful: false, patience: .seconds(1))
    }
    #expect(refused?.code == .refused && refused?.detail == "wrong password")
    #expect(try await power("").observePower() == .off)

    // The one whose answer is lost has had its effect.
    let lost = await #expect(throws: DriverError.self) {
      try await power("lost").ensurePower(.on, graceful: false, patience: .seconds(1))
    }
    #expect(lost?.isTransient == true)
    #expect(try await power("").observePower() == .on)
  }

  @Test func aFaultMayConcernAShareOfTheCalls() async throws {
    let info: JSONObject = ["fake_management_fault": "busy", "fake_management_fault_share": "0.5"]
    let management = try FakeHardware(file: nil).driver(node: "n1", driverInfo: info).management
    var failures = 0
    for _ in 0..<400 { do { _ = try await management.verify() } catch { failures += 1 } }
    #expect((100...300).contains(failures))
  }

  @Test func aDelayBeyondPatienceDoesNothing() async throws {
    let driver = try FakeHardware(file: nil).driver(node: "n1", driverInfo: ["fake_power_delay": 30])
    let error = await #expect(throws: DriverError.self) {
      try await driver.power.ensurePower(.on, graceful: false, patience: .milliseconds(20))
    }
    #expect(error?.code == .unreachable)
    #expect(try await FakeHardware(file: nil).driver(node: "n1", driverInfo: [:]).power.observePower() == .off)
  }

  @Test func longWorkTellsHowFarItIsAndComesToTheSameEachTime() async throws {
    let info: JSONObject = ["fake_deploy_delay": "10,20", "fake_clean_delay": 5]
    let provisioning = try #require(try FakeHardware(file: nil).driver(node: "n1", driverInfo: info).provisioning)

    let first = try await provisioning.advance(.deploy(image: "i"), key: "w/s", elapsed: .zero)
    guard case .going(0, let whole) = first else {
      Issue.record("\(first)")
      return
    }
    #expect((10.0...20.0).contains(whole.inSeconds))
    #expect(try await provisioning.advance(.deploy(image: "i"), key: "w/s", elapsed: .zero) == first)
    let half = try await provisioning.advance(.deploy(image: "i"), key: "w/s", elapsed: whole / 2)
    guard case .going(let percent, _) = half else {
      Issue.record("\(half)")
      return
    }
    #expect((49...50).contains(percent))
    #expect(try await provisioning.advance(.deploy(image: "i"), key: "w/s", elapsed: whole) == .done([:]))

    // Each step of a manual cleaning takes its time.
    let steps = [CleanStep(.bios, "factory_reset"), CleanStep(.raid, "delete_configuration")]
    let clean = try await provisioning.advance(.clean(steps), key: "w/c", elapsed: .seconds(4))
    #expect(clean == .going(percent: 40, remaining: .seconds(6)))
  }

  @Test func workFailsAsToldAndOnlyThat() async throws {
    let info: JSONObject = ["fake_clean_fault": "refused: disk sda: input/output error", "fake_deploy_fault_share": 0]
    let provisioning = try #require(try FakeHardware(file: nil).driver(node: "n1", driverInfo: info).provisioning)
    let error = await #expect(throws: DriverError.self) {
      _ = try await provisioning.advance(.erase(mode: "full"), key: "w/s", elapsed: .zero)
    }
    #expect(error?.detail == "disk sda: input/output error")
    #expect(try await provisioning.advance(.deploy(image: "i"), key: "w/s", elapsed: .zero) == .done([:]))
  }

  @Test func anInspectionFindsWhatWasWrittenDown() async throws {
    let hardware = try FakeHardware(file: nil)
    let properties: JSONObject = ["cpus": "8", "memory_mb": 4096, "local_gb": 10, "capabilities": "x:y"]
    let plain = try #require(try hardware.driver(node: "n1", driverInfo: [:]).provisioning)
    #expect(
      try await plain.advance(.inspect(properties: properties), key: "w/s", elapsed: .zero)
        == .done([
          "inventory": [
            "cpus": 8, "memory_mb": 4096, "disks": [["name": "/dev/sda", "size_bytes": .int(10 << 30)]],
          ]
        ]))
    let told = try #require(try hardware.driver(node: "n1", driverInfo: ["fake_inventory": ["cpus": 2]]).provisioning)
    #expect(
      try await told.advance(.inspect(properties: properties), key: "w/s", elapsed: .zero)
        == .done(["inventory": ["cpus": 2]]))
  }

  static let wrong: [(JSONObject, String)] = [
    (["fake_power_delay": -1], "fake_power_delay"), (["fake_power_delay": "fast"], "fake_power_delay"),
    (["fake_power_delay": "5,1"], "fake_power_delay"), (["fake_power_delay": 4000], "fake_power_delay"),
    (["fake_power_delay": "nan"], "fake_power_delay"), (["fake_power_delay": ["1"]], "fake_power_delay"),
    (["fake_clean_fault": "sometimes"], "fake_clean_fault"), (["fake_clean_fault": 5], "fake_clean_fault"),
    (["fake_deploy_fault_share": 1.5], "fake_deploy_fault_share"), (["fake_inventory": "x"], "fake_inventory"),
    (["fake_pwoer_delay": 1], "fake_pwoer_delay"),
  ]
  @Test(arguments: wrong) func whatCannotBeMeantIsRefusedByName(info: JSONObject, key: String) throws {
    let hardware = try FakeHardware(file: nil)
    #expect(hardware.problems(in: info).contains { $0.hasPrefix(key) })
    #expect(throws: DriverError.self) { try hardware.driver(node: "n1", driverInfo: info) }
    #expect(throws: DriverError.self) { try FakeHardware(defaults: info, file: nil) }
    // Other drivers' keys may stay where they are.
    #expect(hardware.problems(in: ["ipmi_address": "10.0.0.1", "fake_power_delay": nil]) == [])
  }

  @Test func theSitesDefaultsHoldUntilANodeSaysOtherwise() async throws {
    let hardware = try FakeHardware(defaults: ["fake_power_fault": "unreachable"], file: nil)
    await #expect(throws: DriverError.self) {
      _ = try await hardware.driver(node: "n1", driverInfo: [:]).power.observePower()
    }
    let told = try hardware.driver(node: "n1", driverInfo: ["fake_power_fault": ""])
    #expect(try await told.power.observePower() == .off)
  }

  // MARK: Console

  @Test func theConsoleTellsWhatHappensAndEndsWithItsReader() async throws {
    let hardware = try FakeHardware(file: nil)
    let driver = try hardware.driver(node: "n1", driverInfo: [:])
    let console = try #require(driver.console)
    #expect(!console.isAlwaysRead)
    let reader = Task {
      var text = ""
      for try await bytes in console.open() {
        text += String(decoding: bytes, as: UTF8.self)
        // The machine is switched on once its reader is there.
        if text == "n1: power off\r\n" {
          try await driver.power.ensurePower(.on, graceful: false, patience: .seconds(1))
        }
        if text.hasSuffix("power on\r\n") { break }
      }
      return text
    }
    #expect(try await reader.value == "n1: power off\r\nn1: power on\r\n")

    let broken = try hardware.driver(node: "n1", driverInfo: ["fake_console_fault": "busy: one session is all I have"])
    await #expect(throws: DriverError.self) {
      for try await _ in try #require(broken.console).open() {}
    }
  }
}
