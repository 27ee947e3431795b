import Cryptography
import Domain
import Store
import Testing
import Wire

/// What was erased after a lease: who reads it, and that the site has signed it.
@Suite struct EraseRecordTests {
  private func lease(_ site: LeaseSite, to project: String) async throws -> String {
    let uuid = try await site.call(
      .post, "/v1/leases", ["resource_uuid": "n1", "project_id": .string(project)], as: site.token("owners")
    ).uuid
    try await site.settle()
    // Nobody has a machine for no time at all.
    site.clock.advance(by: .seconds(60))
    return uuid
  }
  private func end(_ site: LeaseSite, _ lease: String) async throws {
    #expect(try await site.call(.delete, "/v1/leases/\(lease)", as: site.token("owners")).status == 200)
    try await site.settle()
    // The next lease begins later than the last erasure ended.
    site.clock.advance(by: .seconds(60))
  }
  private func records(_ site: LeaseSite, _ token: String, _ query: String = "") async throws -> [String] {
    let answer = try await site.call(.get, "/v1/erase-records" + query, as: token)
    #expect(answer.status == 200, "\(answer.shown)")
    return answer.uuids("erase_records")
  }

  @Test func whoLeftAndWhoComesReadTheSameSignedRecord() async throws {
    let site = try await LeaseSite()
    let node = try await site.enrol("n1")
    let first = try await lease(site, to: "alpha")
    #expect(try await records(site, site.token("alpha")).isEmpty, "nothing was erased yet")
    try await end(site, first)
    let second = try await lease(site, to: "beta")

    let record = try #require(try await records(site, site.token("alpha")).first)
    for token in [site.token("beta"), site.token("owners"), site.admin(), site.token("alpha", roles: ["reader"])] {
      #expect(try await records(site, token) == [record])
      let answer = try await site.call(.get, "/v1/erase-records/\(record)", as: token)
      let text = try #require(answer.body["record"]?.string, "\(answer.shown)")
      let key = try #require(answer.body["public_key"]?.string.flatMap { VerifyingKey(pem: $0) })
      let signature = try #require(answer.body["signature"]?.string.flatMap { Base64.bytes($0) })
      #expect(key.isValid(signature, for: Array(text.utf8)) && !key.isValid(signature, for: Array((text + " ").utf8)))
      let told = try JSON(parsing: text)
      #expect(told["format"] == "steelyard-erase-record-1" && told["lease_uuid"] == .string(first))
      #expect(told["node"]?["uuid"] == .string(node) && told["mode"] == "full", "\(told)")
      // Who comes learns that the disks were erased, and not after whom.
      #expect(!text.contains("alpha"))
    }
    #expect(try await records(site, site.token("below")).isEmpty)
    #expect(try await records(site, site.token("beta"), "?lease=\(second)").isEmpty)
    #expect(try await records(site, site.token("beta"), "?node=\(node)&lease=\(first)") == [record])
    #expect(try await site.call(.get, "/v1/erase-records/\(record)", as: site.token("below")).status == 404)
    #expect(try await site.call(.get, "/v1/erase-records/\(record)", as: nil).status == 401)
    #expect(try await site.call(.get, "/v1/erase-records?x=1", as: site.admin()).status == 400)
    #expect(try await site.call(.get, "/v1/erase-records?limit=0", as: site.admin()).status == 400)

    // Each party reads what is between its own and the other's, and nothing of what comes after.
    try await end(site, second)
    let third = try await lease(site, to: "below")
    try await end(site, third)
    #expect(try await records(site, site.token("alpha")) == [record])
    #expect(try await records(site, site.token("beta")).count == 2)
    #expect(try await records(site, site.token("below")).count == 2)
    #expect(try await records(site, site.token("owners")).count == 3)
    #expect(try await records(site, site.token("owners"), "?limit=1").count == 1)
  }

  @Test func theDatabaseRefusesToChangeARecord() async throws {
    let site = try await LeaseSite()
    _ = try await site.enrol("n1")
    try await end(site, try await lease(site, to: "alpha"))
    for change in ["UPDATE erase_records SET document = '{}'", "DELETE FROM erase_records"] as [StaticString] {
      await #expect(throws: StoreError.self) {
        try await site.database.write { _ = try $0.execute(change, []) }
      }
    }
    #expect(try await records(site, site.admin()).count == 1)
  }
}
