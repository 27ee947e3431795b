import Domain
import DriverInterfaces
import RedfishDriver
import Simulators
import Testing
import Wire

@Suite struct RedfishPowerTests {
  @Test func powerIsSetOnceAndAMachineThatIsThereIsLeftAlone() async throws {
    try await withController { bmc in
      let power = try bmc.driver().power
      #expect(try await power.observePower() == .off)

      for _ in 0..<2 { try await power.ensurePower(.on, graceful: false, patience: .seconds(10)) }
      #expect(try await power.observePower() == .on)
      for _ in 0..<2 { try await power.ensurePower(.off, graceful: false, patience: .seconds(10)) }

      #expect(try await power.observePower() == .off)
      #expect(bmc.effects("reset") == ["On", "ForceOff"])
    }
  }

  @Test func aGracefulShutdownThatIsObeyedIsNotForced() async throws {
    try await withController { bmc in
      let power = try bmc.driver().power
      try await power.ensurePower(.on, graceful: false, patience: .seconds(10))

      try await power.ensurePower(.off, graceful: true, patience: .seconds(10))

      #expect(bmc.effects("reset") == ["On", "GracefulShutdown"])
    }
  }

  @Test func aGracefulShutdownThatIsIgnoredIsForcedAfterHalfThePatience() async throws {
    try await withController { bmc in
      let power = try bmc.driver().power
      try await power.ensurePower(.on, graceful: false, patience: .seconds(10))
      await bmc.fault { $0.ignoreShutdown = true }

      let time = try await ContinuousClock().measure {
        try await power.ensurePower(.off, graceful: true, patience: .seconds(3))
      }

      #expect(bmc.effects("reset") == ["On", "GracefulShutdown", "ForceOff"])
      #expect(time >= .milliseconds(1400) && time < .seconds(3))
    }
  }

  @Test func aControllerThatObeysAndDropsTheConnectionIsAskedOnce() async throws {
    try await withController { bmc in
      let power = try bmc.driver().power
      await bmc.fault { $0.dropAfterObeying = 1 }
      try await power.ensurePower(.on, graceful: false, patience: .seconds(10))
      await bmc.fault { $0.dropAfterObeying = 1 }
      try await power.ensurePower(.off, graceful: true, patience: .seconds(10))

      #expect(try await power.observePower() == .off)
      #expect(bmc.effects("reset") == ["On", "GracefulShutdown"])
    }
  }

  @Test func aControllerThatLiesIsFoundOut() async throws {
    try await withController { bmc in
      let power = try bmc.driver().power
      await bmc.fault { $0.lie = true }

      let error = await driverError { try await power.ensurePower(.on, graceful: false, patience: .seconds(1)) }

      #expect(error.code == .notInForce)
      #expect(error.detail.contains("still reports Off"))
      #expect(bmc.log.entries("lie").count == 1)
    }
  }

  @Test func aSlowControllerIsWaitedFor() async throws {
    try await withController { bmc in
      let power = try bmc.driver().power
      await bmc.fault { $0.settleSeconds = 0.7 }
      try await power.ensurePower(.on, graceful: false, patience: .seconds(10))
      #expect(try await power.observePower() == .on)

      await bmc.fault {
        $0.tasks = true
        $0.settleSeconds = 0.5
      }
      try await power.ensurePower(.off, graceful: false, patience: .seconds(10))
      #expect(try await power.observePower() == .off)
      #expect(bmc.effects("reset") == ["On", "ForceOff"])
    }
  }

  @Test func aBusyControllerIsAskedAgainWhileThereIsTime() async throws {
    try await withController { bmc in
      let power = try bmc.driver().power
      #expect(try await power.observePower() == .off)
      await bmc.fault { $0.unavailable = 1 }
      let error = await driverError { _ = try await power.observePower() }
      #expect(error.code == .busy && error.isTransient)

      await bmc.fault { $0.unavailable = 0 }
      try await power.ensurePower(.on, graceful: false, patience: .seconds(10))
      #expect(bmc.effects("reset") == ["On"])
    }
  }

  @Test func aMachineThatLosesPowerIsSeenOff() async throws {
    try await withController { bmc in
      let power = try bmc.driver().power
      try await power.ensurePower(.on, graceful: false, patience: .seconds(10))
      try await bmc.bmc.losePower()
      #expect(try await power.observePower() == .off)
    }
  }

  @Test func thePowerButtonIsPressedOnceAndNothingIsForced() async throws {
    try await withController { bmc in
      let driver = try bmc.driver()
      let button = try #require(driver.powerButton)
      let refused = await driverError { try await button.pressPowerButton() }
      #expect(!refused.isTransient || refused.code == .busy, "the machine is off")
      try await driver.power.ensurePower(.on, graceful: false, patience: .seconds(10))
      await bmc.fault { $0.ignoreShutdown = true }
      try await button.pressPowerButton()
      #expect(try await driver.power.observePower() == .on, "what runs has its own mind")

      // It obeys and its answer is lost: whoever asked knows that it may have.
      await bmc.fault { $0.dropAfterObeying = 1 }
      let lost = await driverError { try await button.pressPowerButton() }
      #expect(lost.code == .unreachable)
      #expect(bmc.effects("reset") == ["On", "GracefulShutdown", "GracefulShutdown"])
    }
  }
}
