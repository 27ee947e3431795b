import Domain
import Testing
import Wire

@testable import Store

@Suite struct LeaseListTests {
  @Test func listsComeInPagesAndKeepTheirScope() async throws {
    let site = try await LeaseSite()
    let owner = site.token("owners")
    var own: [String] = []
    for index in 0..<7 {
      _ = try await site.enrol("n\(index)")
      site.clock.advance(by: .seconds(1))
      let lease = try await site.call(
        .post, "/v1/leases",
        [
          "resource_uuid": .string("n\(index)"), "project_id": index % 2 == 0 ? "alpha" : "beta",
          "purpose": index < 4 ? "course" : "project",
        ], as: owner)
      own.append(lease.uuid)
    }
    var pages: [String] = []
    var marker = ""
    while true {
      let page = try await site.call(
        .get, "/v1/leases?limit=3" + (marker.isEmpty ? "" : "&marker=\(marker)"), as: owner
      ).uuids("leases")
      pages += page
      guard let last = page.last else { break }
      marker = last
    }
    #expect(pages == own)
    let alpha = site.token("alpha")
    #expect(try await site.call(.get, "/v1/leases?limit=2", as: alpha).uuids("leases") == [own[0], own[2]])
    // abuse 26: another's lease is no marker.
    #expect(try await site.call(.get, "/v1/leases?marker=\(own[1])", as: alpha).status == 400)
    for wrong in ["limit=0", "limit=-1", "limit=x", "marker=nothing", "marker='--", "colour=1"] {
      #expect(try await site.call(.get, "/v1/leases?\(wrong)", as: alpha).status == 400, "\(wrong)")
    }
    #expect(try await site.call(.get, "/v1/leases?purpose=project", as: owner).uuids("leases") == Array(own[4...]))
    #expect(try await site.call(.get, "/v1/leases?resource_class=metal&limit=1", as: owner).uuids("leases") == [own[0]])
    #expect(try await site.call(.get, "/v1/leases?resource_class=wood", as: owner).uuids("leases").isEmpty)
    #expect(try await site.call(.get, "/v1/leases?resource_uuid=n3", as: owner).uuids("leases") == [own[3]])
    #expect(try await site.call(.get, "/v1/leases?view=all", as: site.admin()).uuids("leases") == own)
    let events = try await site.call(.get, "/v1/events?limit=2&last_event_id=2", as: owner)
    #expect(events.body["events"]?.array?.compactMap { $0["id"]?.int } == [3, 4])
    // abuse 16: what looks like SQL is a value.
    for text in ["'%20OR%201=1--", "%25", "x'%3BDROP%20TABLE%20leases%3B--"] {
      for name in ["purpose", "status", "offer_uuid", "resource_uuid", "resource_class", "resource_type"] {
        let answer = try await site.call(.get, "/v1/leases?\(name)=\(text)", as: owner)
        #expect(answer.status == 200 && answer.uuids("leases").isEmpty, "\(name)=\(text)")
      }
      #expect(try await site.call(.get, "/v1/offers?project_id=\(text)", as: owner).uuids("offers").isEmpty)
      #expect(try await site.call(.get, "/v1/leases/\(text)", as: owner).status == 404)
    }
    #expect(try await site.call(.get, "/v1/leases", as: owner).uuids("leases") == own)
  }

  @Test func aListOfAllThatEverWereComesInOneAnswer() async throws {
    let site = try await LeaseSite()
    let now = site.clock.now
    let all = try await site.database.write { session in
      try (0..<2300).map { index in
        let lease = Lease(
          uuid: Identifier.uuid(), projectID: index % 2 == 0 ? "alpha" : "beta", ownerID: "owners",
          resourceType: "test_node", resourceUUID: "r\(index)",
          time: TimeRange(now + .seconds(3600), now + .seconds(7200)), createdAt: now + .microseconds(index / 3))
        try LeaseStore.insert(lease, in: session)
        return (lease.createdAt, lease.uuid)
      }.sorted { $0 < $1 }.map(\.1)
    }
    let admin = site.admin()
    #expect(try await site.call(.get, "/v1/leases?status=any", as: admin).uuids("leases") == all)
    for limit in [999, 1000, 1001, 2000, 2299, 2300, 2301] {
      let page = try await site.call(.get, "/v1/leases?status=any&limit=\(limit)", as: admin).uuids("leases")
      #expect(page == Array(all.prefix(limit)), "limit=\(limit)")
    }
    let rest = try await site.call(.get, "/v1/leases?status=any&marker=\(all[299])", as: admin).uuids("leases")
    #expect(rest == Array(all[300...]))
    #expect(try await site.call(.get, "/v1/leases", as: site.token("alpha")).uuids("leases").count == 1150)
  }

