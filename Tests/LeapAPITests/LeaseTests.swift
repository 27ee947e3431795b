import Domain
import Store
import Testing
import Wire

@Suite struct LeaseTests {
  @Test func anOwnerLeasesByProjectNameAndBothPartiesSeeIt() async throws {
    let site = try await LeaseSite()
    let node = try await site.enrol("n1")
    let (owner, alpha, beta) = (site.token("owners"), site.token("alpha"), site.token("beta"))

    let lease = try await site.call(
      .post, "/v1/leases",
      [
        "resource_uuid": "n1", "project_id": "the-alpha", "start_time": "2026-12-01T00:00:00",
        "end_time": "2026-12-02T00:00:00",
        "purpose": "course", "name": "l1",
      ], as: owner)
    #expect(
      lease.status == 201 && lease.body["project_id"] == "alpha" && lease.body["purpose"] == "course", "\(lease.shown)")
    #expect(
      lease.body.object?.keys == [
        "name", "uuid", "project_id", "project", "owner_id", "owner", "resource_type", "resource_uuid",
        "resource_class",
        "resource_properties", "resource", "start_time", "fulfill_time", "expire_time", "end_time", "status",
        "properties",
        "purpose", "offer_uuid", "parent_lease_uuid", "status_reason",
      ])
    for token in [owner, alpha, site.admin()] {
      #expect(try await site.call(.get, "/v1/leases", as: token).uuids("leases") == [lease.uuid])
      #expect(try await site.call(.get, "/v1/leases/l1", as: token).uuid == lease.uuid)
    }
    #expect(try await site.call(.get, "/v1/leases", as: beta).uuids("leases").isEmpty)
    let foreign = try await site.call(.get, "/v1/leases/\(lease.uuid)", as: beta)
    #expect(
      foreign.status == 404 && foreign.fault.contains("not found")
        && foreign.fault.contains("Access was denied to lease"))
    #expect(try await site.call(.delete, "/v1/leases/\(lease.uuid)", as: beta).status == 404)
    #expect(try await site.call(.get, "/v1/leases?purpose=course", as: alpha).uuids("leases") == [lease.uuid])
    #expect(try await site.call(.get, "/v1/leases?purpose=other", as: alpha).uuids("leases").isEmpty)
    #expect(
      try await site.call(.get, "/v1/leases?project_id=alpha", as: beta).fault
        == "Access was denied to esi_leap:lease:lease_admin.")
    #expect(try await site.call(.get, "/v1/leases?view=all", as: beta).status == 403)
    #expect(try await site.call(.get, "/v1/leases?owner_id=the-owners", as: owner).uuids("leases") == [lease.uuid])

    let overlap = try await site.call(
      .post, "/v1/leases",
      [
        "resource_uuid": "n1", "project_id": "the-beta", "start_time": "2026-12-01T12:00:00",
        "end_time": "2026-12-01T13:00:00",
      ], as: owner)
    #expect(overlap.status == 409 && overlap.fault == "Time conflict for ironic_node \(node).")
    let next = try await site.call(
      .post, "/v1/leases",
      [
        "resource_uuid": "n1", "project_id": "beta", "start_time": "2026-12-02T00:00:00",
        "end_time": "2026-12-03T00:00:00",
      ],
      as: owner)
    #expect(next.status == 201, "the ranges are half-open")

    let blocked = try await site.call(.patch, "/v1/leases/l1", ["end_time": "2026-12-02T06:00:00"], as: owner)
    #expect(blocked.status == 409)
    #expect(try await site.call(.delete, "/v1/leases/\(next.uuid)", as: beta).status == 200)
    #expect(
      try await site.call(.patch, "/v1/leases/l1", ["end_time": "2026-12-02T06:00:00"], as: owner).body["end_time"]
        == "2026-12-02T06:00:00")
    #expect(try await site.call(.patch, "/v1/leases/l1", ["end_time": "2026-12-05T06:00:00"], as: beta).status == 404)
    #expect(
      try await site.call(.patch, "/v1/leases/l1", ["name": "x"], as: owner).fault
        == "Only the end_time field may be updated")

    #expect(try await site.call(.delete, "/v1/leases/l1", as: owner).body == .null)
    #expect(try await site.call(.delete, "/v1/leases/l1", as: owner).fault == "Lease with name or uuid l1 not found.")
    #expect(
      try await site.call(.get, "/v1/leases?status=any", as: alpha).body["leases"]?.array?.first?["status"] == "deleted"
    )
    #expect(try await site.call(.get, "/v1/leases", as: alpha).uuids("leases").isEmpty)
    let events = try await site.call(.get, "/v1/events", as: alpha)
    #expect(
      events.body["events"]?.array?.compactMap { $0["event_type"]?.string } == [
        "esi_leap.lease.create.end", "esi_leap.lease.update.end", "esi_leap.lease.delete.start",
        "esi_leap.lease.delete.end",
      ])
    #expect(try await site.call(.get, "/v1/events?lessee_or_owner_id=alpha", as: beta).status == 403)
  }

  @Test func lengthsHaveADefaultAndAMaximum() async throws {
    let site = try await LeaseSite()
    _ = try await site.enrol("n1")
    let body: JSON = ["resource_uuid": "n1", "project_id": "alpha", "end_time": "2026-12-31T00:00:00"]
    let long = try await site.call(.post, "/v1/leases", body, as: site.token("owners"))
    #expect(long.status == 403 && long.fault.hasSuffix("The max time range is 21 days."))
    #expect(try await site.call(.post, "/v1/leases", body, as: site.admin()).body["owner_id"] == "owners")
    let past = try await site.call(
      .post, "/v1/leases",
      ["resource_uuid": "n1", "project_id": "alpha", "start_time": "2020-01-01", "end_time": "2020-01-02"],
      as: site.token("owners"))
    #expect(past.status == 400)
    let unknown = try await site.call(
      .post, "/v1/leases", ["resource_uuid": "n1", "project_id": "ghost"], as: site.token("owners"))
    #expect(unknown.status == 404 && unknown.fault == "No project named ghost.")
  }

  @Test func aSubLeaseStaysInsideItsParentAndEndsWithIt() async throws {
    let site = try await LeaseSite()
    let node = try await site.enrol("n1")
    let (owner, alpha) = (site.token("owners"), site.token("alpha"))
    let parent = try await site.call(.post, "/v1/leases", ["resource_uuid": "n1", "project_id": "alpha"], as: owner)
    // Not yet: the lease has not begun.
    #expect(
      try await site.call(.post, "/v1/leases", ["resource_uuid": "n1", "project_id": "beta"], as: alpha).status == 404)
    try await site.settle()

    let outside = try await site.call(
      .post, "/v1/leases", ["resource_uuid": "n1", "project_id": "beta", "end_time": "2026-11-29T00:00:00"], as: alpha)
    #expect(outside.status == 403)
    #expect(
      outside.fault
        == "You do not have permissions on ironic_node \(node) for the time range 2026-11-21 08:00:00 - 2026-11-29 00:00:00."
    )
    let offer = try await site.call(.post, "/v1/offers", ["resource_uuid": "n1"], as: alpha)
    #expect(offer.body["end_time"] == parent.body["end_time"] && offer.body["parent_lease_uuid"]?.string == parent.uuid)
    let child = try await site.call(.post, "/v1/offers/\(offer.uuid)/claim", [:], as: site.token("beta"))
    #expect(child.body["parent_lease_uuid"]?.string == parent.uuid && child.body["end_time"] == parent.body["end_time"])
    try await site.settle()
    let shorter = try await site.call(
      .patch, "/v1/leases/\(parent.uuid)", ["end_time": "2026-11-22T00:00:00"], as: owner)
    #expect(shorter.status == 409)

    #expect(try await site.call(.delete, "/v1/leases/\(parent.uuid)", as: owner).status == 200)
    try await site.settle()
    for id in [parent.uuid, child.uuid] {
      #expect(try await site.call(.get, "/v1/leases/\(id)", as: site.admin()).body["status"] == "deleted")
    }
    #expect(try await site.call(.get, "/v1/offers/\(offer.uuid)", as: alpha).body["status"] == "deleted")
  }

  @Test func nodesShowTheirPlansToTheirOwnerOnly() async throws {
    let site = try await LeaseSite()
    let node = try await site.enrol("n1")
    _ = try await site.enrol("n2", owner: "beta")
    let (owner, alpha) = (site.token("owners"), site.token("alpha"))
    let lease = try await site.call(.post, "/v1/leases", ["resource_uuid": "n1", "project_id": "alpha"], as: owner)
    let later = try await site.call(
      .post, "/v1/leases",
      ["resource_uuid": "n1", "project_id": "beta", "start_time": "2026-12-01", "end_time": "2026-12-02"], as: owner)
    #expect(try await site.call(.get, "/v1/nodes", as: alpha).body["nodes"]?.array?.isEmpty == true)
    try await site.settle()

    let own = try await site.call(.get, "/v1/nodes", as: owner)
    #expect(own.uuids("nodes") == [node])
    let shown = own.body["nodes"]?.array?.first
    #expect(shown?["owner"] == "the-owners" && shown?["lessee"] == "the-alpha" && shown?["maintenance"] == "False")
    #expect(shown?["lease_uuid"]?.string == lease.uuid && shown?["offer_uuid"] == nil)
    #expect(shown?["properties"] == ["cpus": 4] && shown?["future_leases"] == JSON([later.uuid]))
    let lessee = try await site.call(.get, "/v1/nodes/n1", as: alpha)
    #expect(lessee.uuid == node && lessee.body["future_leases"] == [])
    #expect(try await site.call(.get, "/v1/nodes/n2", as: alpha).status == 404)
    #expect(try await site.call(.get, "/v1/nodes?owner=the-beta", as: owner).body["nodes"]?.array?.isEmpty == true)
  }

  @Test func abuse30_aHundredParallelClaimsHaveOneWinner() async throws {
    let site = try await LeaseSite()
    _ = try await site.enrol("n1")
    let offer = try await site.call(.post, "/v1/offers", ["resource_uuid": "n1"], as: site.token("owners"))

    let statuses = try await withThrowingTaskGroup(of: Int.self) { group in
      for index in 0..<100 {
        group.addTask {
          try await site.call(
            .post, "/v1/offers/\(offer.uuid)/claim", [:], as: site.token(index % 2 == 0 ? "alpha" : "beta")
          ).status
        }
      }
      return try await group.reduce(into: [Int]()) { $0.append($1) }
    }

    #expect(statuses.filter { $0 == 201 }.count == 1)
    #expect(statuses.filter { $0 == 409 }.count == 99)
  }
}

