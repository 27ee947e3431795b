import Store
import Testing
import Wire

@Suite struct OfferTests {
  @Test func anOwnerOffersANodeAndATenantClaimsIt() async throws {
    let site = try await LeaseSite()
    let node = try await site.enrol("n1")
    let (owner, alpha) = (site.token("owners"), site.token("alpha"))

    let offer = try await site.call(.post, "/v1/offers", ["resource_uuid": "n1", "name": "o1"], as: owner)
    #expect(offer.status == 201 && offer.body["status"] == "available" && offer.body["resource_uuid"]?.string == node)
    #expect(offer.body["end_time"] == "9999-12-31T23:59:59.999999" && offer.body["project"] == "the-owners")
    #expect(offer.body["availabilities"] == [["2026-11-21T08:00:00", "9999-12-31T23:59:59.999999"]])
    #expect(offer.body["resource_properties"] == ["cpus": 4])
    #expect(
      offer.body.object?.keys == [
        "name", "uuid", "project_id", "project", "lessee_id", "lessee", "resource_type", "resource_uuid", "resource",
        "resource_class", "resource_properties", "start_time", "end_time", "status", "properties", "availabilities",
        "parent_lease_uuid",
      ])
    #expect(try await site.call(.get, "/v1/offers", as: alpha).uuids("offers") == [offer.uuid])
    #expect(try await site.call(.get, "/v1/offers/o1", as: alpha).uuid == offer.uuid)

