import Domain
import DriverInterfaces
import Simulators
import Testing

@testable import RedfishDriver

@Suite struct RedfishIndicatorTests {
  private let system = Indicator.Name(.system, "1"), chassis = Indicator.Name(.chassis, "1")

  @Test func theSystemsAndTheChassisLampsAreListedAndSet() async throws {
    try await withController { controller in
      let lamps = try #require(try controller.driver().indicators)
      #expect(
        try await lamps.indicators() == [
          Indicator(system, states: [.blinking, .off, .on]), Indicator(chassis, states: [.off, .on]),
        ])
      #expect(try await lamps.observeIndicator(system) == .off)
      try await lamps.ensureIndicator(system, .blinking)
      #expect(try await lamps.observeIndicator(system) == .blinking)
      try await lamps.ensureIndicator(chassis, .on)
      #expect(try await lamps.observeIndicator(chassis) == .on)
      #expect(controller.effects("indicator") == ["Blinking"])

      // What is so already is not asked for again.
      let count = controller.requests("PATCH").count
      try await lamps.ensureIndicator(chassis, .on)
      #expect(controller.requests("PATCH").count == count)
    }
  }

  @Test func whatIsNotThereIsRefused() async throws {
    try await withController { controller in
      let lamps = try #require(try controller.driver().indicators)
      let missing = await driverError { _ = try await lamps.observeIndicator(Indicator.Name(.disk, "1")) }
      #expect(missing.code == .unsupported && missing.detail.contains("1@disk"))
      let steady = await driverError { try await lamps.ensureIndicator(chassis, .blinking) }
      #expect(steady.code == .unsupported && steady.detail.contains("BLINKING"))
      #expect(controller.requests("PATCH").isEmpty)
    }
  }

  @Test func changesThatTakeTimeAreWaitedFor() async throws {
    try await withController { controller in
      await controller.fault { $0.requireETag = true }
      let lamps = try #require(try controller.driver().indicators)
      try await lamps.ensureIndicator(system, .on)
      #expect(try await lamps.observeIndicator(system) == .on)
      await controller.fault { $0.settleSeconds = 0.3 }
      try await lamps.ensureIndicator(system, .off)
      #expect(try await lamps.observeIndicator(system) == .off)
      await controller.fault { $0.dropAfterObeying = 1 }
      try await lamps.ensureIndicator(system, .on)
      #expect(controller.effects("indicator") == ["Lit", "Off", "Lit"], "it obeyed once though its answer was lost")
    }
  }

  @Test func anInterruptReachesTheMachineOnce() async throws {
    try await withController { controller in
      let driver = try controller.driver()
      let interrupt = try #require(driver.interrupt)
      let refused = await driverError { try await interrupt.sendInterrupt() }
      #expect(refused.code == .busy && refused.detail.contains("off"))
      try await driver.power.ensurePower(.on, graceful: false, patience: .seconds(10))
      try await interrupt.sendInterrupt()
      #expect(controller.effects("reset").filter { $0 == "Nmi" }.count == 1)
    }
  }

  @Test func itHasNoConsoleAndSaysSo() async throws {
    let hardware = RedfishHardware()
    #expect(hardware.interfaces[.console] == ["no-console"])
    #expect(hardware.interfaces[.power] == ["redfish"])
    await hardware.shutdown()
  }
}