@Suite struct LeaseStoreTests {
  @Test func theStoreItselfRefusesOverlapWhoeverAsks() async throws {
    let site = try await LeaseSite()
    let now = site.clock.now
    let wins = await withTaskGroup(of: Bool.self) { group in
      for index in 0..<100 {
        group.addTask {
          let lease = Lease(
            uuid: Identifier.uuid(), projectID: "p\(index)", ownerID: "o", resourceUUID: "r",
            time: TimeRange(now + .seconds(index), now + .seconds(index + 1000)), createdAt: now)
          do {
            try await site.database.write { try LeaseStore.insert(lease, in: $0) }
            return true
          } catch { return (error as? StoreError)?.kind != .conflict }
        }
      }
      return await group.reduce(0) { $0 + ($1 ? 1 : 0) }
    }
    #expect(wins == 1)
    #expect(try await site.database.read { try LeaseStore.list(LeaseStore.Filter(), in: $0).count } == 1)
  }

  @Test func waitingAndBrokenLeasesHoldTheirResourceAndEndedOnesDoNot() async throws {
    let site = try await LeaseSite()
    let now = site.clock.now
    func lease() -> Lease {
      Lease(
        uuid: Identifier.uuid(), projectID: "p", ownerID: "o", resourceUUID: "r",
        time: TimeRange(now, now + .seconds(10)),
        createdAt: now)
    }
    let first = lease()
    try await site.database.write { try LeaseStore.insert(first, in: $0) }
    for status in Lease.Status.allCases {
      let second = lease()
      let inserted: Bool
      do {
        try await site.database.write { session in
          try LeaseStore.setStatus(status, of: first.uuid, in: session)
          try LeaseStore.insert(second, in: session)
          try LeaseStore.setEnded(.deleted, of: second.uuid, at: now, in: session)
        }
        inserted = true
      } catch { inserted = false }
      #expect(inserted == !status.isLive, "\(status)")
    }
  }

