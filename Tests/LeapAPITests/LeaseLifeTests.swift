import Domain
import Store
import Testing
import Wire

/// What happens to leases and their machines in the course of time.
@Suite struct LeaseLifeTests {
  private func lease(
    _ site: LeaseSite, _ node: String, to project: String, _ start: String? = nil, _ end: String? = nil,
    as token: String? = nil
  ) async throws -> LeaseSite.Answer {
    var body: JSONObject = ["resource_uuid": .string(node), "project_id": .string(project)]
    if let start { body["start_time"] = .string(start) }
    if let end { body["end_time"] = .string(end) }
    return try await site.call(.post, "/v1/leases", .object(body), as: token ?? site.token("owners"))
  }
  private func status(_ site: LeaseSite, _ lease: LeaseSite.Answer) async throws -> String {
    try await site.call(.get, "/v1/leases/\(lease.uuid)", as: site.admin()).body["status"]?.string ?? ""
  }

  @Test func aMachineGoesFromOneLeaseToTheNextByItself() async throws {
    let site = try await LeaseSite()
    let node = try await site.enrol("n1")
    let first = try await lease(site, "n1", to: "alpha", nil, "2026-11-21T09:00:00")
    let second = try await lease(site, "n1", to: "beta", "2026-11-21T09:00:00", "2026-11-21T10:00:00")
    try await site.settle()
    #expect(try await site.node(node).lessee == "alpha")
    #expect(try await status(site, first) == "active")
    #expect(try await status(site, second) == "created")

    try await site.advance(by: .seconds(3599))
    #expect(try await status(site, first) == "active", "not a second too early")
    try await site.advance(by: .seconds(1))

    #expect(try await status(site, first) == "expired")
    #expect(try await status(site, second) == "active")
    #expect(try await site.node(node).lessee == "beta")
    #expect(try await site.node(node).leaseUUID == second.uuid)
    let shown = try await site.call(.get, "/v1/leases/\(first.uuid)", as: site.token("alpha")).body
    #expect(shown["fulfill_time"] == "2026-11-21T08:00:00" && shown["expire_time"] == "2026-11-21T09:00:00")
    #expect(
      try await site.events(of: first.uuid) == [
        "lease.create.end", "lease.fulfill.start", "lease.fulfill.end", "lease.delete.start", "lease.delete.end",
      ])
    try await site.advance(by: .seconds(3600))
    #expect(try await site.node(node).lessee == nil)
    #expect(try await site.node(node).provisionState == .available)
  }

  @Test func aLeaseWaitsForAMachineThatIsUsedAndSaysWhy() async throws {
    let site = try await LeaseSite()
    let node = try await site.enrol("n1")
    try await site.change(node) { $0.provisionState = .active }
    let waiting = try await lease(site, "n1", to: "alpha")
    try await site.settle()
    let shown = try await site.call(.get, "/v1/leases/\(waiting.uuid)", as: site.token("alpha")).body
    #expect(shown["status"] == "wait fulfill")
    #expect(shown["status_reason"]?.string?.contains("still in use by who had it before") == true)
    #expect(try await lease(site, "n1", to: "beta").status == 409, "one that waits holds its time")
    #expect(try await site.node(node).lessee == nil)

    try await site.change(node) { $0.provisionState = .available }
    try await site.settle()
    #expect(try await status(site, waiting) == "active")
    #expect(
      try await site.call(.get, "/v1/leases/\(waiting.uuid)", as: site.token("alpha")).body["status_reason"]?.isNull
        == true)
  }

  @Test func aLeaseWhoseMachineBrokeSaysSoAndRecovers() async throws {
    let site = try await LeaseSite()
    let node = try await site.enrol("n1")
    let held = try await lease(site, "n1", to: "alpha")
    try await site.settle()
    try await site.change(node) {
      $0.fault = "power failure"
      $0.maintenance = true
      $0.lastError = Reason("The controller does not answer.", detail: "BMC 10.0.3.7 does not answer")
    }
    try await site.settle()
    let shown = try await site.call(.get, "/v1/leases/\(held.uuid)", as: site.token("alpha")).body
    #expect(shown["status"] == "error")
    #expect(shown["status_reason"] == "The machine is broken: The controller does not answer.")
    #expect(try await site.node(node).lessee == "alpha", "the lessee keeps it")
    #expect(try await lease(site, "n1", to: "beta").status == 409)

    try await site.change(node) { $0.fault = nil }
    try await site.settle()
    #expect(try await status(site, held) == "active")
    #expect(
      try await site.events(of: held.uuid).suffix(2) == ["lease.machine.error", "lease.machine.repaired"])
  }

  @Test func aMachineThatCannotBeCleanedIsNobodysUntilItIs() async throws {
    let site = try await LeaseSite()
    let node = try await site.enrol("n1")
    let first = try await lease(site, "n1", to: "alpha", nil, "2026-11-21T09:00:00")
    let second = try await lease(site, "n1", to: "beta", "2026-11-21T09:00:00", "2026-11-22T09:00:00")
    try await site.settle()
    try await site.database.write { [box = site.database.secrets] session in
      try NodeStore.setDriverInfo(
        ["fake_clean_fault": "refused: bad sector"], of: node, secrets: [], box: box, in: session)
    }
    try await site.advance(by: .seconds(3600))

    #expect(try await status(site, first) == "wait expire")
    #expect(try await status(site, second) == "wait fulfill")
    let shown = try await site.call(.get, "/v1/leases/\(first.uuid)", as: site.token("alpha")).body
    #expect(shown["expire_time"] == "2026-11-21T09:00:00", "what cleaning takes is not the lessee's time")
    #expect(shown["status_reason"]?.string?.hasPrefix("The machine could not be taken back") == true)
    #expect(try await site.node(node).lessee == nil)
    #expect(try await site.node(node).provisionState == .cleanFailed)
    #expect(try await lease(site, "n1", to: "beta", "2026-11-21T08:30:00", "2026-11-21T08:59:00").status == 400)

    // The administrator mends it.
    try await site.change(node) { node in
      node.provisionState = .available
      node.fault = nil
      node.maintenance = false
      node.lastError = nil
    }
    try await site.settle()
    #expect(try await status(site, first) == "expired")
    #expect(try await status(site, second) == "active")
    #expect(try await site.node(node).lessee == "beta")
  }

  @Test func abuse31_subLeasesAreBoundedAtAnyDepth() async throws {
    let site = try await LeaseSite()
    let node = try await site.enrol("n1")
    let (alpha, beta, below) = (site.token("alpha"), site.token("beta"), site.token("below"))
    let one = try await lease(site, "n1", to: "alpha", nil, "2026-11-24T00:00:00")
    try await site.settle()
    let two = try await lease(site, "n1", to: "beta", nil, "2026-11-23T00:00:00", as: alpha)
    #expect(two.body["parent_lease_uuid"]?.string == one.uuid && two.body["owner_id"] == "alpha")
    try await site.settle()
    #expect(try await site.node(node).lessee == "beta")
    let three = try await lease(site, "n1", to: "below", nil, nil, as: beta)
    #expect(three.body["parent_lease_uuid"]?.string == two.uuid)
    #expect(three.body["end_time"] == "2026-11-23T00:00:00", "no end is the parent's end, not seven days")
    try await site.settle()
    #expect(try await site.node(node).lessee == "below")

    // In time: neither at once nor by extending.
    let outside = try await lease(site, "n1", to: "alpha", nil, "2026-11-23T00:00:01", as: below)
    #expect(
      outside.status == 403
        && outside.fault
          == "You do not have permissions on ironic_node \(node) for the time range 2026-11-21 08:00:00 - 2026-11-23 00:00:01."
    )
    let extended = try await site.call(
      .patch, "/v1/leases/\(three.uuid)", ["end_time": "2026-11-23T00:00:01"], as: beta)
    #expect(extended.status == 403)
    // In rights: a sub-lessee neither sees nor ends what it came out of.
    for token in [beta, below] {
      #expect(try await site.call(.get, "/v1/leases/\(one.uuid)", as: token).status == (token == beta ? 404 : 404))
      #expect(try await site.call(.delete, "/v1/leases/\(one.uuid)", as: token).status == 404)
    }
    #expect(try await site.call(.delete, "/v1/leases/\(two.uuid)", as: below).status == 404)
    #expect(try await lease(site, "n1", to: "beta", nil, nil, as: site.token("stranger")).status == 404)
    #expect(try await site.call(.get, "/v1/nodes", as: alpha).uuids("nodes") == [node], "who sub-leased it sees it")

    // The middle ends: what came out of it ends too, and the machine goes back to where it came from.
    #expect(try await site.call(.delete, "/v1/leases/\(two.uuid)", as: alpha).status == 200)
    #expect(try await site.node(node).lessee == nil, "nobody has it before it is clean")
    try await site.settle()
    #expect(try await status(site, three) == "deleted")
    #expect(try await status(site, two) == "deleted")
    #expect(try await status(site, one) == "active")
    #expect(try await site.node(node).lessee == "alpha")
    #expect(try await site.node(node).leaseUUID == one.uuid)
    for ended in [two, three] {
      #expect(try await site.events(of: ended.uuid).suffix(2) == ["lease.delete.start", "lease.delete.end"])
    }

    // The store refuses what the routes would not ask for.
    let rogue = Lease(
      uuid: Identifier.uuid(), projectID: "beta", ownerID: "alpha", resourceUUID: node,
      time: TimeRange(site.clock.now, site.clock.now + .seconds(10_000_000)), parentUUID: one.uuid,
      createdAt: site.clock.now)
    await #expect(throws: StoreError.self) { try await site.database.write { try LeaseStore.insert(rogue, in: $0) } }
    var foreign = rogue
    foreign.time = TimeRange(site.clock.now, site.clock.now + .seconds(10))
    foreign.ownerID = "owners"
    await #expect(throws: StoreError.self, "only the lessee makes sub-leases") {
      try await site.database.write { [foreign] in try LeaseStore.insert(foreign, in: $0) }
    }
  }

  @Test func whatWasMadeOutOfALeaseEndsWithItAndLeavesItsEvents() async throws {
    let site = try await LeaseSite()
    _ = try await site.enrol("n1")
    let parent = try await lease(site, "n1", to: "alpha", nil, "2026-11-21T10:00:00")
    try await site.settle()
    let alpha = site.token("alpha")
    let early = try await site.call(
      .post, "/v1/offers", ["resource_uuid": "n1", "end_time": "2026-11-21T09:00:00"], as: alpha)
    let late = try await site.call(
      .post, "/v1/offers", ["resource_uuid": "n1", "start_time": "2026-11-21T09:00:00"], as: alpha)
    let child = try await site.call(.post, "/v1/offers/\(late.uuid)/claim", [:], as: site.token("beta"))
    #expect(late.body["end_time"] == "2026-11-21T10:00:00" && child.body["end_time"] == "2026-11-21T10:00:00")

    try await site.advance(by: .seconds(3600))
    #expect(try await status(site, child) == "active")
    #expect(try await site.events(of: early.uuid) == ["offer.create.end", "offer.expire.end"])
    try await site.advance(by: .seconds(3600))

    #expect(try await status(site, parent) == "expired")
    #expect(try await status(site, child) == "expired")
    #expect(try await site.events(of: late.uuid) == ["offer.create.end", "offer.expire.end"])
    #expect(try await site.events(of: child.uuid).suffix(2) == ["lease.delete.start", "lease.delete.end"])
  }

  @Test func aWithdrawnOfferTakesItsLeasesAlongUnlessTold() async throws {
    for keeps in [false, true] {
      let site = try await LeaseSite()
      _ = try await site.enrol("n1")
      let owner = site.token("owners")
      let offer = try await site.call(.post, "/v1/offers", ["resource_uuid": "n1"], as: owner)
      let claimed = try await site.call(.post, "/v1/offers/\(offer.uuid)/claim", [:], as: site.token("alpha"))
      try await site.settle()

      #expect(try await site.call(.delete, "/v1/offers/\(offer.uuid)?keep_leases=\(keeps)", as: owner).status == 200)
      try await site.settle()

      #expect(try await status(site, claimed) == (keeps ? "active" : "deleted"))
      #expect(try await site.events(of: offer.uuid) == ["offer.create.end", "offer.delete.end"])
      if keeps {
        let more = try await site.call(
          .patch, "/v1/leases/\(claimed.uuid)", ["end_time": "2026-11-29T00:00:00"], as: site.token("alpha"))
        #expect(more.status == 409, "what is no longer offered is not to be had longer")
      }
    }
    var settings = LeaseSettings()
    settings.keepsLeasesOfWithdrawnOffers = true
    let site = try await LeaseSite(settings)
    _ = try await site.enrol("n1")
    let offer = try await site.call(.post, "/v1/offers", ["resource_uuid": "n1"], as: site.token("owners"))
    let claimed = try await site.call(.post, "/v1/offers/\(offer.uuid)/claim", [:], as: site.token("alpha"))
    #expect(try await site.call(.delete, "/v1/offers/\(offer.uuid)", as: site.token("owners")).status == 200)
    #expect(try await status(site, claimed) == "created")
  }

  @Test func ownersAndLesseesExtendTheOneWithinWhatALeaseMayLastInAll() async throws {
    let site = try await LeaseSite()
    _ = try await site.enrol("n1")
    let (owner, alpha) = (site.token("owners"), site.token("alpha"))
    let held = try await lease(site, "n1", to: "alpha", nil, "2026-11-22T08:00:00")
    func extend(_ end: String, as token: String) async throws -> LeaseSite.Answer {
      try await site.call(.patch, "/v1/leases/\(held.uuid)", ["end_time": .string(end)], as: token)
    }
    try await site.settle()
    #expect(try await extend("2026-12-01T08:00:00.5Z", as: alpha).body["end_time"] == "2026-12-01T08:00:00.500000")
    try await site.advance(by: .seconds(86_400 * 9))
    let tooMuch = try await extend("2026-12-12T08:00:01", as: alpha)
    #expect(tooMuch.status == 403 && tooMuch.fault.hasSuffix("The max time range is 21 days."))
    #expect(try await extend("2026-12-12T08:00:00", as: alpha).status == 200)
    #expect(try await extend("2026-12-15T08:00:00", as: owner).status == 200, "the owner gives as much again from now")
    #expect(try await extend("2026-12-25T08:00:00", as: owner).status == 403)
    #expect(try await extend("2027-12-25T08:00:00", as: site.admin()).status == 200)
    #expect(try await extend("2026-12-13T08:00:00", as: alpha).status == 200, "shorter is always allowed")
    #expect(try await extend("2026-12-14T08:00:00", as: site.token("alpha", roles: ["reader"])).status == 403)
    #expect(try await extend("2026-12-14T08:00:00", as: site.token("beta")).status == 404)
    #expect(try await extend("2026-11-25T08:00:00", as: alpha).status == 400)
  }

  @Test func anOfferMaySetAShorterLimit() async throws {
    let site = try await LeaseSite()
    _ = try await site.enrol("n1")
    let owner = site.token("owners")
    for wrong: JSON in ["soon", 0, -1, 1_000_000, true] {
      let offer = try await site.call(
        .post, "/v1/offers", ["resource_uuid": "n1", "properties": ["max_lease_time": wrong]], as: owner)
      #expect(offer.status == 400, "\(wrong)")
    }
    let offer = try await site.call(
      .post, "/v1/offers", ["resource_uuid": "n1", "properties": ["max_lease_time": 2]], as: owner)
    let alpha = site.token("alpha")
    let long = try await site.call(
      .post, "/v1/offers/\(offer.uuid)/claim", ["end_time": "2026-11-23T08:00:01"], as: alpha)
    #expect(long.status == 403 && long.fault.hasSuffix("The max time range is 2 days."))
    let claimed = try await site.call(.post, "/v1/offers/\(offer.uuid)/claim", [:], as: alpha)
    #expect(claimed.body["end_time"] == "2026-11-23T08:00:00", "no end is the offer's limit, not seven days")
    let extended = try await site.call(
      .patch, "/v1/leases/\(claimed.uuid)", ["end_time": "2026-11-23T08:00:01"], as: alpha)
    #expect(extended.status == 403)
  }

  @Test func thePartiesAreToldBeforeTheEnd() async throws {
    let site = try await LeaseSite(LeaseSettings(notices: [.seconds(600), .seconds(60)]))
    _ = try await site.enrol("n1")
    let held = try await lease(site, "n1", to: "alpha", nil, "2026-11-21T09:00:00")
    func notices() async throws -> Int {
      try await site.events(of: held.uuid).filter { $0 == "lease.expire.notice" }.count
    }
    try await site.advance(by: .seconds(2999))
    #expect(try await notices() == 0)
    #expect(try await site.conductor.runLeases() == .seconds(1))
    try await site.advance(by: .seconds(1))
    #expect(try await notices() == 1)
    // A longer lease is told anew, at its new end; the server's rest does not lose one.
    _ = try await site.call(
      .patch, "/v1/leases/\(held.uuid)", ["end_time": "2026-11-21T10:00:00"], as: site.token("owners"))
    try await site.advance(by: .seconds(3590))
    #expect(try await notices() == 1, "09:49:50")
    site.clock.advance(by: .seconds(30))
    try await site.crash()
    try await site.settle()
    #expect(try await notices() == 2, "09:50:20")
    try await site.advance(by: .seconds(560))
    #expect(try await notices() == 3, "09:59:40")
  }

  @Test func anotherOwnerWaitsForTheLeasesToEnd() async throws {
    let site = try await LeaseSite()
    let node = try await site.enrol("n1")
    let held = try await lease(site, "n1", to: "alpha", nil, "2026-11-22T00:00:00")
    let later = try await lease(site, "n1", to: "beta", "2026-11-23T00:00:00", "2026-11-24T00:00:00")
    try await site.settle()
    let before = try await site.node(node)
    await #expect(throws: (any Error).self) {
      try await site.database.write { [conductor = site.conductor] session in
        try conductor.setOwner("beta", of: before, isForced: false, in: session)
      }
    }
    try await site.database.write { [conductor = site.conductor] session in
      try conductor.setOwner("beta", of: before, isForced: true, in: session)
    }
    #expect(try await site.node(node).owner == "owners", "not while the machine is being taken back")
    let meanwhile = try await lease(site, "n1", to: "alpha", "2026-11-25T00:00:00", "2026-11-26T00:00:00")
    #expect(meanwhile.status == 409 && meanwhile.fault.contains("gets another owner"))

    try await site.settle()
    #expect(try await site.node(node).owner == "beta")
    #expect(try await site.node(node).lessee == nil)
    #expect(try await status(site, held) == "deleted")
    #expect(try await status(site, later) == "deleted")
    #expect(try await lease(site, "n1", to: "alpha").status == 404, "it is not the old owner's any more")
    #expect(try await lease(site, "n1", to: "alpha", as: site.token("beta")).status == 201)
  }

  @Test func portsThatWereMadeForTheMachineDieWithTheLease() async throws {
    let site = try await LeaseSite()
    let node = try await site.enrol("n1")
    let held = try await lease(site, "n1", to: "alpha")
    try await site.settle()
    let now = site.clock.now
    let names = ["esi-n1-net", "esi-n1-net-kept", "esi-n2-net", "own", "noted", "foreign"]
    try await site.database.write { session in
      let network = Network(projectID: "alpha", name: "net", physicalNetwork: "datacentre", vlan: 200, createdAt: now)
      try NetworkStore.insert(network, in: session)
      for name in names {
        var port = NetworkPort(
          id: name, networkID: network.id, projectID: name == "foreign" ? "beta" : "alpha",
          name: name == "foreign" ? "esi-n1-other" : name, createdAt: now)
        port.deviceOwner = name == "esi-n1-net-kept" ? "compute:nova" : "baremetal:none"
        try NetworkPortStore.insert(port, in: session)
      }
    }
    try await site.change(node) { $0.extra = ["metalsmith_created_ports": ["noted", "foreign"]] }

    #expect(try await site.call(.delete, "/v1/leases/\(held.uuid)", as: site.token("alpha")).status == 200)
    try await site.settle()

    let left = try await site.database.read { try NetworkPortStore.list(in: $0).map(\.id) }
    #expect(Set(left) == ["esi-n1-net-kept", "esi-n2-net", "own", "foreign"])
  }

  @Test func abuse29_aLeaseThatEndedAMillisecondAgoGivesNothing() async throws {
    let site = try await LeaseSite()
    let node = try await site.enrol("n1")
    let held = try await lease(site, "n1", to: "alpha", nil, "2026-11-21T09:00:00")
    try await site.settle()
    let alpha = site.token("alpha")
    #expect(try await site.call(.get, "/v1/nodes/n1", as: alpha).status == 200)
    try await site.database.write { [now = site.clock.now] session in
      try ConsoleTokenStore.insert(
        digest: "d", node: node, lease: held.uuid, until: now + .seconds(100_000), in: session)
    }

    site.clock.advance(by: .seconds(3600))
    _ = try await site.conductor.runLeases()

    #expect(try await site.call(.get, "/v1/nodes/n1", as: alpha).status == 404)
    #expect(
      try await site.call(.post, "/v1/leases", ["resource_uuid": "n1", "project_id": "beta"], as: alpha).status == 404)
    #expect(
      try await site.call(.post, "/v1/console_auth_tokens", ["node_uuid_or_name": "n1"], as: alpha).status == 404)
    let token = try await site.database.write { [now = site.clock.now] in
      try ConsoleTokenStore.take(digest: "d", at: now, in: $0)
    }
    #expect(token == nil)
    try await site.settle()
  }

  @Test func filesAndNamesAreLeasedWhereTheSiteSaysSo() async throws {
    let site = try await LeaseSite()
    for type in ["dummy_node", "test_node"] {
      let refused = try await site.call(
        .post, "/v1/offers", ["resource_uuid": "1718", "resource_type": .string(type)], as: site.token("owners"))
      #expect(refused.status == 400 && refused.fault == "\(type) resource type unknown.")
    }

    var settings = LeaseSettings()
    settings.dummyFolder = site.folder + "/dummies"
    settings.hasTestNodes = true
    try makeFolder(settings.dummyFolder ?? "")
    try writeText(
      #"{"project_owner_id": "owners", "properties": {"k": 1}, "server_config": {"cores": 16}}"#,
      to: "\(settings.dummyFolder ?? "")/1718")
    let other = try await LeaseSite(settings)
    let (owner, alpha) = (other.token("owners"), other.token("alpha"))
    let dummy: JSON = ["resource_uuid": "1718", "resource_type": "dummy_node"]
    let offer = try await other.call(.post, "/v1/offers", dummy, as: owner)
    #expect(
      offer.status == 201 && offer.body["resource"] == "dummy-node-1718" && offer.body["resource_class"] == "fake")
    #expect(offer.body["resource_properties"] == ["k": 1])
    let again = try await other.call(.post, "/v1/offers", dummy, as: owner)
    #expect(again.status == 409 && again.fault == "Time conflict for dummy_node 1718.")
    let claimed = try await other.call(.post, "/v1/offers/\(offer.uuid)/claim", [:], as: alpha)
    try await other.settle()
    #expect(try await status(other, claimed) == "active")
    let sub = try await other.call(
      .post, "/v1/leases", ["resource_uuid": "1718", "resource_type": "dummy_node", "project_id": "beta"], as: alpha)
    #expect(sub.status == 201 && sub.body["parent_lease_uuid"]?.string == claimed.uuid)
    try await other.settle()
    #expect(try await other.call(.delete, "/v1/offers/\(offer.uuid)", as: owner).status == 200)
    #expect(try await status(other, claimed) == "deleted")
    #expect(try await status(other, sub) == "deleted")

    // Foreign and nonexistent are the same words; a path is no name.
    let foreign = try await other.call(.post, "/v1/offers", dummy, as: site.token("beta"))
    #expect(foreign.status == 401, "another site's token")
    for id in ["1718", "nothing", "../site.db", "..", "", ".hidden", "a/b"] {
      let refused = try await other.call(
        .post, "/v1/offers", ["resource_uuid": .string(id), "resource_type": "dummy_node"], as: other.token("beta"))
      #expect(refused.status == (id.isEmpty ? 400 : 404), "\(id)")
      guard !id.isEmpty else { continue }
      #expect(refused.fault == "Access was denied to dummy_node \(id). No such file or directory")
    }
    let test = try await other.call(
      .post, "/v1/leases", ["resource_uuid": "x", "resource_type": "test_node", "project_id": "alpha"],
      as: other.admin())
    #expect(test.status == 201 && test.body["owner_id"] == "12345" && test.body["resource_type"] == "test_node")
    try removeFile("\(settings.dummyFolder ?? "")/1718")
    let gone = try await other.call(.get, "/v1/offers/\(offer.uuid)", as: owner)
    #expect(gone.body["resource"] == "unknown-name" && gone.body["resource_class"] == "unknown-class")
    try removeFile(settings.dummyFolder ?? "")
  }
}
