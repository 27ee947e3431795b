import Domain
import Store
import TestSupport
import Testing
import Wire

/// Servers on machines whose lease ends.
@Suite struct ServerLeaseTests {
  @Test func aLeaseThatEndsTakesAServersOwnVolumesAlong() async throws {
    try await ComputeSite.run { site in
      let node = try await site.enrol("n1", owner: "beta") { $0.lessee = "alpha" }
      let lease = try await site.lease(node)
      let kept = try await site.volume()
      let id = try await site.create(
        "web",
        [
          "imageRef": "",
          "block_device_mapping_v2": [
            [
              "uuid": .string(ComputeSite.image), "source_type": "image", "destination_type": "volume", "boot_index": 0,
              "volume_size": 1, "delete_on_termination": true,
            ],
            ["uuid": .string(kept), "source_type": "volume", "destination_type": "volume"],
          ],
        ])
      let server = try await site.server(id, "ACTIVE")
      let own = try #require(server["os-extended-volumes:volumes_attached"]?.array?.first?["id"]?.string)

      try await site.database.write { session in
        let found = try #require(try LeaseStore.get(lease, in: session))
        try site.conductor.endLease(found, reason: .deleted, in: session)
      }
      try await site.gone(id)
      try await site.volumeGone(own)
      try await site.volume(kept, is: "available")
      _ = try await site.settled(node, .available)
      #expect(site.world.values(prefix: "export/").isEmpty)
    }
  }

  @Test func aShelvedServerOutlivesTheLeaseOfTheMachineItHad() async throws {
    try await ComputeSite.run { site in
      let node = try await site.enrol("n1", owner: "beta") { $0.lessee = "alpha" }
      let lease = try await site.lease(node)
      let (boot, data) = (try await site.volume(isBootable: true), try await site.volume())
      let id = try await site.create("web", ServerShelvingTests.onVolumes(boot, data))
      try await site.server(id, "ACTIVE")
      try await site.call(.post, "/v2.1/servers/\(id)/action", ["shelve": nil])
      try await site.server(id, "SHELVED_OFFLOADED")
      let freed = try await site.settled(node, .available)
      #expect(freed.lessee == "alpha" && freed.leaseUUID == lease, "the lease is the project's still")

      try await site.database.write { session in
        let found = try #require(try LeaseStore.get(lease, in: session))
        try site.conductor.endLease(found, reason: .deleted, in: session)
      }
      let limit = ContinuousClock.now + .seconds(20)
      while try await site.node(node).lessee != nil, ContinuousClock.now < limit {
        try await Task.sleep(for: .milliseconds(5))
      }
      try await site.server(id, "SHELVED_OFFLOADED")
      try await site.volume(boot, is: "reserved")
    }
  }
}

extension ComputeSite {
  /// alpha's lease of a machine, which is active.
  fileprivate func lease(_ node: String) async throws -> String {
    let now = CrashSite.now()
    let lease = Lease(
      uuid: Identifier.uuid(), projectID: "alpha", ownerID: "beta", resourceUUID: node,
      time: TimeRange(now - .seconds(60), now + .seconds(3600)), createdAt: now)
    try await database.write { session in
      try LeaseStore.insert(lease, in: session)
      try LeaseStore.setActive(lease.uuid, at: now, in: session)
      var machine = try #require(try NodeStore.get(node, in: session))
      machine.leaseUUID = lease.uuid
      try NodeStore.update(machine, in: session)
    }
    return lease.uuid
  }
}
