import Domain
import DriverInterfaces
import Simulators
import Synchronization
import Testing
import Wire

@testable import SwitchDrivers

/// A change of EOS that is on trial: what the switch does when nobody confirms it.
@Suite struct AristaTrialTests {
  @Test func aTrialThatNobodyConfirmedIsTakenBack() async throws {
    let kept = Mutex<SimulatedSwitch?>(nil)
    let ports = (1...5).map { "Ethernet\($0)" }
    try await ContractBench.withHTTPS(
      "arista-eapi", ports,
      api: { device in
        kept.withLock { $0 = device }
        return SimulatedEAPI(device)
      }
    ) { bench in
      let eos = try #require(kept.withLock { $0 })
      let device = try bench.device()
      try await device.apply([ports[0]: PortConfiguration(native: 101)], label: nil)
      #expect(await eos.trials.isEmpty)

      // The connection breaks between the change and its confirmation: the driver ends the trial at once over another one.
      try await bench.fault { $0.dropsAfterObeying = 1 }
      let dropped = await driverError("dropped") { try await device.apply([ports[0]: .quarantine], label: nil) }
      #expect(dropped.code == .unreachable)
      #expect(await eos.trials.isEmpty)
      #expect(try await device.readPort(ports[0]) == PortConfiguration(native: 101))

      // Where a server was killed before that, its trial is ended by the next visit, and no timer undoes what comes then.
      let commands: JSON = [
        "enable", "configure session steelyard-0", .string("interface \(ports[0])"), "switchport access vlan 7",
        "commit timer 00:02:00",
      ]
      _ = await SimulatedEAPI(eos).answer(
        "POST", "/command-api",
        ["jsonrpc": "2.0", "method": "runCmds", "id": 1, "params": ["version": 1, "format": "json", "cmds": commands]])
      #expect(await eos.trials.count == 1)
      try await device.apply([ports[0]: .quarantine], label: nil)
      #expect(await eos.trials.isEmpty)
      await eos.expireTimers()
      #expect(try await device.readPort(ports[0]) == .quarantine)

      // What was not in force is taken back at once, and not when the timer runs out.
      try await bench.fault { $0.lies = true }
      let lie = await driverError("a lie") {
        try await device.apply([ports[1]: PortConfiguration(native: 7)], label: nil)
      }
      #expect(lie.code == .notInForce)
      #expect(await eos.trials.isEmpty)
    }
  }
}
