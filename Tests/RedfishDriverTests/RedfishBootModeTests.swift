import Domain
import DriverInterfaces
import Simulators
import Testing
import Wire

@testable import RedfishDriver

@Suite struct RedfishBootModeTests {
  @Test func theModeAndSecureBootAreSetOnceAndReadBack() async throws {
    try await withController { controller in
      let boot = try #require(try controller.driver().bootMode)
      #expect(try await boot.observeSecureBoot() == false)
      try await boot.ensureBootMode(.bios)
      #expect(try await boot.observeBootMode() == .bios)
      let refused = await driverError { try await boot.ensureSecureBoot(true) }
      #expect(refused.code == .refused && refused.detail.contains("legacy"))

      try await boot.ensureBootMode(.uefi)
      try await boot.ensureSecureBoot(true)
      #expect(try await boot.observeBootMode() == .uefi)
      #expect(try await boot.observeSecureBoot() == true)
      let count = controller.requests("PATCH").count
      try await boot.ensureBootMode(.uefi)
      try await boot.ensureSecureBoot(true)
      #expect(controller.requests("PATCH").count == count, "what is so already is not asked for again")
    }
  }

  @Test func theBootDeviceStaysWhenTheModeChanges() async throws {
    try await withController { controller in
      let driver = try controller.driver()
      try await driver.management.ensureBootOverride(BootOverride(.pxe, persistent: true))
      try await driver.bootMode?.ensureBootMode(.bios)
      #expect(try await driver.management.observeBootOverride() == BootOverride(.pxe, persistent: true, mode: .bios))
    }
  }

  @Test func aMachineWithoutThemSaysSo() async throws {
    try await withController { controller in
      await controller.fault {
        $0.noSecureBoot = true
        $0.oneBootMode = true
      }
      let boot = try #require(try controller.driver().bootMode)
      #expect(try await boot.observeSecureBoot() == nil)
      let secure = await driverError { try await boot.ensureSecureBoot(false) }
      #expect(secure.code == .unsupported && secure.detail.contains("Secure Boot"))
      let mode = await driverError { try await boot.ensureBootMode(.bios) }
      #expect(mode.code == .unsupported && mode.detail.contains("UEFI, not Legacy"))
      #expect(controller.requests("PATCH").isEmpty)
    }
  }

  @Test(arguments: ["settle", "tasks", "etag", "drop"]) func badMannersAreBorne(_ fault: String) async throws {
    try await withController { controller in
      await controller.fault {
        switch fault {
        case "settle": $0.settleSeconds = 0.3
        case "tasks": ($0.tasks, $0.settleSeconds) = (true, 0.2)
        case "etag": $0.requireETag = true
        default: $0.dropAfterObeying = 1
        }
      }
      let boot = try #require(try controller.driver().bootMode)
      try await boot.ensureSecureBoot(true)
      #expect(try await boot.observeSecureBoot() == true)
      if fault == "drop" { await controller.fault { $0.dropAfterObeying = 1 } }
      try await boot.ensureSecureBoot(false)
      try await boot.ensureBootMode(.bios)
      #expect(try await boot.observeBootMode() == .bios)
      #expect(controller.effects("boot").count == 1)
    }
  }
}