  @Test func theTimerFindsWhatIsDueOnce() async throws {
    let site = try await LeaseSite()
    let now = site.clock.now
    let lease = Lease(
      uuid: Identifier.uuid(), projectID: "p", ownerID: "o", resourceUUID: "r",
      time: TimeRange(now + .seconds(10), now + .seconds(20)), createdAt: now)
    try await site.database.write { session in
      try LeaseStore.insert(lease, in: session)
      #expect(try LeaseStore.nextDue(in: session) == now + .seconds(10))
      #expect(try LeaseStore.dueToStart(now, in: session).isEmpty)
      #expect(try LeaseStore.dueToStart(now + .seconds(10), in: session) == [lease.uuid])
      try LeaseStore.setStatus(.waitFulfill, of: lease.uuid, in: session)
      #expect(try LeaseStore.dueToStart(now + .seconds(10), in: session).isEmpty)
      #expect(try LeaseStore.nextDue(in: session) == now + .seconds(20))
      #expect(try LeaseStore.dueToEnd(now + .seconds(20), in: session) == [lease.uuid])
      try LeaseStore.setStatus(.waitExpire, of: lease.uuid, in: session)
      #expect(try LeaseStore.dueToEnd(now + .seconds(20), in: session).isEmpty)
      #expect(try LeaseStore.nextDue(in: session) == nil)
    }
  }
}

