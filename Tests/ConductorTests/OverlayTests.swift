import Domain
import DriverInterfaces
import Store
import Synchronization
import TestSupport
import Testing
import Wire

@testable import Conductor

/// Networks that are joined over sites: what the reconciler asks of the switches, and what a machine elsewhere gets.
@Suite struct OverlayTests {
  /// Two switches on two physical networks, which can be silent.
  private final class Sites: SwitchRegistry {
    final class Device: SwitchInterface {
      let name: String
      let physicalNetwork: String?
      let capabilities: SwitchCapabilities = [.vni]
      let bound = Mutex<[Int: Int]>([:])
      let isSilent = Mutex(false)
      let controlPlane: TunnelControlPlane?
      init(_ name: String, on physicalNetwork: String?, _ controlPlane: TunnelControlPlane) {
        self.controlPlane = controlPlane
        self.name = name
        self.physicalNetwork = physicalNetwork
      }
      private func answer() throws {
        if isSilent.withLock({ $0 }) {
          throw DriverError(.unreachable, device: .networkSwitch(name), detail: "no answer")
        }
      }
      func probe() async throws {}
      func listPorts() async throws -> [String: PortConfiguration] { [:] }
      func readPort(_ port: String) async throws -> PortConfiguration { .quarantine }
      func apply(_ ports: [String: PortConfiguration], label: String?) async throws {}
      func macTable() async throws -> [(port: String, vlan: Int, mac: MACAddress)] { [] }
      func watch() -> AsyncThrowingStream<Set<String>, any Error> { AsyncThrowingStream { $0.finish() } }
      func boundVNIs() async throws -> [Int: Int] {
        try answer()
        return bound.withLock { $0 }
      }
      func bindVNI(_ vni: Int, vlan: Int) async throws {
        try answer()
        bound.withLock { bound in
          bound = bound.filter { $0.value != vni }
          bound[vlan] = vni
        }
      }
      func unbindVNI(_ vni: Int) async throws {
        try answer()
        bound.withLock { bound in bound = bound.filter { $0.value != vni } }
      }
    }
    let here: Device
    let there: Device
    init(_ controlPlane: TunnelControlPlane) {
      here = Device("here", on: nil, controlPlane)
      there = Device("there", on: "elsewhere", controlPlane)
    }
    var all: [any SwitchInterface] { [here, there] }
    func switchNamed(_ name: String) throws -> any SwitchInterface { name == "here" ? here : there }
    var bound: [[Int: Int]] { [here, there].map { $0.bound.withLock { $0 } } }
  }

  private func with(
    _ controlPlane: TunnelControlPlane = .fixedPeers, _ body: (CrashSite, Sites, Network) async throws -> Void
  ) async throws {
    try await withFolder("overlays") { folder in
      let sites = Sites(controlPlane)
      var parts = SiteParts()
      parts.switches = { _ in sites }
      let site = try CrashSite(folder: folder, options: [:], parts: parts)
      let now = CrashSite.now()
      let network = Network(projectID: "p", name: "net", physicalNetwork: "datacentre", vlan: 205, createdAt: now)
      try await site.database.write { session in
        try NetworkStore.insert(network, in: session)
        for carrier in [NetworkSegment.Carrier.vxlan(5001), .vlan(301, physicalNetwork: "elsewhere")] {
          try NetworkSegmentStore.insert(
            NetworkSegment(networkID: network.id, carrier: carrier, createdAt: now), in: session)
        }
      }
      try await body(site, sites, network)
      site.database.close()
    }
  }

