import Domain
import DriverInterfaces
import Glibc
import Testing

@testable import SwitchDrivers

@Suite struct IsolationProbeTests {
  @Test(.timeLimit(.minutes(1))) func abuse35_aProbeSeesThatNothingCrossesAndWouldSeeIt() async throws {
    try await VirtualSwitch.with(taps: ["n1"]) { home, _ in
      let driver = try home.driver(), queue = SwitchQueue(driver)
      try await driver.apply(["n1": PortConfiguration(native: 205)], label: "w/s")
      let ports = try await home.vsctl(["list-ports", home.bridge])
      let probe = try await queue.probeIsolation(between: 205, and: 206)
      #expect(probe.isIsolated && probe.crossed == 0, "\(probe)")
      for kind in ["broadcast", "unicast", "ARP request", "DHCP offer", "router advertisement", "spoofed ARP"] {
        let line = probe.lines.first { $0.kind == kind }
        #expect(line.map { $0.sent > 0 && $0.arrived > 0 } == true, "\(kind): \(String(describing: line))")
      }
      #expect(probe.lines.first { $0.kind == "LLDP" }?.arrived == 0)
      // It leaves nothing, and machines' ports are as they were.
      #expect(try await home.vsctl(["list-ports", home.bridge]) == ports)
      #expect(try await driver.listPorts() == ["n1": PortConfiguration(native: 205)])
      #expect(try await driver.labels() == ["n1": "w/s"])

      // Were there a way from the one to the other, it would be seen: a rule of somebody who knows better.
      try await home.joinNetworks(205, 206)
      let leak = try await queue.probeIsolation(between: 205, and: 206)
      #expect(!leak.isIsolated && leak.lines.first { $0.kind == "broadcast" }?.crossed ?? 0 > 0, "\(leak)")
    }
  }

  @Test func aProbeThatCannotBeMadeSaysWhy() async throws {
    try await VirtualSwitch.with { home, _ in
      for (first, second) in [(0, 5), (5, 5), (5, 4095)] {
        let error = await #expect(throws: DriverError.self) {
          _ = try await home.driver().probeIsolation(between: first, and: second)
        }
        #expect(error?.code == .refused)
      }
      let error = await #expect(throws: DriverError.self) {
        _ = try await home.driver(hasControl: false).probeIsolation(between: 5, and: 6)
      }
      #expect(error?.code == .unsupported && error?.detail.contains("`control`") == true)
    }
  }
}
