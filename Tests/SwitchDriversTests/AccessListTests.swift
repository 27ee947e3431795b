import Domain
import DriverInterfaces
import Processes
import Testing

@testable import SwitchDrivers

/// What filters a port, judged by packets on both sides of a real switch.
@Suite struct AccessListTests {
  private typealias Rule = AccessList.Rule

  private static func with(_ extra: [String] = [], _ body: (Room) async throws -> Void) async throws {
    try await VirtualSwitch.with(taps: ["a", "b", "w1", "w2"] + extra) { home, taps in
      let driver = try home.driver()
      try await driver.apply(
        [
          "a": PortConfiguration(native: 101), "b": PortConfiguration(native: 101),
          "w1": PortConfiguration(native: 999), "w2": PortConfiguration(native: 999),
        ], label: nil)
      let room = Room(
        home: home, driver: driver, a: TapMachine(try #require(taps["a"]), 1),
        b: TapMachine(try #require(taps["b"]), 2),
        witnesses: (try #require(taps["w1"]), try #require(taps["w2"])))
      try await body(room)
    }
  }
  private static func block(_ text: String) throws -> CIDR { try #require(CIDR(text)) }
  /// The list of machine 1.
  private static func list(_ rules: [Rule], stateful: Bool = true, pairs: [String] = []) throws -> AccessList {
    let mac = try #require(MACAddress("52:54:00:77:00:01"))
    let blocks = try (["10.9.0.1/32"] + pairs).map { try block($0) }
    return AccessList(
      sources: blocks.map { AccessList.Source(mac: mac, block: $0) }, isStateful: stateful, rules: rules)
  }
  private static func configuration(_ list: AccessList) -> PortConfiguration {
    PortConfiguration(native: 101, accessLists: [101: list])
  }
  private static let sendAnything = [
    Rule(direction: .egress, version: 4), Rule(direction: .egress, version: 6),
  ]

  @Test func aStatefulListLetsPassWhatItSaysAndTheAnswers() async throws {
    try await Self.with { room in
      let (a, b) = (room.a, room.b)
      #expect(
        try await room.passes(MachinePacket.tcp(b, to: a, (1000, 80), .syn), b, a), "nothing is filtered at first")

      // act
      let ssh = Rule(direction: .ingress, version: 4, protocolNumber: 6, minimum: 22, maximum: 23)
      let wanted = Self.configuration(try Self.list(Self.sendAnything + [ssh]))
      try await room.driver.apply(["a": wanted], label: "w/1")

      // assert: what was asked for is what is read back
      #expect(try await room.driver.listPorts()["a"] == wanted)
      #expect(try await room.driver.readPort("a") == wanted)
      #expect(try await room.driver.labels() == ["a": "w/1"])

      // in: 22 and 23, and nothing else
      #expect(try await room.passes(MachinePacket.tcp(b, to: a, (1001, 22), .syn), b, a))
      #expect(try await room.passes(MachinePacket.tcp(b, to: a, (1002, 23), .syn), b, a))
      #expect(try await !room.passes(MachinePacket.tcp(b, to: a, (1003, 24), .syn), b, a))
      #expect(try await !room.passes(MachinePacket.udp(b, to: a, (1004, 22)), b, a))
      #expect(try await !room.passes(MachinePacket.ping(b, to: a), b, a))
      // the answer to what came in
      #expect(try await room.passes(MachinePacket.tcp(a, to: b, (22, 1001), .synAck), a, b))
      #expect(try await room.passes(MachinePacket.tcp(b, to: a, (1001, 22), .ack), b, a))
      // out: anything, and its answers
      #expect(try await room.passes(MachinePacket.udp(a, to: b, (2000, 53)), a, b))
      #expect(try await room.passes(MachinePacket.udp(b, to: a, (53, 2000)), b, a))
      #expect(try await !room.passes(MachinePacket.udp(b, to: a, (53, 2001)), b, a), "an answer to nothing")
      #expect(try await room.passes(MachinePacket.ping(a, to: b), a, b))
      #expect(try await room.passes(MachinePacket.ping(b, to: a, isReply: true), b, a))
      // to everybody on the network: no way around the rules
      let broadcast = MachinePacket.udp(
        b, to: a, (1005, 5000), toMAC: Frame.broadcast, to: [255, 255, 255, 255])
      #expect(try await !room.passes(broadcast, b, a))
      let multicast = MachinePacket.udp(b, to: a, (1006, 5000), toMAC: [1, 0, 0x5e, 0, 0, 7], to: [224, 0, 0, 7])
      #expect(try await !room.passes(multicast, b, a))
      #expect(try await room.passes(MachinePacket.arp(b), b, a), "ARP passes")

      // act: a rule goes, and with it what was under way
      try await room.driver.apply(["a": Self.configuration(try Self.list(Self.sendAnything))], label: nil)
      #expect(try await !room.passes(MachinePacket.tcp(b, to: a, (1001, 22), .ack), b, a))
      #expect(try await !room.passes(MachinePacket.tcp(b, to: a, (1007, 22), .syn), b, a))

      // act: no list any more
      try await room.driver.apply(["a": PortConfiguration(native: 101)], label: nil)
      #expect(try await room.driver.readPort("a") == PortConfiguration(native: 101))
      #expect(try await room.passes(MachinePacket.tcp(b, to: a, (1008, 80), .syn), b, a))
      #expect(try await room.passes(MachinePacket.udp(a, to: b, (1, 2), from: [10, 9, 0, 77]), a, b))
    }
  }

  @Test func aStatelessListKnowsNoAnswers() async throws {
    try await Self.with { room in
      let (a, b) = (room.a, room.b)
      let rules = [
        Rule(direction: .egress, version: 4),
        Rule(direction: .ingress, version: 4, protocolNumber: 17, minimum: 53, maximum: 53),
      ]
      try await room.driver.apply(["a": Self.configuration(try Self.list(rules, stateful: false))], label: nil)
      #expect(try await room.passes(MachinePacket.udp(a, to: b, (2000, 53)), a, b))
      #expect(try await !room.passes(MachinePacket.udp(b, to: a, (53, 2000)), b, a))
      #expect(try await room.passes(MachinePacket.udp(b, to: a, (2000, 53)), b, a))
      // Nothing of a rule is left once it is gone, although frames passed by it just now.
      try await room.driver.apply(["a": Self.configuration(try Self.list([], stateful: false))], label: nil)
      #expect(try await !room.passes(MachinePacket.udp(b, to: a, (2000, 53)), b, a))
      #expect(try await !room.passes(MachinePacket.udp(a, to: b, (2000, 53)), a, b))
    }
  }

  @Test func aRuleIsAboutTheAddressesItNamesAndFollowsThem() async throws {
    try await Self.with { room in
      let (a, b) = (room.a, room.b)
      func allow(_ blocks: [String]) async throws {
        let rules = try blocks.map {
          Rule(direction: .ingress, version: 4, remote: try Self.block($0))
        }
        try await room.driver.apply(["a": Self.configuration(try Self.list(rules))], label: nil)
      }
      // The members of a group: b joins, and leaves.
      try await allow(["10.9.0.3/32"])
      #expect(try await !room.passes(MachinePacket.udp(b, to: a, (1, 1000)), b, a))
      try await allow(["10.9.0.2/32", "10.9.0.3/32"])
      #expect(try await room.passes(MachinePacket.udp(b, to: a, (1, 1000)), b, a))
      #expect(try await !room.passes(MachinePacket.udp(a, to: b, (2, 1000)), a, b), "nothing says that it may send")
      try await allow(["10.9.0.3/32"])
      #expect(try await !room.passes(MachinePacket.udp(b, to: a, (1, 1000)), b, a))
    }
  }

  @Test func aMachineSendsFromItsOwnAddressesOnly() async throws {
    try await Self.with { room in
      let (a, b) = (room.a, room.b)
      try await room.driver.apply(
        ["a": Self.configuration(try Self.list(Self.sendAnything, pairs: ["10.9.1.0/24", "fd00::1/128"]))], label: nil)

      // its own, and those of its pairs
      #expect(try await room.passes(MachinePacket.udp(a, to: b, (1, 2)), a, b))
      #expect(try await room.passes(MachinePacket.udp(a, to: b, (1, 2), from: [10, 9, 1, 9]), a, b))
      #expect(try await room.passes(MachinePacket.arp(a), a, b))
      #expect(try await room.passes(MachinePacket.arp(a, claims: [10, 9, 1, 9]), a, b))
      #expect(try await room.passes(MachinePacket.arp(a, claims: [0, 0, 0, 0]), a, b) == false, "an answer for nobody")

      // another's address, hardware address, and ARP in another's name
      #expect(try await !room.passes(MachinePacket.udp(a, to: b, (1, 2), from: [10, 9, 0, 3]), a, b))
      let other = TapMachine(a.tap, 7).at(a.address)
      #expect(try await !room.passes(MachinePacket.udp(other, to: b, (1, 2)), a, b))
      #expect(try await !room.passes(MachinePacket.arp(a, claims: [10, 9, 0, 2]), a, b))
      #expect(try await !room.passes(MachinePacket.arp(a, mac: Frame.mac(2)), a, b))
      // frames of no protocol that rules know
      a.tap.send(bytes: Frame(from: a.mac, mark: 5).bytes)
      #expect(try await !room.passes(Frame(from: a.mac, mark: 6).bytes, a, b))
      // A tag of another network, alone and around.
      #expect(try await !room.passes(MachinePacket.udp(a.tagged(102), to: b, (1, 2)), a, b))

      // a DHCP client, and a server that is none
      let nobody: MachinePacket.Address = [0, 0, 0, 0], everybody: MachinePacket.Address = [255, 255, 255, 255]
      let ask = MachinePacket.udp(a, to: b, (68, 67), from: nobody, toMAC: Frame.broadcast, to: everybody)
      #expect(try await room.passes(ask, a, b))
      let offer = MachinePacket.udp(a, to: b, (67, 68), toMAC: Frame.broadcast, to: everybody)
      #expect(try await !room.passes(offer, a, b))
      let serversOffer = MachinePacket.udp(b, to: a, (67, 68), toMAC: Frame.broadcast, to: everybody)
      #expect(try await room.passes(serversOffer, b, a))

      // routers and neighbours of IPv6
      #expect(
        try await !room.passes(MachinePacket.icmp6(a, type: 134, from: a.linkLocal), a, b), "a router that is none")
      #expect(try await !room.passes(MachinePacket.icmp6(a, type: 136, from: a.linkLocal, target: b.linkLocal), a, b))
      #expect(try await room.passes(MachinePacket.icmp6(a, type: 136, from: a.linkLocal, target: a.linkLocal), a, b))
      let pair: MachinePacket.Address = [0xfd] + [UInt8](repeating: 0, count: 14) + [1]
      #expect(try await room.passes(MachinePacket.icmp6(a, type: 136, from: pair, target: pair), a, b))
      #expect(try await !room.passes(MachinePacket.icmp6(a, type: 135, from: b.linkLocal, target: pair), a, b))
      #expect(try await room.passes(MachinePacket.icmp6(b, type: 134, from: b.linkLocal), b, a), "the network's router")
      let forged: MachinePacket.Address = [0xfd] + [UInt8](repeating: 0, count: 14) + [9]
      #expect(try await !room.passes(MachinePacket.udp(a.at(forged), to: b.at(pair), (1, 2)), a, b))
      #expect(try await room.passes(MachinePacket.udp(a.at(pair), to: b.at(forged), (1, 2)), a, b))
    }
  }

  @Test func twoFilteredMachinesEachKeepTheirOwnRules() async throws {
    try await Self.with { room in
      let (a, b) = (room.a, room.b)
      let mac = try #require(MACAddress("52:54:00:77:00:02"))
      let web = Rule(direction: .ingress, version: 4, protocolNumber: 6, minimum: 80, maximum: 80)
      let second = AccessList(
        sources: [AccessList.Source(mac: mac, block: try Self.block("10.9.0.2/32"))],
        rules: Self.sendAnything + [web])
      try await room.driver.apply(
        ["a": Self.configuration(try Self.list(Self.sendAnything)), "b": Self.configuration(second)], label: nil)
      #expect(try await room.passes(MachinePacket.tcp(a, to: b, (1000, 80), .syn), a, b))
      #expect(try await room.passes(MachinePacket.tcp(b, to: a, (80, 1000), .synAck), b, a))
      #expect(try await !room.passes(MachinePacket.tcp(a, to: b, (1001, 81), .syn), a, b))
      #expect(try await !room.passes(MachinePacket.tcp(b, to: a, (1002, 80), .syn), b, a))
      // Quarantine is quarantine, also behind a filter.
      try await room.driver.apply(["a": .quarantine], label: nil)
      #expect(try await !room.passes(MachinePacket.arp(a), a, b))
      #expect(try await !room.passes(MachinePacket.arp(b), b, a))
      #expect(try await room.driver.listPorts()["a"] == .quarantine)
    }
  }

  @Test func aTrunkIsFilteredPerNetwork() async throws {
    try await Self.with { room in
      let (a, b) = (room.a, room.b)
      try await room.driver.apply(
        [
          "a": PortConfiguration(
            native: 101, tagged: [102, 103],
            accessLists: [102: try Self.list([Rule(direction: .egress, version: 4, protocolNumber: 17)])]),
          "b": PortConfiguration(native: 101, tagged: [102, 103]),
        ], label: nil)
      // the networks without a list pass everything
      #expect(try await room.passes(MachinePacket.udp(a, to: b, (1, 2), from: [1, 2, 3, 4]), a, b))
      #expect(try await room.passes(MachinePacket.tcp(b.tagged(103), to: a, (1, 2), .syn), b, a))
      // the one with a list what it says
      #expect(try await room.passes(MachinePacket.udp(a.tagged(102), to: b, (1, 2)), a, b))
      #expect(try await room.passes(MachinePacket.udp(b.tagged(102), to: a, (2, 1)), b, a))
      #expect(try await !room.passes(MachinePacket.udp(a.tagged(102), to: b, (1, 2), from: [1, 2, 3, 4]), a, b))
      #expect(try await !room.passes(MachinePacket.tcp(a.tagged(102), to: b, (1, 2), .syn), a, b))
      #expect(try await !room.passes(MachinePacket.udp(b.tagged(102), to: a, (3, 1)), b, a))
    }
  }

  @Test(.timeLimit(.minutes(2))) func withoutItsRulesAFilteredPortPassesNothingAndDriftIsSeen() async throws {
    try await Self.with { room in
      let (a, b, driver) = (room.a, room.b, room.driver)
      let wanted = Self.configuration(try Self.list(Self.sendAnything))
      try await driver.apply(["a": wanted], label: nil)

      // the daemon dies: the others go on, this one waits for its rules
      let told = Task {
        for try await ports in driver.watch() where ports.contains("a") { return true }
        return false
      }
      try await room.home.killDaemon()
      // Long enough to be missed.
      try await Task.sleep(for: .seconds(2))
      try await room.home.startDaemon()
      #expect(try await !room.passes(MachinePacket.arp(b), b, a))
      #expect(try await !room.passes(MachinePacket.udp(a, to: b, (1, 2), from: [10, 9, 0, 3]), a, b))
      #expect(try await driver.listPorts()["a"] != wanted)
      #expect(try await driver.listPorts()["b"] == PortConfiguration(native: 101))
      #expect(try await told.value)
      try await driver.apply(["a": wanted], label: nil)
      #expect(try await driver.listPorts()["a"] == wanted)
      #expect(try await room.passes(MachinePacket.udp(a, to: b, (1, 2)), a, b))

      // a rule is deleted by hand, and one is added that lets everything pass
      try await room.home.ofctl(["del-flows", "table=3"], on: "br0-acl")
      #expect(try await driver.listPorts()["a"] != wanted)
      try await driver.apply(["a": wanted], label: nil)
      #expect(try await driver.listPorts()["a"] == wanted)
      try await room.home.ofctl(["add-flow", "priority=65000,actions=all"], on: "br0-acl")
      #expect(try await room.passes(MachinePacket.tcp(b, to: a, (1, 2), .syn), b, a), "the hand's rule works")
      #expect(try await driver.listPorts()["a"] != wanted)
      try await driver.apply(["a": wanted], label: nil)
      #expect(try await !room.passes(MachinePacket.tcp(b, to: a, (1, 3), .syn), b, a))

      // put back into the bridge by hand: it reaches nobody, and is seen
      try await room.home.vsctl([
        "--", "remove", "bridge", "br0-acl", "ports", try await room.home.portID("a"), "--", "add", "bridge", "br0",
        "ports", try await room.home.portID("a"),
      ])
      #expect(try await !room.passes(MachinePacket.arp(b), b, a))
      #expect(try await driver.listPorts()["a"] != wanted)
      try await driver.apply(["a": wanted], label: nil)
      #expect(try await driver.listPorts()["a"] == wanted)
      #expect(try await room.passes(MachinePacket.arp(b), b, a))
    }
  }

  @Test func aSwitchWithoutControlRefuses() async throws {
    try await VirtualSwitch.with(taps: ["a"]) { home, _ in
      let driver = try home.driver(hasControl: false)
      #expect(!driver.capabilities.contains(.acl))
      let error = await #expect(throws: DriverError.self) {
        try await driver.apply(["a": Self.configuration(try Self.list([]))], label: nil)
      }
      #expect(error?.code == .unsupported)
      #expect(try await driver.readPort("a") == home.untouched)
    }
  }

  @Test func rangesOfPortsAreTheFewestMasks() {
    #expect(AccessListFlows.masks(22, 22) == ["22"])
    #expect(AccessListFlows.masks(22, 23) == ["0x16/0xfffe"])
    #expect(AccessListFlows.masks(1, 6) == ["1", "0x2/0xfffe", "0x4/0xfffe", "6"])
    #expect(AccessListFlows.masks(0, 65535) == ["0x0/0x0"])
    #expect(AccessListFlows.masks(1, 65534).count == 30)
  }

  @Test func whatIsKeptOnTheSwitchReadsBack() throws {
    let rule = Rule(
      direction: .ingress, version: 6, protocolNumber: 58, minimum: 128, maximum: 0, remote: CIDR("fd00::/64"))
    let list = try Self.list([rule], stateful: false)
    let kept = try #require(FilterBridge.read(FilterBridge.text([101: list], zones: [101: 40000])))
    #expect(kept.lists == [101: list])
    #expect(kept.zones == [101: 40000])
    #expect(FilterBridge.read("{\"101\":{\"zone\":1}}") == nil)
    #expect(FilterBridge.read("x") == nil)
    #expect(FilterBridge.name(of: "a-very-long-bridge").utf8.count <= 15)
  }
}