    let lease = try await site.call(.post, "/v1/offers/o1/claim", [:], as: alpha)
    #expect(lease.status == 201 && lease.body["status"] == "created" && lease.body["offer_uuid"]?.string == offer.uuid)
    #expect(
      lease.body["end_time"] == "2026-11-28T08:00:00" && lease.body["owner_id"] == "owners"
        && lease.body["lessee"] == nil)
    let again = try await site.call(.post, "/v1/offers/\(offer.uuid)/claim", [:], as: site.token("beta"))
    #expect(again.status == 409)
    #expect(
      again.fault
        == "Offer \(offer.uuid) has no availabilities at given time range 2026-11-21 08:00:00, 2026-11-28 08:00:00.")
    let left = try await site.call(.get, "/v1/offers/o1", as: alpha)
    #expect(left.body["availabilities"] == [["2026-11-28T08:00:00", "9999-12-31T23:59:59.999999"]])
    let now = try await site.call(
      .get, "/v1/offers?available_start_time=2026-11-21T08:00:00&available_end_time=9999-12-31T00:00:00", as: alpha)
    #expect(now.uuids("offers").isEmpty)

    #expect(
      try await site.call(.delete, "/v1/offers/o1", as: alpha).fault == "Access was denied to offer \(offer.uuid).")
    let gone = try await site.call(.delete, "/v1/offers/o1", as: owner)
    #expect(gone.status == 200 && gone.body == .null)
    #expect(try await site.call(.get, "/v1/leases/\(lease.uuid)", as: alpha).body["status"] == "deleted")
    let claimed = try await site.call(.post, "/v1/offers/o1/claim", [:], as: alpha)
    #expect(claimed.status == 404 && claimed.fault == "Offer with name or uuid o1 not found.")
  }

  @Test func refusalsAreUpstreams() async throws {
    let site = try await LeaseSite()
    let node = try await site.enrol("n1")
    let (owner, alpha) = (site.token("owners"), site.token("alpha"))
    func create(_ body: JSON, as token: String? = nil) async throws -> LeaseSite.Answer {
      try await site.call(.post, "/v1/offers", body, as: token ?? owner)
    }
    let range = try await create([
      "resource_uuid": "n1", "start_time": "2027-01-02T00:00:00", "end_time": "2027-01-01T00:00:00",
    ])
    #expect(
      range.status == 400
        && range.fault
          == "Attempted to create an offer resource with an invalid Start Time and End Time. Start Time must be strictly less than End Time. Got 2027-01-02 00:00:00, 2027-01-01 00:00:00."
    )
    #expect(range.body["faultcode"] == "Client" && range.body["debuginfo"]?.isNull == true)
    #expect(
      try await create(["resource_uuid": "n1", "status": "available"]).fault.hasSuffix("Cannot set read only field."))
    #expect(
      try await create(["resource_uuid": "n1", "colour": 1]).fault == "Unknown attribute for argument new_offer: colour"
    )
    #expect(try await create([:]).status == 400)
    #expect(try await create(["resource_uuid": "n1", "end_time": "soon"]).status == 400)
    let type = try await create(["resource_uuid": "n1", "resource_type": "toaster"])
    #expect(type.status == 400 && type.fault == "toaster resource type unknown.")
    let lessee = try await create(["resource_uuid": "n1"], as: site.token("alpha", roles: ["esi_leap_lessee"]))
    #expect(lessee.status == 403 && lessee.fault == "Access was denied to esi_leap:offer:create.")
    let nobody = try await site.call(.get, "/v1/offers", as: site.token("alpha", roles: ["other"]))
    #expect(nobody.status == 403 && nobody.fault == "Access was denied to esi_leap:offer:get_all.")
    // Another's node and one that is not there are the same.
    let foreign = try await create(["resource_uuid": .string(node)], as: alpha)
    let unknown = Identifier.uuid()
    let nonexistent = try await create(["resource_uuid": .string(unknown)], as: alpha)
    #expect(foreign.status == 404 && foreign.fault.contains("Access was denied to ironic_node \(node)."))
    #expect(
      nonexistent.fault
        == foreign.fault.split(separator: node, omittingEmptySubsequences: false).joined(separator: unknown))
    #expect(nonexistent.status == foreign.status)

    #expect(try await create(["resource_uuid": "n1"]).status == 201)
    let overlap = try await create(["resource_uuid": "n1"])
    #expect(overlap.status == 409 && overlap.fault == "Time conflict for ironic_node \(node).")
    #expect(try await site.call(.get, "/v1/offers?colour=1", as: alpha).fault == "Unknown argument: \"colour\"")
    #expect(try await site.call(.get, "/v1/offers?start_time=2027-01-01T00:00:00", as: alpha).status == 400)
    #expect(try await site.call(.get, "/v1/offers", as: nil).status == 401)
    #expect(try await site.call(.get, "/", as: nil).body["name"] == "ESI Leap API")
    #expect(try await site.call(.get, "/v1", as: alpha).status == 300)
    #expect(try await site.call(.post, "/v1/console_auth_tokens", [:], as: alpha).status == 400)
  }

  @Test func anOfferForOneProjectIsItsAndThatOfThoseBelow() async throws {
    let site = try await LeaseSite()
    _ = try await site.enrol("n1")
    let offer = try await site.call(
      .post, "/v1/offers", ["resource_uuid": "n1", "lessee_id": "the-alpha"], as: site.token("owners"))
    #expect(offer.body["lessee"] == "the-alpha" && offer.body["lessee_id"] == "alpha")

    for project in ["alpha", "below", "owners"] {
      #expect(
        try await site.call(.get, "/v1/offers", as: site.token(project)).uuids("offers") == [offer.uuid], "\(project)")
    }
    let beta = site.token("beta")
    #expect(try await site.call(.get, "/v1/offers?status=any", as: beta).uuids("offers").isEmpty)
    #expect(try await site.call(.get, "/v1/offers/\(offer.uuid)", as: beta).status == 404)
    #expect(try await site.call(.post, "/v1/offers/\(offer.uuid)/claim", [:], as: beta).status == 404)
    #expect(try await site.call(.post, "/v1/offers/\(offer.uuid)/claim", [:], as: site.token("below")).status == 201)
  }

  @Test func anOfferIsVoidWhenItsNodeGoesToAnotherOwner() async throws {
    let site = try await LeaseSite()
    let node = try await site.enrol("n1")
    let offer = try await site.call(.post, "/v1/offers", ["resource_uuid": "n1"], as: site.token("owners"))
    try await site.database.write { session in
      guard var moved = try NodeStore.get(node, in: session) else { return }
      moved.owner = "beta"
      try NodeStore.update(moved, in: session)
    }
    #expect(try await site.call(.post, "/v1/offers/\(offer.uuid)/claim", [:], as: site.token("alpha")).status == 409)
  }
}
