import Domain

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
      let all = [vtep.address] + vtep.peers
      for text in all where IPAddress(text) == nil {
        throw Failure("switches: \(entry.name): vtep: '\(text)' is no IP address")
      }
      guard Set(all).count == all.count, !vtep.peers.isEmpty, vtep.peers.count <= 64 else {
        throw Failure("switches: \(entry.name): vtep: 1 to 64 peers are expected, each once, and not the switch itself")
      }
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
