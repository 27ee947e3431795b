import Domain
import DriverInterfaces
import Glibc
import Processes
import Store
import SwitchDrivers
import TestSupport
import Testing
import Wire

/// A machine that is recorded on a switch port that does not exist: what is said, and the way out.
@Suite struct UnknownPortTests {
  private func with(
    _ wiring: JSONObject, _ body: (VirtualSwitch, _ folder: String, SiteParts) async throws -> Void
  ) async throws {
    try await VirtualSwitch.with { home, _ in
      try await home.addPorts(["n1", "n2"], type: "dummy")
      let folder = try makeTemporaryFolder("wiring")
      let switches = try Switches(
        [SwitchConfiguration(name: "sw0", endpoint: "unix:\(home.databaseSocket)", bridge: home.bridge)],
        logger: .init(label: "test"))
      var parts = SiteParts()
      parts.switches = { BesideTheWorld(real: switches, world: $0) }
      parts.port = { port in for member in wiring { port.localLinkConnection[member.key] = member.value } }
      try await body(home, folder, parts)
      _ = try await run("rm", ["-rf", folder])
    }
  }
  /// `openstack baremetal port set --local-link-connection …`
  private func rewire(_ site: CrashSite) async throws {
    try await site.database.write { session in
      guard var port = try PortStore.byAddress(CrashSite.mac, in: session) else { return }
      if let place = port.switchPort { try SwitchPortStore.forget(place, in: session) }
      port.localLinkConnection["switch_info"] = "sw0"
      port.localLinkConnection["port_id"] = "n1"
      try PortStore.update(port, in: session)
    }
  }

  @Test(arguments: [
    (["port_id": "Eth1/9"] as JSONObject, "switch sw0 port Eth1/9: bridge br0 has no such port; it has n1, n2"),
    (["switch_info": "sw9"] as JSONObject, "no switch of this name is configured; there are: sw0"),
  ])
  func aDeploymentSaysSoAndGoesOnOnceThePortIsRecordedRight(wiring: JSONObject, says: String) async throws {
    try await with(wiring) { home, folder, parts in
      let first = try CrashSite(folder: folder, options: [:], parts: parts)
      let failed = try await first.play(.deploy)
      #expect(failed["state"] == "deploy failed")
      #expect(failed["last_error"]?.string?.contains(says) == true, "\(failed["last_error"] ?? .null)")
      // A lessee is not shown the ports of others.
      #expect(
        failed["public_error"]?.string?.hasPrefix("The switch that the machine is connected to is not set up") == true)
      #expect(failed["reservation"] == .null)
      #expect(failed["leftovers"] == [])
      #expect(failed["world"]?["dhcp/n1"] == nil)
      #expect(failed["vif"]?.string?.hasPrefix("DOWN") == true)
      #expect(try await home.driver().labels() == [:])
      try await rewire(first)
      first.database.close()

      let second = try CrashSite(folder: folder, options: [:], parts: parts)
      let mended = try await second.ask(.active)
      #expect(mended["state"] == "active", "\(mended["last_error"] ?? .null)")
      #expect(mended["last_error"] == .null)
      #expect(mended["vif"]?.string?.hasPrefix("ACTIVE") == true)
      #expect(try await home.driver().readPort("n1") == PortConfiguration(native: 205))
      second.database.close()
    }
  }

  @Test func anAttachmentSaysSoAndTheNetworkPortIsFreeAgain() async throws {
    try await with(["port_id": "Eth1/9"]) { home, folder, parts in
      let first = try CrashSite(folder: folder, options: [:], parts: parts)
      let failed = try await first.play(.attach)
      // The machine goes on as it was; what could not be attached is not shown as attached.
      #expect(failed["state"] == "active")
      #expect(failed["last_error"]?.string?.contains("bridge br0 has no such port; it has n1, n2") == true)
      #expect(failed["workflows"] == ["attach-network undone"])
      #expect(failed["vif"] == "DOWN ")
      #expect(failed["reservation"] == .null)
      #expect(failed["leftovers"] == [])
      try await rewire(first)
      first.database.close()

      let second = try CrashSite(folder: folder, options: [:], parts: parts)
      let conductor = second.conductor
      try await second.database.write { session in
        guard var node = try NodeStore.get(CrashSite.node, in: session) else { return }
        try conductor.attachVIF(networkPortID: CrashSite.vif, node: &node, by: .system, in: session)
      }
      let mended = try await second.play(nil)
      #expect(mended["last_error"] == .null)
      #expect(mended["vif"]?.string?.hasPrefix("ACTIVE") == true)
      #expect(try await home.driver().readPort("n1") == PortConfiguration(native: 205))
      second.database.close()
    }
  }
}
