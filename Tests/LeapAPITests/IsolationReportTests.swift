import Cryptography
import Domain
import Store
import Testing
import Wire

@testable import Conductor

/// The report of a lease through its whole life: what it tells, to whom, and who signed it.
@Suite struct IsolationReportTests {
  /// A machine that is wired to a switch, and a tenant's network.
  private func wired(_ site: LeaseSite) async throws -> (node: String, vif: String) {
    let node = try await site.enrol("n1")
    let vif = Identifier.uuid(), now = site.clock.now
    try await site.change(node) { $0.interfaces[.network] = "neutron" }
    try await site.database.write { session in
      var port = Port(uuid: Identifier.uuid(), nodeUUID: node, address: "52:54:00:00:00:01", createdAt: now)
      port.localLinkConnection = ["switch_info": "sw0", "port_id": "n1"]
      try PortStore.insert(port, in: session)
      try SwitchPortStore.want(
        .quarantine, on: SwitchPort(switchName: "sw0", port: "n1"), label: nil, at: now, in: session)
      let network = Network(projectID: "alpha", name: "net", physicalNetwork: "datacentre", vlan: 205, createdAt: now)
      try NetworkStore.insert(network, in: session)
      try NetworkPortStore.insert(
        NetworkPort(id: vif, networkID: network.id, projectID: "alpha", name: "vif", createdAt: now), in: session)
    }
    return (node, vif)
  }
  private func report(_ site: LeaseSite, _ lease: String, as token: String) async throws -> JSON {
    let answer = try await site.call(.get, "/v1/leases/\(lease)/isolation", as: token)
    #expect(answer.status == 200, "\(answer.shown)")
    let text = try #require(answer.body["report"]?.string)
    let key = try #require(answer.body["public_key"]?.string.flatMap { VerifyingKey(pem: $0) })
    let signature = try #require(answer.body["signature"]?.string.flatMap { Base64.bytes($0) })
    #expect(key.isValid(signature, for: Array(text.utf8)) && answer.body["key_id"]?.string == key.fingerprint)
    let ours = try await site.database.signingKey().publicKey
    #expect(key == ours)
    return try JSON(parsing: text)
  }
  private func lines(_ report: JSON) -> [String] {
    (report["records"]?.array ?? []).map { record in
      let carried = record["wanted"] ?? record["found"] ?? record["carries"]
      let what = carried?["native"]?.int.map { "\($0)" } ?? carried?["mode"]?.string ?? "-"
      return "\(record["kind"]?.string ?? "") \(what) \(record["workflow_kind"]?.string ?? "-")"
    }
  }

  @Test func aLeaseIsToldFromItsHandOverUntilTheMachineIsClean() async throws {
    let site = try await LeaseSite()
    let (node, vif) = try await wired(site)
    let lease = try await site.call(
      .post, "/v1/leases", ["resource_uuid": "n1", "project_id": "alpha"], as: site.token("owners")
    ).uuid
    try await site.settle()
    let (conductor, alpha) = (site.conductor, site.token("alpha"))
    #expect(lines(try await report(site, lease, as: alpha)) == ["begin quarantine start-lease"])

    try await site.database.write { session in
      var holder = try #require(try NodeStore.get(node, in: session))
      try conductor.attachVIF(networkPortID: vif, node: &holder, by: .system, in: session)
    }
    try await site.settle()
    await conductor.audit(try conductor.parts.switches.switchNamed("sw0"))
    let wired = try await report(site, lease, as: alpha)
    #expect(Array(lines(wired).dropFirst()) == ["change 205 attach-network", "read back 205 attach-network"])
    let change = try #require(wired["records"]?.array?[1])
    #expect(change["purpose"] == "tenant" && change["network_id"]?.string?.isEmpty == false)
    #expect(change["switch"] == "sw0" && change["port"] == "n1" && change["step"] == "attach-port")
    #expect(wired["is_final"] == false && wired["audits"]?.array?.count == 1)
    #expect(wired["audits"]?.array?.first?["audits"] == 1)

    #expect(try await site.call(.delete, "/v1/leases/\(lease)", as: alpha).status == 200)
    try await site.settle()
    let over = try await report(site, lease, as: alpha)
    #expect(over["is_final"] == true && over["lease"]?["status"] == "deleted")
    let end = lines(over).dropFirst(3)
    #expect(end.first == "change quarantine end-lease", "\(lines(over))")
    #expect(end.dropFirst().first == "read back quarantine end-lease")
    #expect(end.last?.hasPrefix("end quarantine") == true)
    #expect(over["summary"]?["drifts"] == 0 && over["summary"]?["failures"] == 0)
    // Nothing of what happens to the machine later is this lease's.
    try await site.database.write { [site] session in
      try IsolationStore.note(
        .drift, at: SwitchPort(switchName: "sw0", port: "n1"), label: nil, [:], at: site.clock.now, in: session)
    }
    #expect(lines(try await report(site, lease, as: alpha)) == lines(over))
  }

