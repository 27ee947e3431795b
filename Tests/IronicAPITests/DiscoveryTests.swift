import Conductor
import Domain
import HTTPTypes
import Store
import Testing
import Wire
import Workflows

/// Unknown machines on the provisioning network: what they get, what is made of them, and what a hostile one cannot do. The
/// workflow to its end is among the crash tests' scenarios.
@Suite struct DiscoveryTests {
  private static let mac = "52:54:00:dd:00:01"
  private static let secret = String(repeating: "s", count: 43)
  private static let settings = DiscoverySettings()

  private func token(_ site: Site, _ mac: String = mac) async throws -> String? {
    let words = try await site.agent(.get, "/boot/ipxe?mac=\(mac)").text.split(separator: " ")
    return words.count == 3 ? String(words[1]) : nil
  }
  private func claim(
    _ site: Site, _ token: String?, mac: String = mac, secret: String = secret, inventory: JSON = [:]
  ) async throws -> Site.Answer {
    try await site.agent(
      .post, "/agent/v1/claim",
      [
        "token": .string(token ?? ""), "mac": .string(mac), "secret": .string(secret),
        "version": .int(AgentProtocol.version),
        "inventory": inventory,
      ])
  }
  private func nodes(_ site: Site) async throws -> Int {
    try await site.call(.get, "/v1/nodes").json["nodes"]?.array?.count ?? -1
  }
  private static let inventory: JSON = [
    "cpus": 8, "memory_mb": 65536, "cpu_arch": "x86_64", "boot_mode": "uefi", "bmc_address": "192.0.2.7",
    "bmc_mac": "52:54:00:dd:00:99",
    "system": ["vendor": "Maker\n#!ipxe", "product": "$(reboot)", "serial": "'; DROP TABLE nodes; --"],
    "disks": [["name": "/dev/nvme0n1", "size_bytes": .int(500 << 30)]],
    "interfaces": [
      ["name": "eth0", "mac": .string(mac)], ["name": "eth1", "mac": "52:54:00:DD:00:02"],
      ["name": "eth2", "mac": "not a mac"],
    ],
  ]

  @Test func offByDefaultAnUnknownMachineGetsNothing() async throws {
    try await withSite { site in
      let none = try await token(site)
      #expect(none == nil)
      #expect(try await claim(site, String(repeating: "x", count: 43)).status == 403)
      #expect(try await nodes(site) == 0)
    }
  }

  @Test func anUnknownMachineIsANodeThatWaitsForTheAdministrator() async throws {
    try await withSite(discovery: Self.settings) { site in
      let token = try #require(try await token(site))
      #expect(try await self.token(site) == token, "iPXE may ask twice")
      #expect(try await nodes(site) == 0, "a boot request alone makes nothing")
      let claimed = try await claim(site, token, inventory: Self.inventory)
      #expect(claimed.status == 200 && claimed.json["session"]?.string == Self.secret)
      let uuid = claimed.json["node"]?.string ?? ""

      let node = try await site.call(.get, "/v1/nodes/\(uuid)").json
      #expect(node["provision_state"] == "enroll" && node["driver"] == "ipmi" && node["owner"] == .null)
      #expect(node["driver_info"] == ["ipmi_address": "192.0.2.7"] && node["reservation"]?.string != nil)
      #expect(node["properties"]?["cpus"] == 8 && node["properties"]?["local_gb"] == 500)
      #expect(node["properties"]?["vendor"] == "Maker #!ipxe")
      #expect(node["description"]?.string?.contains("Discovered") == true)
      let ports = try await site.call(.get, "/v1/nodes/\(uuid)/ports").json["ports"]?.array ?? []
      #expect(Set(ports.compactMap { $0["address"]?.string }) == [Self.mac, "52:54:00:dd:00:02"])
      let inventory = try await site.call(.get, "/v1/nodes/\(uuid)/inventory").json["inventory"]
      #expect(inventory?["bmc_address"] == "192.0.2.7" && inventory?["bmc_mac"] == "52:54:00:dd:00:99")
      #expect(
        try await site.database.read { try WorkflowStore.open(in: $0).map(\.kind) } == ["discover-node"])

      // It is known now, and nobody else's business.
      for mac in [Self.mac, "52:54:00:dd:00:02"] { #expect(try await self.token(site, mac) == nil) }
      for project in [Site.owner, Site.other] {
        #expect(try await site.call(.get, "/v1/nodes/\(uuid)", as: site.token(project)).status == 404)
        #expect(try await site.call(.get, "/v1/nodes", as: site.token(project)).json["nodes"] == [])
      }
      // The agent's session is like any other's: it may ask for commands, and for no files.
      let command = try await site.agent(.get, "/agent/v1/command?wait=0", session: Self.secret)
      #expect(command.status == 204)
      #expect(try await site.agent(.get, "/agent/v1/image/x", session: Self.secret).status == 404)
    }
  }