  @Test func offersComeInPagesToo() async throws {
    let site = try await LeaseSite()
    var own: [String] = []
    for index in 0..<4 {
      _ = try await site.enrol("n\(index)")
      site.clock.advance(by: .seconds(1))
      own.append(
        try await site.call(.post, "/v1/offers", ["resource_uuid": .string("n\(index)")], as: site.token("owners")).uuid
      )
    }
    let alpha = site.token("alpha")
    #expect(try await site.call(.get, "/v1/offers?limit=3", as: alpha).uuids("offers") == Array(own[..<3]))
    #expect(try await site.call(.get, "/v1/offers?limit=3&marker=\(own[2])", as: alpha).uuids("offers") == [own[3]])
    #expect(try await site.call(.get, "/v1/offers?project_id=ghost", as: alpha).uuids("offers").isEmpty)
    #expect(try await site.call(.get, "/v1/offers?project_id=ghost", as: site.admin()).status == 404)
  }

  /// Every statement of the hot paths finds what it wants in an index: the cost does not grow with the leases that there were.
  @Test func noHotStatementReadsEveryLease() async throws {
    let site = try await LeaseSite()
    let now = site.clock.now
    let place = LeaseStore.Place(resourceType: "ironic_node", resourceUUID: "r", parentUUID: nil)
    let range = TimeRange(now, now + .seconds(1))
    var (live, party, name, ofOffer, children) = (
      LeaseStore.Filter(), LeaseStore.Filter(), LeaseStore.Filter(), LeaseStore.Filter(), LeaseStore.Filter()
    )
    live.statuses = .live
    live.limit = 10
    (party.statuses, party.partyID) = (.live, "p")
    name.name = "n"
    (ofOffer.statuses, ofOffer.offerUUID) = (.live, "o")
    (children.statuses, children.parentUUID) = (.live, "l")
    var events = EventStore.Filter()
    (events.afterID, events.partyID) = (5, "p")
    var offers = OfferStore.Filter()
    (offers.statuses, offers.limit) = (.open, 10)
    let queries: [(String, Query)] = [
      ("room for a lease", LeaseStore.firstQuery(at: place, endingAfter: now, except: nil)),
      ("availabilities", LeaseStore.takenQuery(at: place, within: range)),
      ("offers in the way", OfferStore.conflictsQuery(at: place, with: range)),
      ("what is to start", LeaseStore.dueToStartQuery(now, 10)), ("what is to end", LeaseStore.dueToEndQuery(now, 10)),
      ("who is to be told", LeaseStore.dueToNotifyQuery(now)), ("next", LeaseStore.nextDueQuery),
      ("being taken back", LeaseStore.endingQuery(resource: "r")),
      ("all being taken back", LeaseStore.endingQuery(resource: nil)), ("broken", LeaseStore.brokenQuery),
      ("repaired", LeaseStore.repairedQuery), ("a page", LeaseStore.query(live)),
      ("one's own", LeaseStore.query(party)),
      ("by name", LeaseStore.query(name)), ("of an offer", LeaseStore.query(ofOffer)),
      ("sub-leases", LeaseStore.query(children)), ("events", EventStore.query(events)),
      ("a page of offers", OfferStore.query(offers)),
    ]
    for (what, query) in queries {
      let plan = try await site.database.read { try $0.query(query.explained) { $0.text(3) } }
      for step in plan {
        let reads = step.hasPrefix("SCAN") && !step.contains("USING")
        // Nor all leases that ever were, in the order of an index, or all that somebody ever had.
        let readsHistory = ["leases_created", "leases_project ", "leases_owner "].contains { step.contains($0) }
        #expect(!reads && !readsHistory, "\(what): \(plan.joined(separator: "; "))")
      }
      if what == "room for a lease" || what == "a page" {
        #expect(!plan.contains { $0.contains("TEMP B-TREE") }, "\(what): \(plan)")
      }
    }
  }
}
