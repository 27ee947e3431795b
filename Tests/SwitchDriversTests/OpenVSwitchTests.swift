import Domain
import DriverInterfaces
import Glibc
import Processes
import TestSupport
import Testing
import Wire

@testable import SwitchDrivers

@Suite struct OpenVSwitchTests {
  /// Sends a frame of every kind from one tap and tells which others saw any of them.
  private func reach(from sender: String, _ taps: [String: Tap], _ mark: UInt32) async throws -> [String: [Frame]] {
    let macs = Dictionary(uniqueKeysWithValues: taps.keys.sorted().enumerated().map { ($1, Frame.mac(UInt8($0 + 1))) })
    let source = try #require(macs[sender])
    for tap in taps.values { _ = tap.received() }
    let tap = try #require(taps[sender])
    var frames = [Frame(from: source, mark: mark)]
    for (name, mac) in macs where name != sender { frames.append(Frame(to: mac, from: source, mark: mark)) }
    for tag: UInt16 in [0, 1, 101, 102, 4094, 4095] {
      frames.append(Frame(from: source, tags: [tag], mark: mark))
      for (name, mac) in macs where name != sender {
        frames.append(Frame(to: mac, from: source, tags: [tag], mark: mark))
      }
    }
    for pair: [UInt16] in [[4095, 101], [101, 102], [4095, 4095], [0, 102]] {
      frames.append(Frame(from: source, tags: pair, mark: mark))
      frames.append(Frame(from: source, tags: pair, outerType: 0x88a8, mark: mark))
    }
    for frame in frames { tap.send(frame) }
    // The witness is on a port of its own pair: when its frame is through, so is everything sent before it.
    let witness = Frame(from: Frame.mac(200), mark: mark ^ 0xffff_ffff)
    let end = try #require(taps["witness-b"])
    var seen: [String: [Frame]] = [:]
    for round in 0..<3 {
      taps["witness-a"]?.send(witness)
      var arrived = false
      try await until("the witness's frame \(round) is through") {
        for (name, tap) in taps where name != sender {
          let frames = tap.received()
          let ours = frames.filter { $0.mark == mark }
          if !ours.isEmpty { seen[name, default: []] += ours }
          if tap === end, frames.contains(where: { $0.mark == witness.mark }) { arrived = true }
        }
        return arrived
      }
    }
    return seen
  }

  @Test func networksReachTheirOwnPortsAndQuarantineReachesNobody() async throws {
    let names = ["n1", "n2", "n3", "q1", "q2", "t1", "up", "witness-a", "witness-b"]
    try await VirtualSwitch.with(taps: names) { home, taps in
      let driver = try home.driver(uplinks: ["up"])
      // An uplink as an administrator who cares sets it: a list of VLANs.
      try await home.vsctl(["set", "port", "up", "trunks=1,101,102,4094"])
      #expect(try await driver.hazards().isEmpty)
      try await driver.apply(
        [
          "n1": PortConfiguration(native: 101), "n2": PortConfiguration(native: 101),
          "n3": PortConfiguration(native: 102), "q1": .quarantine, "q2": .quarantine,
          "t1": PortConfiguration(native: 101, tagged: [102]), "witness-a": PortConfiguration(native: 999),
          "witness-b": PortConfiguration(native: 999),
        ], label: "workflow-1/attach")

      // act, assert: from a quarantined port nothing arrives anywhere
      #expect(try await reach(from: "q1", taps, 1).isEmpty)
      #expect(try await reach(from: "q2", taps, 2).isEmpty)

      // and nothing arrives at one, from a network, a trunk, or the uplink
      let fromAccess = try await reach(from: "n1", taps, 3)
      #expect(Set(fromAccess.keys) == ["n2", "t1", "up"])
      // A priority tag counts as none (IEEE 802.1Q); a tag behind it must not become one of the trunk's networks.
      #expect(Set(fromAccess["n2"]?.map(\.tags) ?? []) == [[]])
      #expect(Set(fromAccess["t1"]?.map(\.tags) ?? []) == [[]])
      #expect(fromAccess["up"]?.allSatisfy { $0.tags.first == 101 } == true)
      let fromTrunk = try await reach(from: "t1", taps, 4)
      #expect(Set(fromTrunk.keys) == ["n1", "n2", "n3", "up"])
      #expect(fromTrunk["n3"]?.isEmpty == false)
      #expect(fromTrunk["n3"]?.allSatisfy { $0.tags.isEmpty } == true)
      #expect(Set(try await reach(from: "n3", taps, 5).keys) == ["t1", "up"])
      let fromUplink = try await reach(from: "up", taps, 6)
      #expect(Set(fromUplink.keys) == ["n1", "n2", "n3", "t1"])
      #expect(fromUplink["t1"]?.contains { $0.tags.first == 102 } == true)

      // the addresses that it saw
      let table = try await driver.macTable()
      #expect(table.contains { $0.port == "n1" && $0.vlan == 101 && $0.mac.description == "52:54:00:77:00:01" })
      // Of quarantined machines it saw only what they tagged 4095 themselves, and took it nowhere.
      #expect(table.filter { $0.port == "q1" || $0.port == "q2" }.allSatisfy { $0.vlan == 4095 })
    }
  }