  @Test func itsPartiesAndAdministratorsReadItAndNobodyElse() async throws {
    let site = try await LeaseSite()
    _ = try await wired(site)
    let lease = try await site.call(
      .post, "/v1/leases", ["resource_uuid": "n1", "project_id": "alpha"], as: site.token("owners")
    ).uuid
    try await site.settle()
    for token in [site.token("alpha"), site.token("owners"), site.admin(), site.token("alpha", roles: ["reader"])] {
      _ = try await report(site, lease, as: token)
    }
    let path = "/v1/leases/\(lease)/isolation"
    let foreign = try await site.call(.get, path, as: site.token("beta"))
    let missing = try await site.call(.get, "/v1/leases/\(Identifier.uuid())/isolation", as: site.token("beta"))
    #expect(foreign.status == 404 && missing.status == 404)
    #expect(try await site.call(.get, path, as: nil).status == 401)
    #expect(try await site.call(.get, path + "?x=1", as: site.admin()).status == 400)
    #expect(try await site.call(.get, path + "/x", as: site.admin()).status == 404)
  }

  @Test func aFailureIsToldWithoutTheSitesAddresses() async throws {
    let site = try await LeaseSite()
    let (node, _) = try await wired(site)
    let lease = try await site.call(
      .post, "/v1/leases", ["resource_uuid": "n1", "project_id": "alpha"], as: site.token("owners")
    ).uuid
    try await site.settle()
    let parts = site.conductor.parts
    try await parts.noteFailure(
      of: ["n1": .quarantine], on: "sw0",
      .init(.unreachable, device: .networkSwitch("sw0"), detail: "unix:/run/secret/db.sock: timed out"), label: nil)
    let told = try await report(site, lease, as: site.token("alpha"))
    #expect(told["summary"]?["failures"] == 1 && !told.description.contains("db.sock"))
    #expect(told["records"]?.array?.last?["reason"]?.string?.contains("does not answer") == true)
    _ = node
  }

  @Test func aSubLeaseHasAReportOfItsOwn() async throws {
    let site = try await LeaseSite()
    _ = try await wired(site)
    let parent = try await site.call(
      .post, "/v1/leases", ["resource_uuid": "n1", "project_id": "alpha"], as: site.token("owners")
    ).uuid
    try await site.settle()
    let sub = try await site.call(
      .post, "/v1/leases", ["resource_uuid": "n1", "project_id": "beta"], as: site.token("alpha"))
    #expect(sub.status == 201, "\(sub.shown)")
    try await site.settle()
    try await site.database.write { [site] session in
      try IsolationStore.note(
        .drift, at: SwitchPort(switchName: "sw0", port: "n1"), label: nil, [:], at: site.clock.now, in: session)
    }
    let above = try await report(site, parent, as: site.token("owners"))
    let below = try await report(site, sub.uuid, as: site.token("beta"))
    #expect(below["summary"]?["drifts"] == 1 && above["summary"]?["drifts"] == 0)
    #expect(above["sub_leases"]?.array?.count == 1 && !above.description.contains(sub.uuid))
    #expect(!above.description.contains("beta"))
  }
}
