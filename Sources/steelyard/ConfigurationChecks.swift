import Domain
import SwitchDrivers

/// What the file may say of a key beyond its type; each throws before anything is started.
extension Configuration {
  /// - Parameter drivers: the hardware types that there are.
  /// - Throws: ``Failure`` for a value that cannot be meant.
  func checkDiscovery(_ drivers: [String]) throws {
    guard discovery.enabled else { return }
    guard provisioning != nil, ramdisk != nil else {
      throw Failure("discovery: it needs a provisioning network and a ramdisk")
    }
    guard drivers.contains(discovery.driver) else {
      throw Failure("discovery.driver: there is no '\(discovery.driver)'; there are \(drivers.joined(separator: ", "))")
    }
    guard (1...1000).contains(discovery.most_waiting) else {
      throw Failure("discovery.most_waiting: 1 to 1000 is expected")
    }
  }
  /// - Throws: ``Failure`` for a value that cannot be meant.
  func checkDeploy() throws {
    guard (1...168).contains(deploy.fast_track_hours) else {
      throw Failure("deploy.fast_track_hours: 1 to 168 hours are expected")
    }
  }
  /// - Throws: ``Failure`` for a value that cannot be meant.
  func checkLeases() throws {
    guard (1...36_525).contains(leases.default_days), (1...36_525).contains(leases.maximum_days),
      leases.default_days <= leases.maximum_days
    else {
      throw Failure("leases: 1 <= default_days <= maximum_days <= 36525 is expected")
    }
    guard leases.notices.allSatisfy({ (1...3_155_760_000).contains($0) }), leases.notices.count <= 16 else {
      throw Failure("leases.notices: at most 16 numbers of seconds are expected, each above 0")
    }
  }
  /// - Throws: ``Failure`` for a value that cannot be meant.
  func checkSwitches() throws {
    for entry in switches ?? [] {
      guard let vtep = entry.vtep else { continue }
      let all = [vtep.address].compactMap { $0 } + (vtep.peers ?? [])
      for text in all where IPAddress(text) == nil {
        throw Failure("switches: \(entry.name): vtep: '\(text)' is no IP address")
      }
      if entry.kind != "openvswitch" {
        try check(vtep, ofLeaf: entry)
        continue
      }
      guard vtep.address != nil, vtep.fabric == nil, vtep.asn == nil else {
        throw Failure("switches: \(entry.name): vtep: Open vSwitch needs address and peers, and has no fabric")
      }
      guard Set(all).count == all.count, (2...65).contains(all.count) else {
        throw Failure("switches: \(entry.name): vtep: 1 to 64 peers are expected, each once, and not the switch itself")
      }
    }
  }
  private func check(_ vtep: VTEP, ofLeaf entry: Switch) throws {
    let name = "switches: \(entry.name): vtep:"
    guard let needed = Switches.fabricNeeds[entry.kind] else {
      throw Failure("\(name) kind \(entry.kind) joins no VLANs to VNIs; these do: \(Switches.fabricKinds)")
    }
    guard let fabric = vtep.fabric, !fabric.isEmpty, vtep.peers == nil else {
      throw Failure("\(name) a leaf needs the name of its fabric, and no peers: the switches tell each other by BGP")
    }
    guard needed != .address || vtep.address != nil else {
      throw Failure("\(name) kind \(entry.kind) needs address, the tunnel endpoint's own")
    }
    guard (needed == .autonomousSystem) == (vtep.asn != nil), vtep.asn.map({ (1...65_535).contains($0) }) ?? true else {
      throw Failure(
        "\(name) asn, the fabric's AS number from 1 to 65535, is for kind arista-eapi, which needs it, and for no other"
      )
    }
  }
  /// - Throws: ``Failure`` for a value that cannot be meant.
  func checkLimits() throws {
    let seconds = [
      ("agent_patience", limits.agent_patience), ("agent_silence", limits.agent_silence),
      ("power_patience", limits.power_patience), ("power_sync", limits.power_sync),
      ("switch_audit", limits.switch_audit),
    ]
    for (name, value) in seconds where !(1...86_400).contains(value) {
      throw Failure("limits.\(name): 1 to 86400 seconds are expected")
    }
    guard (1...100_000).contains(limits.page) else { throw Failure("limits.page: 1 to 100000 is expected") }
  }
}
