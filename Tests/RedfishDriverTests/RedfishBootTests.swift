import Domain
import DriverInterfaces
import RedfishDriver
import Simulators
import Testing
import Wire

@Suite struct RedfishBootTests {
  @Test func theOverrideIsSetReadBackAndNotWrittenTwice() async throws {
    try await withController { bmc in
      let management = try bmc.driver().management
      #expect(try await management.observeBootOverride() == nil)

      for wanted in [
        BootOverride(.pxe, persistent: false), BootOverride(.disk, persistent: true),
        BootOverride(.cdrom, persistent: false, mode: .bios), BootOverride(.disk, persistent: true, mode: .uefi),
      ] {
        let writes = bmc.requests("PATCH").count
        for _ in 0..<2 { try await management.ensureBootOverride(wanted) }
        let shown = try await management.observeBootOverride()
        #expect(shown?.device == wanted.device && shown?.persistent == wanted.persistent)
        #expect(wanted.mode == nil || shown?.mode == wanted.mode)
        #expect(bmc.requests("PATCH").count == writes + 1)
      }
      #expect(bmc.requests("PATCH").allSatisfy { $0["if_match"]?.string != nil }, "every write names the ETag it saw")
    }
  }

  @Test func theModeIsWrittenOnlyWhenItDiffers() async throws {
    try await withController { bmc in
      let management = try bmc.driver().management
      try await management.ensureBootOverride(BootOverride(.pxe, persistent: false, mode: .uefi))
      try await management.ensureBootOverride(BootOverride(.pxe, persistent: false, mode: .bios))

      let modes = bmc.log.entries("effect").map { $0["mode"]?.string }
      #expect(modes == [nil, "bios"])
    }
  }

  @Test func aOnceOverrideIsGoneAfterTheBoot() async throws {
    try await withController { bmc in
      let driver = try bmc.driver()
      try await driver.management.ensureBootOverride(BootOverride(.pxe, persistent: false))
      try await driver.power.ensurePower(.on, graceful: false, patience: .seconds(10))

      #expect(try await driver.management.observeBootOverride() == nil)
      #expect(await (bmc.bmc.machine as? FakeMachine)?.boots == [.pxe])
    }
  }

  @Test func supportedDevicesAreThoseTheControllerAllows() async throws {
    try await withController { bmc in
      let management = try bmc.driver().management
      #expect(try await management.supportedBootDevices() == [.pxe, .disk, .cdrom])
      for device in [BootDevice.bios, .safe] {
        let error = await driverError {
          try await management.ensureBootOverride(BootOverride(device, persistent: false))
        }
        #expect(error.code == .unsupported)
      }
      #expect(bmc.requests("PATCH").isEmpty)
    }
  }

  @Test func aSlowControllerIsReadUntilItShowsTheOverride() async throws {
    try await withController { bmc in
      let management = try bmc.driver().management
      await bmc.fault { $0.settleSeconds = 0.6 }
      try await management.ensureBootOverride(BootOverride(.pxe, persistent: true))
      #expect(try await management.observeBootOverride()?.device == .pxe)
      #expect(bmc.requests("PATCH").count == 1)

      await bmc.fault {
        $0.settleSeconds = 0.3
        $0.tasks = true
      }
      try await management.ensureBootOverride(BootOverride(.disk, persistent: true))
      #expect(try await management.observeBootOverride()?.device == .disk)
    }
  }

  @Test func anAnswerThatWasLostIsReadBack() async throws {
    try await withController { bmc in
      let management = try bmc.driver().management
      await bmc.fault { $0.dropAfterObeying = 2 }
      try await management.ensureBootOverride(BootOverride(.pxe, persistent: false))
      #expect(try await management.observeBootOverride() == BootOverride(.pxe, persistent: false, mode: .uefi))
    }
  }

  @Test func aControllerThatWantsETagsGetsThem() async throws {
    try await withController { bmc in
      await bmc.fault { $0.requireETag = true }
      try await bmc.driver().management.ensureBootOverride(BootOverride(.pxe, persistent: false))
      #expect(bmc.effects("boot") == ["pxe"])
    }
  }

  @Test func aDeviceForEveryBootThatIsRefusedIsCalledUnsupported() async throws {
    try await withController { bmc in
      let management = try bmc.driver().management
      await bmc.fault { $0.noContinuous = true }
      let error = await driverError {
        try await management.ensureBootOverride(BootOverride(.disk, persistent: true))
      }
      #expect(error.code == .unsupported)
      try await management.ensureBootOverride(BootOverride(.disk, persistent: false))
    }
  }

  @Test func supermicroGetsEnabledInEveryWrite() async throws {
    try await withController { bmc in
      let management = try bmc.driver().management
      await bmc.fault { $0.manufacturer = "Supermicro" }
      try await management.ensureBootOverride(BootOverride(.pxe, persistent: true))
      try await management.ensureBootOverride(BootOverride(.disk, persistent: true))
      #expect(bmc.effects("boot") == ["pxe", "disk"])
    }
  }
}