  @Test func twoTagsDoNotChangeNetworksAlsoAfterTheDaemonHasForgottenItsRules() async throws {
    try await VirtualSwitch.with(taps: ["n1", "t1", "t2", "witness-a", "witness-b"]) { home, taps in
      let driver = try home.driver()
      try await driver.apply(
        [
          "n1": PortConfiguration(native: 101), "witness-a": PortConfiguration(native: 999),
          "witness-b": PortConfiguration(native: 999),
        ], label: nil)
      // Nobody needs rules while every port has one network.
      #expect(try await home.rules().isEmpty)
      try await driver.apply(
        ["t1": PortConfiguration(native: 101, tagged: [102]), "t2": PortConfiguration(native: 102, tagged: [101])],
        label: nil)
      #expect(try await home.rules().count == 2)

      /// A priority tag around 102, from the trunk's native network; and 101 around 102 from the other trunk.
      func hops(_ mark: UInt32) async throws -> Bool {
        let fromAccess = try await reach(from: "n1", taps, mark)
        let fromTrunk = try await reach(from: "t2", taps, mark + 1)
        #expect(fromAccess["t1"]?.contains { $0.tags.isEmpty } == true, "the network itself works")
        return fromAccess["t1"]?.contains { $0.tags == [102] } == true
          || fromTrunk["t1"]?.contains { $0.tags.count > 1 } == true
      }
      #expect(try await hops(1) == false)

      // The rules are what does it: without them the frame comes through.
      try await home.killDaemon()
      try await home.startDaemon()
      #expect(try await hops(3))
      // The next look at the switch puts them back, as the audit does.
      _ = try await driver.listPorts()
      #expect(try await home.rules().count == 2)
      #expect(try await hops(5) == false)
    }
  }