  @Test(
    arguments: [
      ("2001:db8::7", "2001:db8::7"), ("fe80::1%eth0", nil), ("$(reboot)", nil), ("", nil),
    ] as [(String, String?)])
  func aControllerWithoutVersionFourIsTakenByVersionSix(_ address: String, _ taken: String?) async throws {
    try await withSite(discovery: Self.settings) { site in
      let inventory: JSON = ["bmc_address": .null, "bmc_v6address": .string(address)]
      let claimed = try await claim(site, try await token(site), inventory: inventory)
      let node = try await site.call(.get, "/v1/nodes/\(claimed.json["node"]?.string ?? "")").json
      #expect(node["provision_state"] == "enroll" && node["driver_info"]?["ipmi_address"]?.string == taken)
    }
  }

  @Test func aTokenIsOfOneNICAndOneMachine() async throws {
    try await withSite(discovery: Self.settings) { site in
      let token = try #require(try await token(site))
      #expect(try await claim(site, token, mac: "52:54:00:dd:00:09").status == 403)
      #expect(try await claim(site, String(token.dropLast()) + "?").status == 403)
      #expect(try await nodes(site) == 0)
      #expect(try await claim(site, token).status == 200)
      // Its answer was lost; and somebody else who heard the token.
      #expect(try await claim(site, token).status == 200)
      #expect(try await claim(site, token, secret: String(repeating: "e", count: 43)).status == 403)
      #expect(try await nodes(site) == 1)
    }
  }

  @Test func aMachineThatIsKnownByAnotherNICIsNotNew() async throws {
    try await withSite(discovery: Self.settings) { site in
      let known = try await site.node("n1", owner: Site.owner)
      try await site.database.write { session in
        try PortStore.insert(
          Port(uuid: Identifier.uuid(), nodeUUID: known, address: "52:54:00:dd:00:02", createdAt: Site.now()),
          in: session)
      }
      #expect(try await claim(site, try await token(site), inventory: Self.inventory).status == 403)
      #expect(try await nodes(site) == 1)
      let ports = try await site.call(.get, "/v1/nodes/\(known)/ports").json["ports"]?.array?.count
      #expect(ports == 1)
      let crowd = JSON.array(
        (0..<33).map { ["mac": .string("52:54:00:de:00:\($0 < 16 ? "0" : "")\(String($0, radix: 16))")] })
      let many: JSON = ["interfaces": crowd]
      #expect(try await claim(site, try await token(site), inventory: many).status == 403)
      #expect(try await nodes(site) == 1)
    }
  }

  @Test func abuse18_aFloodOfStrangersFillsNothing() async throws {
    var settings = Self.settings
    settings.mostWaiting = 3
    try await withSite(discovery: settings) { site in
      func mac(_ number: Int) -> String {
        let hex = String(number + 0x10000, radix: 16).suffix(4)
        return "52:54:01:00:\(hex.prefix(2)):\(hex.suffix(2))"
      }
      var tokens: [(String, String)] = []
      for number in 0..<200 {
        if let token = try await token(site, mac(number)) { tokens.append((mac(number), token)) }
      }
      #expect(tokens.count == 64, "so many are offered at a time")
      #expect(try await nodes(site) == 0)
      var made: [String] = []
      for (mac, token) in tokens.prefix(10) {
        let answer = try await claim(site, token, mac: mac, secret: Identifier.hex() + mac)
        if answer.status == 200 {
          made.append(answer.json["node"]?.string ?? "")
        } else {
          #expect(answer.status == 403)
        }
      }
      #expect(made.count == 3, "no more wait than may")
      #expect(try await token(site, mac(500)) == nil)

      // The administrator has looked at one.
      let first = try #require(made.first)
      try await site.database.write { session in
        guard var node = try NodeStore.get(first, in: session) else { return }
        node.provisionState = .manageable
        try NodeStore.update(node, in: session)
      }
      #expect(try await claim(site, tokens[20].1, mac: tokens[20].0).status == 200)
      // A secret that another machine's agent has.
      _ = try await site.call(.delete, "/v1/nodes/\(made[1])")
      #expect(try await claim(site, tokens[21].1, mac: tokens[21].0).status == 403)
    }
  }
}