  @Test func everySwitchJoinsItsOwnVLANAndPartsFromItBeforeTheNumberIsFree() async throws {
    try await with { site, sites, network in
      try await site.conductor.joinSites()
      #expect(sites.bound == [[205: 5001], [301: 5001]])
      // A hand on a switch is noticed.
      sites.there.bound.withLock { $0 = [302: 5001, 7: 9] }
      try await site.conductor.joinSites()
      #expect(sites.bound == [[205: 5001], [301: 5001]])

      // One switch does not answer: the segment's number stays taken until it does.
      let segments = try await site.database.read { try NetworkSegmentStore.list(network: network.id, in: $0) }
      try await site.database.write { session in
        for segment in segments {
          try NetworkSegmentStore.markBeingDeleted(segment.id, at: CrashSite.now(), in: session)
        }
      }
      sites.there.isSilent.withLock { $0 = true }
      try await site.conductor.joinSites()
      #expect(sites.bound == [[:], [301: 5001]])
      #expect(try await site.database.read { try NetworkStore.vlansTaken(on: "elsewhere", in: $0) } == [301])
      sites.there.isSilent.withLock { $0 = false }
      try await site.conductor.joinSites()
      #expect(sites.bound == [[:], [:]])
      #expect(try await site.database.read { try NetworkStore.vlansTaken(on: "elsewhere", in: $0) }.isEmpty)
    }
  }

  /// In a fabric every leaf with a VNI gets its broadcasts, and the fabric carries networks of its administrator's.
  @Test func aLeafHasANetworkWhileAMachineAtItIsOnAndLeavesOthersAlone() async throws {
    try await with(.evpn(fabric: "pod-1")) { site, sites, network in
      func wire(_ name: String, _ configuration: PortConfiguration) async throws {
        let port = SwitchPort(switchName: name, port: "p1")
        try await site.database.write { session in
          try SwitchPortStore.want(configuration, on: port, label: nil, at: CrashSite.now(), in: session)
        }
        try await site.conductor.parts.apply(["p1": configuration], on: name, label: nil)
      }
      try await site.database.write { session in
        try SegmentRangeStore.ensureConfigured(
          "tenants", physicalNetwork: "datacentre", vlans: 200...299, at: CrashSite.now(), in: session)
      }
      // 900 is the administrator's own; 250 is a tenant's to get, and joined to what nobody here knows.
      sites.here.bound.withLock { $0 = [900: 90, 250: 77] }
      try await site.conductor.joinSites()
      #expect(sites.bound == [[900: 90], [:]])

      // It is joined before the port is said to be in force.
      try await wire("here", PortConfiguration(native: 205))
      #expect(sites.bound == [[900: 90, 205: 5001], [:]])
      try await wire("there", PortConfiguration(native: 7, tagged: [301]))
      #expect(sites.bound == [[900: 90, 205: 5001], [301: 5001]])
      try await site.conductor.joinSites()
      #expect(sites.bound == [[900: 90, 205: 5001], [301: 5001]])

      // Where it cannot be joined the port is not in force; quarantine does not wait for the fabric.
      sites.there.isSilent.withLock { $0 = true }
      await #expect(throws: DriverError.self) { try await wire("there", PortConfiguration(native: 301)) }
      let intent = try await site.database.read {
        try SwitchPortStore.get(SwitchPort(switchName: "there", port: "p1"), in: $0)
      }
      #expect(intent?.state == .error)
      try await wire("there", .quarantine)
      #expect(sites.bound == [[900: 90, 205: 5001], [301: 5001]])
      sites.there.isSilent.withLock { $0 = false }
      try await wire("here", PortConfiguration(native: 7))
      try await site.conductor.joinSites()
      #expect(sites.bound == [[900: 90], [:]])
    }
  }

  /// The same number on another physical network is somebody else's.
  @Test func aMachineGetsTheVLANOfItsOwnPhysicalNetworkOrNone() async throws {
    try await with { site, _, network in
      let now = CrashSite.now()
      let found = try await site.database.write { session -> [PortConfiguration?] in
        try NodeStore.insert(
          Node(uuid: CrashSite.node, name: "n1", driver: "world", createdAt: now), secrets: .init(),
          box: site.database.secrets,
          in: session)
        let port = NetworkPort(networkID: network.id, projectID: "p", name: "vif", createdAt: now)
        try NetworkPortStore.insert(port, in: session)
        return try ["datacentre", "elsewhere", "nowhere", nil].map { place in
          var nic = Port(uuid: Identifier.uuid(), nodeUUID: CrashSite.node, address: CrashSite.mac, createdAt: now)
          nic.physicalNetwork = place
          nic.vifPortID = port.id
          return try Attachment(nic, in: session)?.configuration
        }
      }
      #expect(found == [205, 301, nil, 205].map { PortConfiguration(native: $0) })
    }
  }
}
