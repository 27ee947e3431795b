import Domain
import DriverInterfaces
import Store
import Synchronization

extension Conductor {
  /// Joins the VLANs of networks that have a VNI, on every switch that can, and parts those whose network has none any more.
  ///
  /// Compared with what the switches show, on a period and when a segment comes or goes: a kill loses nothing, and a hand on
  /// a switch is noticed.
  public func joinSites() async throws {
    let devices = parts.switches.all.filter { $0.capabilities.contains(.vni) }
    let leaving = try await database.read { try NetworkSegmentStore.beingDeleted(in: $0) }
    let failed = Mutex(false)
    await forEachConcurrently(devices, width: 8) { device in
      do {
        try await self.parts.joinNetworks(of: device)
      } catch {
        self.logger.error("switch \(device.name): \(error)")
        failed.withLock { $0 = true }
      }
    }
    // Their VLANs and VNIs are free for other networks only when no switch joins them any more.
    guard !leaving.isEmpty, !failed.withLock({ $0 }) else { return }
    try await database.write { session in
      for id in leaving { try NetworkSegmentStore.delete(id, in: session) }
    }
  }
  /// Call it in the transaction that makes or deletes a segment.
  public func segmentsChanged(in session: any Session) {
    session.afterCommit { [wakeups] in wakeups.signal(Self.overlaysName) }
  }
  static let overlaysName = "overlays"

  /// How the switches of each physical network that carry VNIs learn of each other.
  public var controlPlanes: [String: Set<TunnelControlPlane>] {
    parts.switches.all.reduce(into: [:]) { found, device in
      guard let way = device.controlPlane else { return }
      found[device.physicalNetwork ?? settings.physicalNetwork, default: []].insert(way)
    }
  }
}

extension Parts {
  /// Brings one switch to have joined what it should, and returns when what is wanted *then* is in force.
  ///
  /// A switch with tunnels of its own carries each network of its site: others may be behind it. A leaf of a fabric carries those
  /// that machines at its own ports are on, for every leaf that has a VNI gets the broadcasts of it.
  /// - Throws: ``DriverError``.
  func joinNetworks(of device: any SwitchInterface) async throws {
    var done: SwitchOverlay?
    while true {
      let overlay = try await database.read { try wantedOverlay(of: device, in: $0) }
      if overlay == done { return }
      let found = try await device.boundVNIs().filter { overlay.isOurs(vlan: $0.key, vni: $0.value) }
      // First what must not be joined any more: its VLAN may be another network's by now.
      for vni in Set(found.values).sorted() where !overlay.wanted.values.contains(vni) {
        try await device.unbindVNI(vni)
      }
      for (vlan, vni) in overlay.wanted.sorted(by: { $0.key < $1.key }) where found[vlan] != vni {
        try await device.bindVNI(vni, vlan: vlan)
      }
      done = overlay
    }
  }

  private func wantedOverlay(of device: any SwitchInterface, in session: any Session) throws -> SwitchOverlay {
    let place = device.physicalNetwork ?? settings.physicalNetwork
    var overlay = SwitchOverlay(wanted: try NetworkSegmentStore.bindings(on: place, in: session))
    guard case .evpn? = device.controlPlane else { return overlay }
    var carried: Set<Int> = []
    for intent in try SwitchPortStore.list(switch: device.name, in: session) {
      carried.formUnion(intent.configuration.tagged + (intent.configuration.native.map { [$0] } ?? []))
    }
    overlay.ours = SwitchOverlay.Numbers(
      vlans: try NetworkStore.vlansTaken(on: place, in: session),
      pools: try SegmentRangeStore.list(in: session).filter { $0.physicalNetwork == place }.map(\.vlans),
      vnis: try NetworkSegmentStore.vnisTaken(in: session))
    overlay.wanted = overlay.wanted.filter { carried.contains($0.key) }
    return overlay
  }
}

/// What one switch should have joined, and what of the joined is this program's business.
struct SwitchOverlay: Equatable {
  struct Numbers: Equatable {
    var vlans: Set<Int>
    var pools: [ClosedRange<Int>]
    var vnis: Set<Int>
  }
  /// VNIs by VLAN.
  var wanted: [Int: Int]
  /// Nil where the switch itself tells ours from others': all that it shows is ours.
  var ours: Numbers?

  /// Fabrics carry networks of their administrators' as well: ours are those that a network here has, and whatever is joined to a
  /// VLAN that tenants get.
  func isOurs(vlan: Int, vni: Int) -> Bool {
    guard let ours else { return true }
    return ours.vnis.contains(vni) || ours.vlans.contains(vlan) || ours.pools.contains { $0.contains(vlan) }
  }
}
