import Domain
import HTTPTypes
import Store
import Testing
import Wire

/// What an agent has heard by LLDP beside its work.
@Suite struct NeighborTests {
  private static let mac = "52:54:00:aa:00:01"
  private static let session = String(repeating: "s", count: 43)

  /// A node whose NIC is recorded on port n1, with an agent that has been told to erase.
  private func erasing(_ site: Site) async throws -> String {
    let node = try await site.node("n1")
    let port = try await site.call(
      .post, "/v1/ports",
      [
        "node_uuid": .string(node), "address": .string(Self.mac),
        "local_link_connection": ["switch_info": "sw0", "port_id": "n1"],
      ])
    try await site.database.write { session in
      let now = Site.now()
      try AgentStore.admit(node: node, workflow: "w", at: now, in: session)
      let token = try #require(try AgentStore.boot(mac: Self.mac, in: session)?.token)
      _ = try AgentStore.claim(token: token, mac: Self.mac, secret: Self.session, at: now, in: session)
      for id in ["w/1", "w/2"] {
        try AgentStore.give("erase", [:], id: id, node: node, workflow: "w", at: now, in: session)
      }
    }
    return port.json["uuid"]?.string ?? ""
  }
  private func report(_ site: Site, _ id: String, _ neighbors: JSON) async throws -> Int {
    try await site.agent(
      .post, "/agent/v1/result", ["id": .string(id), "ok": true, "output": ["disks": [], "neighbors": neighbors]],
      session: Self.session
    ).status
  }
  private func problem(_ site: Site, _ port: String) async throws -> String? {
    try await site.database.read { try PortStore.get(port, in: $0)?.wiringProblem }
  }

  @Test func abuse22_whatIsHeardIsCountedCutAndCleaned() async throws {
    try await withSite { site in
      let port = try await erasing(site)
      let many = (0..<300).map { _ in ["mac": .string(Self.mac), "lldp": [:]] as JSON }
      #expect(try await report(site, "w/1", .array(many)) == 400)
      for odd in ["text", [1, nil, ["mac": 5, "lldp": "x"]], ["mac": "n1"]] as [JSON] {
        #expect(try await report(site, "w/1", odd) == 204, "\(odd)")
        #expect(try await problem(site, port) == nil)
      }
      // A foreign NIC is none of this machine's.
      #expect(
        try await report(
          site, "w/2",
          [
            ["mac": "52:54:00:aa:00:99", "lldp": ["chassis_id": "c", "port_id": "n9"]],
            [
              "mac": .string(Self.mac),
              "lldp": [
                "chassis_id": .string(String(repeating: "A", count: 600)), "port_id": "n9\n#!ipxe", "evil": "x",
              ],
            ],
          ]) == 204)
      let said = try #require(try await problem(site, port))
      #expect(said.hasSuffix(" port n9 #!ipxe by LLDP") && said.utf8.count < 400, "\(said)")
    }
  }

  @Test func anotherRecordIsNewerThanWhatWasHeard() async throws {
    try await withSite { site in
      let port = try await erasing(site)
      let heard: JSON = [["mac": .string(Self.mac), "lldp": ["chassis_id": "c", "port_id": "n9"]]]
      #expect(try await report(site, "w/1", heard) == 204)
      #expect(try await problem(site, port) != nil)
      let renamed = try await site.call(
        .patch, "/v1/ports/\(port)", [["op": "add", "path": "/extra/rack", "value": "r1"]])
      #expect(renamed.status == 200)
      #expect(try await problem(site, port) != nil)
      // Also where the record was right and the cable was not.
      let again = try await site.call(
        .patch, "/v1/ports/\(port)", [["op": "replace", "path": "/local_link_connection/port_id", "value": "n1"]])
      #expect(again.status == 200)
      #expect(try await problem(site, port) == nil)
      let moved = try await site.call(
        .patch, "/v1/ports/\(port)", [["op": "replace", "path": "/local_link_connection/port_id", "value": "n9"]])
      #expect(moved.status == 200)
      #expect(try await problem(site, port) == nil)
      #expect(try await report(site, "w/2", heard) == 204)
      #expect(try await problem(site, port) == nil)
    }
  }
}