@Suite struct LeaseArithmeticTests {
  private func at(_ second: Int) -> Timestamp { Timestamp(seconds: second) }
  private func range(_ start: Int, _ end: Int) -> TimeRange { TimeRange(at(start), at(end)) }

  @Test func availabilitiesAreTheSpanWithoutWhatIsTaken() {
    let span = range(10, 100)
    func free(_ taken: [TimeRange], now: Int = 0) -> [TimeRange] {
      LeaseArithmetic.availabilities(of: span, taken: taken, now: at(now))
    }
    #expect(free([]) == [span])
    #expect(free([], now: 50) == [range(50, 100)])
    #expect(free([], now: 100) == [])
    #expect(free([range(20, 30), range(40, 50)]) == [range(10, 20), range(30, 40), range(50, 100)])
    #expect(free([range(40, 50), range(20, 45)]) == [range(10, 20), range(50, 100)])
    #expect(free([range(0, 20), range(90, 200)]) == [range(20, 90)])
    #expect(free([range(0, 200)]) == [])
    #expect(free([range(20, 30), range(30, 40)]) == [range(10, 20), range(40, 100)])
    #expect(free([range(20, 60)], now: 30) == [range(60, 100)])
  }

  @Test func rangesAreHalfOpen() {
    #expect(!range(0, 10).overlaps(range(10, 20)))
    #expect(range(0, 11).overlaps(range(10, 20)))
    #expect(range(0, 10).contains(range(0, 10)) && !range(0, 10).contains(at(10)) && range(0, 10).contains(at(0)))
  }

  @Test func theDefaultEndStopsAtTheLimitAndAtTheNextLease() {
    let settings = LeaseSettings(defaultLength: .seconds(50))
    #expect(LeaseArithmetic.defaultEnd(start: at(10), settings: settings) == at(60))
    #expect(LeaseArithmetic.defaultEnd(start: at(10), settings: settings, limit: at(40)) == at(40))
    #expect(LeaseArithmetic.defaultEnd(start: at(10), settings: settings, next: at(30)) == at(30))
    #expect(LeaseArithmetic.defaultEnd(start: at(10), settings: settings, longest: .seconds(5)) == at(15))
    #expect(LeaseArithmetic.defaultEnd(start: .distantFuture, settings: settings) == .distantFuture)
    #expect(LeaseArithmetic.added(to: range(0, 10), endingAt: at(20)) == range(10, 20))
    #expect(LeaseArithmetic.added(to: range(0, 10), endingAt: at(5)) == nil)
  }

  @Test func aNoticeLiesInsideTheLeaseAndInTheFuture() {
    let notices: [Duration] = [.seconds(60), .seconds(10)]
    func next(_ end: Int, after now: Int) -> Timestamp? {
      LeaseArithmetic.nextNotice(for: range(0, end), notices, after: at(now))
    }
    #expect(next(100, after: 0) == at(40))
    #expect(next(100, after: 40) == at(90))
    #expect(next(100, after: 90) == nil)
    #expect(next(50, after: 0) == at(40), "the longer notice would be due before the lease begins")
    #expect(next(5, after: 0) == nil)
  }
}