  @Test func aTrunkIsRefusedWhereDoubleTagsCannotBeKeptOff() async throws {
    try await VirtualSwitch.with { home, _ in
      try await home.addPorts(["n1"], type: "dummy")
      let driver = try home.driver(hasControl: false)
      #expect(!driver.capabilities.contains(.trunk))
      let error = await #expect(throws: DriverError.self) {
        try await driver.apply(["n1": PortConfiguration(native: 101, tagged: [102])], label: nil)
      }
      #expect(error?.code == .unsupported && error?.detail.contains("`control`") == true)
      #expect(try await driver.readPort("n1").native == 0)
      try await driver.apply(["n1": PortConfiguration(native: 101)], label: nil)
    }
  }

  @Test(.timeLimit(.minutes(1))) func nothingPassesAnyMoreOnceApplyHasReturned() async throws {
    try await VirtualSwitch.with(taps: ["n1", "n2"]) { home, taps in
      let driver = try home.driver()
      let (n1, n2) = (try #require(taps["n1"]), try #require(taps["n2"]))
      for round in 0..<5 {
        try await driver.apply(
          ["n1": PortConfiguration(native: 101), "n2": PortConfiguration(native: 101)], label: nil)
        let warm = UInt32(round * 2 + 1)
        try await until("a flow is in the datapath") {
          n1.send(Frame(to: Frame.mac(2), from: Frame.mac(1), mark: warm))
          return n2.received().contains { $0.mark == warm }
        }

        try await driver.apply(["n1": .quarantine], label: nil)
        _ = n2.received()
        for _ in 0..<50 { n1.send(Frame(to: Frame.mac(2), from: Frame.mac(1), mark: warm + 1)) }

        // Bring it back and send more: what was sent before would arrive before.
        try await driver.apply(["n1": PortConfiguration(native: 101)], label: nil)
        var marks: Set<UInt32> = []
        while !marks.contains(999) {
          n1.send(Frame(to: Frame.mac(2), from: Frame.mac(1), mark: 999))
          marks.formUnion(n2.received().map(\.mark))
        }
        #expect(!marks.contains(warm + 1), "round \(round)")
      }
    }
  }

  @Test func anUplinkThatCarriesEverythingIsToldAsAHazard() async throws {
    try await VirtualSwitch.with { home, _ in
      try await home.addPorts(["up"], type: "dummy")
      let hazards = try await home.driver(uplinks: ["up", "ghost"]).hazards()
      #expect(hazards.count == 2)
      #expect(hazards.first?.contains("uplink up carries every VLAN") == true)
      #expect(hazards.last?.contains("ghost") == true)
    }
  }

  @Test func labelsAreKeptWithThePortAndGoAway() async throws {
    try await VirtualSwitch.with { home, _ in
      try await home.addPorts(["n1"], type: "dummy")
      try await home.vsctl(["set", "port", "n1", "external_ids:rack=7"])
      let driver = try home.driver()
      let label = "workflow/\"attach\" \\ 'x';\n$(reboot)"

      try await driver.apply(["n1": PortConfiguration(native: 5)], label: label)
      #expect(try await driver.labels() == ["n1": label])
      try await driver.apply(["n1": PortConfiguration(native: 5)], label: "b/2")
      #expect(try await home.vsctl(["get", "port", "n1", "external_ids"]) == "{rack=\"7\", steelyard=\"b/2\"}\n")
      try await driver.apply(["n1": .quarantine], label: nil)

      #expect(try await home.vsctl(["get", "port", "n1", "external_ids"]) == "{rack=\"7\"}\n")
      #expect(try await driver.readPort("n1") == .quarantine)
    }
  }

  @Test func portsThatAreNotMachinesAreLeftAloneAndErrorsNameThoseThatExist() async throws {
    try await VirtualSwitch.with { home, _ in
      try await home.addPorts((1...9).map { "n\($0)" } + ["up"], type: "dummy")
      try await home.addPorts(["prov"], type: "internal")
      let driver = try home.driver(uplinks: ["up"])
      #expect(Set(try await driver.listPorts().keys) == Set((1...9).map { "n\($0)" }))

      for port in ["up", "prov", "br0", "Eth1/4"] {
        let error = await #expect(throws: DriverError.self) {
          try await driver.apply([port: PortConfiguration(native: 5), "n1": PortConfiguration(native: 5)], label: "x")
        }
        #expect(error?.code == .misconfigured, "\(port)")
        #expect(error?.device.name == "switch tor-1 port \(port)")
      }
      let error = await #expect(throws: DriverError.self) { _ = try await driver.readPort("Eth1/4") }
      #expect(error?.detail == "bridge br0 has no such port; it has n1, n2, n3, n4, n5 and 4 more")
      let refused = await #expect(throws: DriverError.self) {
        try await driver.apply(["n1": PortConfiguration(native: 4095)], label: nil)
      }
      #expect(refused?.code == .refused)
      // Nothing of a refused request is done.
      #expect(try await driver.readPort("n1").native == 0)
      #expect(try await home.vsctl(["get", "port", "up", "tag"]) == "[]\n")
    }
  }

  @Test func aWrongRequestInABatchDoesNotTouchTheOthers() async throws {
    try await VirtualSwitch.with { home, _ in
      try await home.addPorts(["n1", "n2"], type: "dummy")
      let driver = try home.driver()
      let results = await driver.apply([
        SwitchRequest(ports: ["n1": PortConfiguration(native: 7)], label: "a"),
        SwitchRequest(ports: ["ghost": PortConfiguration(native: 7)], label: "b"),
        SwitchRequest(ports: ["n2": PortConfiguration(native: 8)], label: nil),
      ])
      #expect(results.map { (try? $0.get()) != nil } == [true, false, true])
      #expect(try await driver.listPorts() == ["n1": PortConfiguration(native: 7), "n2": PortConfiguration(native: 8)])
      #expect(try await driver.labels() == ["n1": "a"])
    }
  }

  @Test func aThousandPortsAreOneVisit() async throws {
    try await VirtualSwitch.with { home, _ in
      let names = (0..<1000).map { "d\($0)" }
      try await home.addPorts(names, type: "dummy")
      let driver = try home.driver(limit: .seconds(20))
      let queue = SwitchQueue(driver)
      let begin = ContinuousClock.now

      try await queue.apply(
        Dictionary(uniqueKeysWithValues: names.enumerated().map { ($1, PortConfiguration(native: 1 + $0)) }),
        label: "bulk/1")

      print("1,000 ports in one visit: \(ContinuousClock.now - begin)")
      let ports = try await queue.listPorts()
      #expect(ports.count == 1000)
      #expect(ports["d999"] == PortConfiguration(native: 1000))
      #expect(try await driver.labels().count == 1000)
    }
  }

  @Test func hundredsOfRequestsAtOnceDoNotDeadlock() async throws {
    try await VirtualSwitch.with { home, _ in
      try await home.addPorts((0..<50).map { "d\($0)" }, type: "dummy")
      let client = OVSDBClient(try #require(OVSDBEndpoint("unix:\(home.databaseSocket)")), limit: .seconds(60))
      // Each answer is tens of kilobytes: unread they fill every buffer on the way.
      let rows = try await withThrowingTaskGroup(of: Int.self) { group in
        for _ in 0..<300 {
          group.addTask {
            try await client.transact(
              "Open_vSwitch", [["op": "select", "table": "Interface", "where": []]]
            ).first?["rows"]?.array?.count ?? 0
          }
        }
        return try await group.reduce(into: Set<Int>()) { $0.insert($1) }
      }
      #expect(rows == [51])
      await client.close()
    }
  }

  @Test func aHandOnTheSwitchIsNoticedAndOurOwnIsNot() async throws {
    try await VirtualSwitch.with { home, _ in
      try await home.addPorts(["n1", "n2", "n3"], type: "dummy")
      let driver = try home.driver()
      var changes = driver.watch().makeAsyncIterator()
      let first = Task { try await driver.apply(["n1": PortConfiguration(native: 101)], label: "a/1") }
      try await first.value
      // The watch may begin before or after our change; it must not report it.
      try await until("the monitor is there") {
        try await home.vsctl(["set", "port", "n3", "tag=9"])
        return try await changes.next() == ["n3"]
      }

      try await driver.apply(["n1": PortConfiguration(native: 102), "n2": .quarantine], label: "a/2")
      try await home.vsctl(["set", "port", "n1", "tag=666"])
      #expect(try await changes.next() == ["n1"])
      try await driver.apply(["n1": PortConfiguration(native: 102)], label: "a/3")
      try await home.vsctl(["set", "port", "n2", "protected=false"])
      #expect(try await changes.next() == ["n2"])
      try await home.vsctl(["del-port", "br0", "n2"])
      #expect(try await changes.next() == ["n2"])
    }
  }

  @Test func aDatabaseThatRestartsIsFoundAgain() async throws {
    try await VirtualSwitch.with { home, _ in
      try await home.addPorts(["n1"], type: "dummy")
      let driver = try home.driver()
      var changes = driver.watch().makeAsyncIterator()
      try await driver.apply(["n1": PortConfiguration(native: 101)], label: nil)
      try await home.vsctl(["set", "port", "n1", "tag=5"])
      #expect(try await changes.next() == ["n1"])

      // act: it is away while a change is asked for, and comes back
      try await home.stopDatabase()
      let change = Task { try await driver.apply(["n1": PortConfiguration(native: 103)], label: "late/1") }
      try await home.startDatabase()
      try await change.value

      #expect(try await home.vsctl(["get", "port", "n1", "tag"]) == "103\n")
      let error = await #expect(throws: DriverError.self) { while try await changes.next() != nil {} }
      #expect(error?.code == .unreachable, "the watch ends, so that the caller looks at everything again")
    }
  }

  @Test func aDaemonThatIsStoppedIsNotTakenForADoneChange() async throws {
    try await VirtualSwitch.with { home, _ in
      try await home.addPorts(["n1"], type: "dummy")
      let driver = try home.driver(limit: .seconds(2))
      try home.signalDaemon(SIGSTOP)
      let begin = ContinuousClock.now

      let error = await #expect(throws: DriverError.self) {
        try await driver.apply(["n1": PortConfiguration(native: 101)], label: nil)
      }
      #expect(error?.code == .unreachable)
      #expect(error?.detail.contains("ovs-vswitchd") == true)
      // Three parts with two seconds each, and a busy machine.
      #expect(ContinuousClock.now - begin < .seconds(14))

      try home.signalDaemon(SIGCONT)
      try await driver.apply(["n1": PortConfiguration(native: 101)], label: nil)
    }
  }

  @Test func aDaemonThatDiesComesBackWithTheSameNetworks() async throws {
    try await VirtualSwitch.with(taps: ["n1", "n2", "q1", "witness-a", "witness-b"]) { home, taps in
      let driver = try home.driver()
      let wanted = [
        "n1": PortConfiguration(native: 101), "n2": PortConfiguration(native: 101), "q1": .quarantine,
        "witness-a": PortConfiguration(native: 999), "witness-b": PortConfiguration(native: 999),
      ]
      try await driver.apply(wanted, label: nil)
      try await home.killDaemon()
      try await home.startDaemon()

      try await driver.apply(["n2": PortConfiguration(native: 101)], label: nil)
      #expect(try await driver.listPorts() == wanted)
      #expect(Set(try await reach(from: "n1", taps, 1).keys) == ["n2"])
      #expect(try await reach(from: "q1", taps, 2).isEmpty)
    }
  }

  @Test func aChangeThatSomebodyTakesBackIsNotInForce() async throws {
    try await VirtualSwitch.with { home, _ in
      try await home.addPorts(["n1"], type: "dummy")
      let driver = try home.driver()
      try home.signalDaemon(SIGSTOP)
      let change = Task { try await driver.apply(["n1": PortConfiguration(native: 101)], label: nil) }
      try await until("the change is in the database") {
        try await home.vsctl(["--no-wait", "get", "port", "n1", "tag"]) == "101\n"
      }
      try await home.vsctl(["--no-wait", "set", "port", "n1", "tag=666"])
      try home.signalDaemon(SIGCONT)

      let error = await #expect(throws: DriverError.self) { try await change.value }
      #expect(error?.code == .notInForce)
      #expect(error?.description == "switch tor-1 port n1: wanted VLAN 101, found VLAN 666")
    }
  }

  @Test func aServerThatSaysNothingOrTooMuchIsNotWaitedForForEver() async throws {
    // A listener that accepts and never answers.
    let path = "/tmp/sysilent-\(getpid()).sock"
    unlink(path)
    let listener = try await runListener(at: path)
    defer {
      close(listener)
      unlink(path)
    }
    let client = OVSDBClient(try #require(OVSDBEndpoint("unix:\(path)")), limit: .milliseconds(300))
    let begin = ContinuousClock.now
    await #expect(throws: OVSDBError.self) { _ = try await client.call("echo", []) }
    // (the limit of a client that is given none is five)
    #expect(ContinuousClock.now - begin < .seconds(4))
    await client.close()

    let nobody = OVSDBClient(try #require(OVSDBEndpoint("unix:\(path).none")), limit: .milliseconds(300))
    await #expect(throws: OVSDBError.self) { _ = try await nobody.call("echo", []) }

    try await VirtualSwitch.with { home, _ in
      try await home.addPorts((0..<50).map { "d\($0)" }, type: "dummy")
      let small = OVSDBClient(try #require(OVSDBEndpoint("unix:\(home.databaseSocket)")), messageLimit: 1000)
      let error = await #expect(throws: OVSDBError.self) {
        _ = try await small.transact("Open_vSwitch", [["op": "select", "table": "Interface", "where": []]])
      }
      if case .badMessage = error {} else { Issue.record("\(String(describing: error))") }
    }
  }

  private func runListener(at path: String) async throws -> Int32 {
    let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
    let bound = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
      }
    }
    try #require(bound == 0 && listen(descriptor, 8) == 0)
    return descriptor
  }

  @Test func theRegistryNamesWhatItKnows() throws {
    let one = SwitchConfiguration(name: "tor-1", endpoint: "unix:/run/x.sock", bridge: "br0")
    let switches = try Switches([one], logger: .init(label: "test"))
    #expect(switches.all.map(\.name) == ["tor-1"])
    let error = #expect(throws: DriverError.self) { _ = try switches.switchNamed("tor-2") }
    #expect(error?.code == .misconfigured && error?.detail.contains("tor-1") == true)
    #expect(throws: DriverError.self) { _ = try Switches([one, one], logger: .init(label: "test")) }
    var wrong = one
    wrong.kind = "abacus"
    #expect(throws: DriverError.self) { _ = try Switches([wrong], logger: .init(label: "test")) }
    wrong = one
    wrong.endpoint = "http://x"
    #expect(throws: DriverError.self) { _ = try Switches([wrong], logger: .init(label: "test")) }
  }
}
