import Domain
import Store
import Testing
import Wire

extension Site {
  /// A lease of a node to ``lessee`` for the next hour, as the lease API makes it; its machine is handed over unless it is
  /// only `created`.
  @discardableResult
  func lease(_ node: String, isHeld: Bool = true) async throws -> Lease {
    try await database.write { session in
      let now = Site.now()
      let lease = Lease(
        uuid: Identifier.uuid(), projectID: Site.lessee, ownerID: Site.owner, resourceUUID: node,
        time: TimeRange(now - .seconds(60), now + .seconds(3600)), createdAt: now)
      try LeaseStore.insert(lease, in: session)
      guard isHeld, var leased = try NodeStore.get(node, in: session) else { return lease }
      try LeaseStore.setActive(lease.uuid, at: now, in: session)
      leased.leaseUUID = lease.uuid
      leased.lessee = lease.projectID
      try NodeStore.update(leased, in: session)
      return try LeaseStore.get(lease.uuid, in: session) ?? lease
    }
  }
  fileprivate func offer(_ node: String) async throws -> String {
    let uuid = Identifier.uuid()
    try await database.write { session in
      try OfferStore.insert(
        Offer(
          uuid: uuid, projectID: Site.owner, resourceUUID: node,
          time: TimeRange(Site.now() + .seconds(7200), Site.now() + .seconds(9000)), createdAt: Site.now()),
        in: session)
    }
    return uuid
  }
  fileprivate func reserve(_ node: String, _ workflow: String?) async throws {
    try await database.write { session in
      guard var found = try NodeStore.get(node, in: session) else { return }
      found.reservation = workflow
      try NodeStore.update(found, in: session)
    }
  }
  fileprivate func status(of lease: Lease) async throws -> Lease.Status? {
    try await database.read { try LeaseStore.get(lease.uuid, in: $0)?.status }
  }
  fileprivate func setOwner(_ owner: String?, _ query: String = "", as token: String? = nil) async throws -> Answer {
    let operation: JSON =
      owner.map { ["op": "replace", "path": "/owner", "value": .string($0)] } ?? ["op": "remove", "path": "/owner"]
    return try await call(.patch, "/v1/nodes/n1\(query)", [operation], as: token)
  }
}

/// Another owner, and the end of a node, while it has leases.
@Suite struct OwnerChangeTests {
  @Test func whatIsLeasedOrOfferedKeepsItsOwnerAndIsNotForgotten() async throws {
    try await withSite { site in
      let node = try await site.node("n1", owner: Site.owner, driver: "fake-hardware")
      let coming = try await site.lease(node, isHeld: false)
      let refused = try await site.setOwner(Site.other)
      #expect(refused.status == 409 && refused.fault.contains("leases that are not over (1) or offers (0)"))
      #expect(refused.fault.contains("openstack esi lease delete"))
      #expect(try await site.setOwner(nil).status == 409)
      #expect(try await site.setOwner(Site.owner).status == 200, "the same owner is no change")
      let kept = try await site.call(.delete, "/v1/nodes/n1")
      #expect(kept.status == 409 && kept.fault.contains("It cannot be deleted before they have ended"))

      try await site.database.write { try LeaseStore.setEnded(.deleted, of: coming.uuid, at: Site.now(), in: $0) }
      let offer = try await site.offer(node)
      #expect(try await site.setOwner(Site.other).fault.contains("leases that are not over (0) or offers (1)"))
      #expect(try await site.call(.delete, "/v1/nodes/n1").status == 409)
      #expect(try await site.call(.get, "/v1/nodes/n1").json["owner"]?.string == Site.owner)

      try await site.database.write { try OfferStore.setStatus(.deleted, of: offer, in: $0) }
      #expect(try await site.setOwner(Site.other).json["owner"]?.string == Site.other)
      #expect(try await site.setOwner(nil).json["owner"] == .null)
      #expect(try await site.call(.delete, "/v1/nodes/n1").status == 204)
    }
  }

  @Test func whatHasNotBegunEndsAtOnceWhenItIsForced() async throws {
    try await withSite { site in
      let node = try await site.node("n1", owner: Site.owner, driver: "fake-hardware")
      let coming = try await site.lease(node, isHeld: false)
      let offer = try await site.offer(node)
      let answer = try await site.setOwner(Site.other, "?force=true")
      #expect(answer.status == 200 && answer.json["owner"]?.string == Site.other, "\(answer.fault)")
      #expect(try await site.status(of: coming) == .deleted)
      #expect(try await site.database.read { try OfferStore.get(offer, in: $0)?.status } == .deleted)
    }
  }

