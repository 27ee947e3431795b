import Domain
import DriverInterfaces
import Store
import Synchronization

extension Conductor {
  /// Joins the VLANs of networks that have a VNI, on every switch that has tunnels to other sites, and parts those whose
  /// network has none any more.
  ///
  /// Compared with what the switches show, on a period and when a segment comes or goes: a kill loses nothing, and a hand on
  /// a switch is noticed.
  public func joinSites() async throws {
    let devices = parts.switches.all.filter { $0.capabilities.contains(.vni) }
    let first = settings.physicalNetwork
    let leaving = try await database.read { try NetworkSegmentStore.beingDeleted(in: $0) }
    let failed = Mutex(false)
    await forEachConcurrently(devices, width: 8) { device in
      do {
        let place = device.physicalNetwork ?? first
        let wanted = try await self.database.read { try NetworkSegmentStore.bindings(on: place, in: $0) }
        let found = try await device.boundVNIs()
        // First what must not be joined any more: its VLAN may be another network's by now.
        for vni in found.values.sorted() where !wanted.values.contains(vni) { try await device.unbindVNI(vni) }
        for (vlan, vni) in wanted.sorted(by: { $0.key < $1.key }) where found[vlan] != vni {
          try await device.bindVNI(vni, vlan: vlan)
        }
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
}
