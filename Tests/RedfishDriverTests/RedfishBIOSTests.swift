import Domain
import DriverInterfaces
import Simulators
import Testing

@testable import RedfishDriver

@Suite struct RedfishBIOSTests {
  private func values(_ bios: any BIOSInterface) async throws -> [String: String?] {
    Dictionary(uniqueKeysWithValues: try await bios.biosSettings(isDetailed: false).map { ($0.name, $0.value) })
  }
  private func boot(_ driver: NodeDriver) async throws {
    try await driver.power.ensurePower(.off, graceful: false, patience: .seconds(10))
    try await driver.power.ensurePower(.on, graceful: false, patience: .seconds(10))
  }

  @Test func settingsAreListedWithWhatTheyMayBe() async throws {
    try await withController { controller in
      let bios = try #require(try controller.driver().bios)
      let plain = try await bios.biosSettings(isDetailed: false)
      #expect(
        plain.map(\.name) == ["AdminPassword", "BootMode", "NumLock", "PostDelay", "ProcTurboMode", "QuietBoot"])
      #expect(plain.map(\.value) == [nil, "Uefi", "On", "5", "Enabled", "True"])
      #expect(plain.allSatisfy { $0.details == BIOSSetting.Details() })
      #expect(controller.requests("GET").allSatisfy { !($0["path"]?.string ?? "").contains("Registries") })

      let detailed = try await bios.biosSettings(isDetailed: true)
      #expect(detailed.map(\.name) == plain.map(\.name))
      let delay = try #require(detailed.first { $0.name == "PostDelay" }?.details)
      #expect(delay.type == "Integer" && delay.lowerBound == 0 && delay.upperBound == 60 && delay.isReadOnly == false)
      #expect(detailed.first { $0.name == "BootMode" }?.details.allowed == ["Uefi", "Legacy"])
      #expect(detailed.first?.details.maxLength == 32)
    }
  }

  @Test func settingsHoldFromTheNextBootOn() async throws {
    try await withController { controller in
      let driver = try controller.driver()
      let bios = try #require(driver.bios)
      let wanted = [BIOSSetting.Choice("PostDelay", "9"), BIOSSetting.Choice("QuietBoot", "false")]
      try await bios.applyBIOSSettings(wanted)
      #expect(try await values(bios)["PostDelay"] == "5")
      // Asked for already.
      try await bios.applyBIOSSettings(wanted)
      #expect(controller.requests("PATCH").count == 1)

      try await boot(driver)
      var now = try await values(bios)
      #expect(now["PostDelay"] == "9" && now["QuietBoot"] == "False" && now["NumLock"] == "On")

      try await bios.resetBIOSSettings()
      try await boot(driver)
      now = try await values(bios)
      #expect(now["PostDelay"] == "5" && now["QuietBoot"] == "True")
    }
  }

  @Test func aWishThatIsTakenBackDoesNotStay() async throws {
    try await withController { controller in
      let driver = try controller.driver()
      let bios = try #require(driver.bios)
      try await bios.applyBIOSSettings([BIOSSetting.Choice("NumLock", "Off")])
      try await bios.applyBIOSSettings([BIOSSetting.Choice("NumLock", "On")])
      try await boot(driver)
      #expect(try await values(bios)["NumLock"] == "On")
    }
  }

  @Test func whatTheBIOSDoesNotHaveIsRefusedWhole() async throws {
    try await withController { controller in
      let bios = try #require(try controller.driver().bios)
      for choice in [
        BIOSSetting.Choice("Overclock", "On"), BIOSSetting.Choice("PostDelay", "soon"),
        BIOSSetting.Choice("QuietBoot", "perhaps"),
      ] {
        let error = await driverError {
          try await bios.applyBIOSSettings([BIOSSetting.Choice("NumLock", "Off"), choice])
        }
        #expect(error.code == .refused && error.detail.contains(choice.name))
      }
      #expect(controller.requests("PATCH").isEmpty)
    }
  }

  @Test func theFirmwareOfTheSystemAndOfTheControllerIsListed() async throws {
    try await withController { controller in
      let firmware = try #require(try controller.driver().firmware)
      #expect(
        try await firmware.firmware() == [FirmwareComponent("bios", "1.0"), FirmwareComponent("bmc", "1.0.0")])
    }
  }
}