  @Test func aMachineThatIsHeldChangesItsOwnerWhenItWasTakenBack() async throws {
    try await withSite { site in
      let node = try await site.node("n1", owner: Site.owner, driver: "fake-hardware")
      let held = try await site.lease(node)
      // Whatever is under way for the lessee is no obstacle, but the rest of the patch is.
      try await site.reserve(node, "a-workflow")
      #expect(try await site.setOwner(Site.other).status == 409)
      let both = try await site.call(
        .patch, "/v1/nodes/n1?force=true",
        [
          ["op": "add", "path": "/owner", "value": .string(Site.other)],
          ["op": "add", "path": "/instance_info/x", "value": 1],
        ])
      #expect(both.status == 409 && both.fault.contains("instance_info"))
      #expect(try await site.status(of: held) == .active)
      try await site.reserve(node, nil)

      let answer = try await site.setOwner(Site.other, "?force=true")
      #expect(answer.status == 200 && answer.json["owner"]?.string == Site.owner, "not before it was taken back")
      #expect(answer.json["lessee"] == .null)
      #expect(try await site.status(of: held) == .waitCancel)
      let deleted = try await site.call(.delete, "/v1/nodes/n1")
      #expect(deleted.status == 409 && deleted.fault.contains("is being taken back"))

      let conductor = site.conductor
      try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask { try await conductor.runner.run() }
        let limit = ContinuousClock.now + .seconds(30)
        while try await site.call(.get, "/v1/nodes/n1").json["owner"]?.string != Site.other {
          try #require(ContinuousClock.now < limit, "the owner does not change")
          try await Task.sleep(for: .milliseconds(5))
          _ = try await conductor.runLeases()
        }
        group.cancelAll()
      }
      #expect(try await site.status(of: held) == .deleted)
      #expect(try await site.call(.get, "/v1/nodes/n1").json["provision_state"] == "available")
    }
  }

  @Test func aForcedChangeIsTakenBackByNamingTheOldOwner() async throws {
    try await withSite { site in
      let node = try await site.node("n1", owner: Site.owner, driver: "fake-hardware")
      let held = try await site.lease(node)
      #expect(try await site.setOwner(Site.other, "?force=true").status == 200)
      #expect(try await site.database.read { try OwnerChangeStore.isPending(node: node, in: $0) })
      #expect(try await site.setOwner(Site.owner).status == 200)
      #expect(try await !site.database.read { try OwnerChangeStore.isPending(node: node, in: $0) })
      #expect(try await site.status(of: held) == .waitCancel, "what has ended stays ended")
    }
  }

  @Test func aLeaseWhoseMachineCannotBeCleanedDoesNotKeepTheNode() async throws {
    try await withSite { site in
      let node = try await site.node("n1", owner: Site.owner, state: .cleanFailed, driver: "fake-hardware")
      let held = try await site.lease(node)
      try await site.database.write { session in
        try LeaseStore.setEnding(.deleted, of: held.uuid, at: Site.now(), in: session)
        guard var node = try NodeStore.get(node, in: session) else { return }
        (node.lessee, node.leaseUUID) = (nil, nil)
        try NodeStore.update(node, in: session)
      }
      #expect(try await site.setOwner(Site.other).status == 409)
      #expect(try await site.call(.delete, "/v1/nodes/n1").status == 204)
      _ = try await site.conductor.runLeases()
      #expect(try await site.status(of: held) == .deleted)
    }
  }

  @Test func aNodeThatIsOnlyAssignedToAProjectMayGo() async throws {
    try await withSite { site in
      try await site.node("n1", owner: Site.owner, lessee: Site.lessee, state: .enroll)
      #expect(try await site.call(.delete, "/v1/nodes/n1").status == 204)
    }
  }

  @Test func onlyAnAdministratorForcesAndOnlyAnOwner() async throws {
    try await withSite { site in
      let node = try await site.node("n1", owner: Site.owner, driver: "fake-hardware")
      let held = try await site.lease(node)
      for project in [Site.owner, Site.lessee] {
        #expect(try await site.setOwner(Site.other, "?force=true", as: site.token(project)).status == 403)
      }
      #expect(try await site.setOwner(Site.other, "?force=true", as: site.token(Site.other)).status == 404)
      let misplaced = try await site.call(
        .patch, "/v1/nodes/n1?force=true", [["op": "add", "path": "/extra/x", "value": 1]])
      #expect(misplaced.status == 400 && misplaced.fault.contains("changing the node's owner"))
      #expect(try await site.setOwner(Site.other, "?force=maybe").status == 400)
      #expect(try await site.status(of: held) == .active)
    }
  }
}
