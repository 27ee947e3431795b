import Domain
import Testing
import Wire

@Suite struct HeardNeighborTests {
  private static let switches: Set<String> = ["tor-1", "tor-2"]

  private func contradicts(
    _ port: String, description: String? = nil, system: String? = nil, recorded: String
  ) throws -> Bool {
    let heard = try #require(
      HeardNeighbor([
        "chassis_id": "50:6b:4b:00:00:01", "port_id": .string(port), "port_description": JSON(description),
        "system_name": JSON(system),
      ]))
    return heard.contradicts(SwitchPort(switchName: "tor-1", port: recorded), switches: Self.switches)
  }

  @Test(arguments: [
    ("Ethernet1/4", "Eth1/4"), ("Eth1/4", "Ethernet1/4"), ("TenGigabitEthernet 0/1", "Te 0/1"), ("swp3", "SWP3"),
    ("1/4", "Ethernet1/4"),
  ])
  func oneNameWrittenInTwoWaysIsOne(heard: String, recorded: String) throws {
    #expect(try !contradicts(heard, recorded: recorded))
  }

  @Test(arguments: [("Ethernet1/4", "Eth1/5"), ("swp3", "swp30"), ("n1", "n2"), ("12", "13"), ("Te0/1", "Fo0/1")])
  func anotherPortIsAnother(heard: String, recorded: String) throws {
    #expect(try contradicts(heard, recorded: recorded))
  }

  @Test func whatCannotBeComparedIsNoContradiction() throws {
    // An address, or an index, in the place of a name.
    #expect(try !contradicts("50:6b:4b:00:00:02", recorded: "Ethernet1/4"))
    #expect(try !contradicts("517", recorded: "Ethernet1/4"))
    // An aggregate, of which one port is heard.
    for recorded in ["Port-Channel5", "Po5", "bond5", "ae5"] {
      #expect(try !contradicts("Ethernet5", recorded: recorded), "\(recorded)")
    }
    #expect(try contradicts("Port-Channel6", recorded: "Port-Channel5"))
    #expect(try contradicts("Port-Channel6", recorded: "Ethernet6"))
    // The name may be in the description.
    #expect(try !contradicts("ifName-7", description: "Ethernet1/4", recorded: "Ethernet1/4"))
    // A switch under a name that nobody gave it here.
    #expect(try !contradicts("Ethernet1/4", system: "leaf-a.example.org", recorded: "Ethernet1/4"))
    #expect(HeardNeighbor(.null) == nil && HeardNeighbor(["chassis_id": "x"]) == nil)
  }

  @Test func theSamePortOfAnotherSwitchIsAnother() throws {
    #expect(try contradicts("Ethernet1/4", system: "tor-2", recorded: "Ethernet1/4"))
    #expect(try contradicts("Ethernet1/4", system: "tor-2.example.org", recorded: "Ethernet1/4"))
    #expect(try !contradicts("Ethernet1/4", system: "tor-1.example.org", recorded: "Ethernet1/4"))
  }
}
