import Domain
import DriverInterfaces

/// VLANs of a leaf joined to VNIs of its fabric. Who else carries them the switches tell each other.
extension PhysicalSwitch {
  /// How long a switch may take from a change's acceptance to its being in force.
  private static let settling: Duration = .seconds(2)

  func boundVNIs() async throws -> [Int: Int] {
    guard capabilities.contains(.vni) else { return [:] }
    return try await visit { try await $0.vnis() }.bound
  }

  func bindVNI(_ vni: Int, vlan: Int) async throws {
    guard capabilities.contains(.vni) else {
      throw error(.unsupported, "it joins no VLANs of other sites: `vtep.fabric` in its configuration is missing")
    }
    guard (1...4094).contains(vlan), NetworkSegment.vnis.contains(vni) else {
      throw error(.refused, "VLAN \(vlan) or VNI \(vni) is out of range")
    }
    try await visit { session in
      let before = try await session.vnis()
      if before.bound[vlan] == vni, before.bound.values.filter({ $0 == vni }).count == 1 { return }
      try await session.changeVNIs(
        removing: before.filter { $0.vni == vni || $0.vlan == vlan }, joining: (vni: vni, vlan: vlan))
      guard try await self.settles(session, { $0.bound[vlan] == vni }) else {
        _ = try await session.takeBack()
        throw self.error(.notInForce, "VNI \(vni) is not bound to VLAN \(vlan) after the change")
      }
      try await session.confirm()
      if self.savesChanges { try await session.save() }
    }
  }

  func unbindVNI(_ vni: Int) async throws {
    guard capabilities.contains(.vni) else { return }
    try await visit { session in
      let ours = try await session.vnis().filter { $0.vni == vni }
      if ours.isEmpty { return }
      try await session.changeVNIs(removing: ours, joining: nil)
      let isGone = try await self.settles(session) { !$0.contains { $0.vni == vni } }
      // What was parted stays so, also where more was to go.
      try await session.confirm()
      if self.savesChanges { try await session.save() }
      guard isGone else { throw self.error(.notInForce, "VNI \(vni) is still bound") }
    }
  }

  private func settles(_ session: any SwitchSession, _ isDone: ([VNIState]) -> Bool) async throws -> Bool {
    let deadline = ContinuousClock.now + Self.settling
    while true {
      if isDone(try await session.vnis()) { return true }
      guard ContinuousClock.now < deadline else { return false }
      try await Task.sleep(for: .milliseconds(200))
    }
  }
}
