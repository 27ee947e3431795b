import BootServices
import Domain
import DriverInterfaces
import Glibc
import Processes
import TestSupport
import Testing

@Suite struct DnsmasqBootTests {
  private static func mac(_ last: Int) throws -> MACAddress {
    try #require(MACAddress("52:54:00:aa:00:0\(last)"))
  }
  /// How long silence is listened to: dnsmasq answers within milliseconds.
  private static let silence = Duration.milliseconds(300)

  @Test func onlyAdmittedMachinesGetAnAddress() async throws {
    try await ProvisioningNetwork.with { network in
      let (one, other) = (try Self.mac(1), try Self.mac(2))
      try await network.serve { boot in
        #expect(try await network.machines.discover(one, within: Self.silence) == nil, "nobody is admitted yet")

        // admitted: an offer at once, and a lease
        try await boot.ensureAdmitted([one], label: "workflow-1/admit")
        let offer = try #require(try await network.machines.discover(one))
        #expect(offer.kind == .offer)
        #expect(
          try network.configuration().first == "172.30.0.100" && offer.address.description.hasPrefix("172.30.0.1"))
        let lease = try #require(try await network.machines.request(offer, one))
        #expect(lease.kind == .acknowledge && lease.address == offer.address)
        #expect(lease.options[1] == [255, 255, 255, 0])
        #expect(try await network.machines.discover(other, within: Self.silence) == nil)
        #expect(try await boot.admitted() == [one: "workflow-1/admit"])

        // denied: silence, also to who knows an address already
        try await boot.ensureDenied([one, other])
        #expect(try await network.machines.discover(one, within: Self.silence) == nil)
        let again = try await network.machines.requestAgain(lease.address, one, within: Self.silence)
        #expect(again?.kind != .acknowledge, "a denied machine keeps its address")
        #expect(try await boot.admitted() == [:])

        // and back, many times: the newest word counts
        for round in 0..<20 {
          try await boot.ensureAdmitted([one, other], label: "workflow-2/admit")
          let later = try #require(try await network.machines.discover(one), "round \(round)")
          #expect(try await network.machines.request(later, one)?.kind == .acknowledge)
          #expect(try await network.machines.discover(other)?.kind == .offer)
          try await boot.ensureDenied([one])
          #expect(try await network.machines.discover(one, within: .milliseconds(100)) == nil, "round \(round)")
        }
        #expect(boot.supervision.starts == 1, "dnsmasq died on the way")
      }
      #expect(try await network.servers().isEmpty)
    }
  }

  @Test func aMachineOfAVolumeHasItsAddressAgainAndAgain() async throws {
    try await ProvisioningNetwork.with { network in
      let (one, other) = (try Self.mac(1), try Self.mac(2))
      @Sendable func take(_ mac: MACAddress, _ expected: String) async throws {
        let offer = try #require(try await network.machines.discover(mac), "no offer of \(expected)")
        #expect(offer.address.description == expected)
        #expect(try await network.machines.request(offer, mac)?.kind == .acknowledge)
      }
      try await network.serve { boot in
        for _ in 0..<3 {
          try await boot.ensureVolumeBoot(one, address: "172.30.0.52", label: "node-1")
          try await take(one, "172.30.0.52")
          try await boot.ensureDenied([one])
          #expect(try await network.machines.discover(one, within: Self.silence) == nil)
          // cleaned: an address that has nothing of a volume
          try await boot.ensureAdmitted([one], label: "workflow-1")
          let clean = try #require(try await network.machines.discover(one))
          #expect(clean.address.description.hasPrefix("172.30.0.1"))
          try await boot.ensureDenied([one])
        }
        try await boot.ensureVolumeBoot(one, address: "172.30.0.53", label: "node-1")
        try await take(one, "172.30.0.53")
        try await boot.ensureVolumeBoot(other, address: "172.30.0.54", label: "node-2")
        try await take(other, "172.30.0.54")
        #expect(boot.supervision.starts == 1, "dnsmasq died on the way")
      }
    }
  }

  @Test func strangersHaveAddressesOfTheirOwn() async throws {
    try await ProvisioningNetwork.with { network in
      try await network.serve(last: "172.30.0.101", strangers: AddressRange("172.30.0.10", "172.30.0.11")) { boot in
        // unknown: from the strangers' addresses, as many as there are
        let one = try #require(try await network.machines.discover(try Self.mac(1)))
        #expect(["172.30.0.10", "172.30.0.11"].contains(one.address.description))
        #expect(try await network.machines.request(one, try Self.mac(1))?.kind == .acknowledge)
        let two = try #require(try await network.machines.discover(try Self.mac(2)))
        #expect(try await network.machines.request(two, try Self.mac(2))?.kind == .acknowledge)
        #expect(try await network.machines.discover(try Self.mac(3), within: Self.silence) == nil)

        // admitted: from the others, though the strangers' are used up
        try await boot.ensureAdmitted([try Self.mac(3)], label: "workflow-1/admit")
        let known = try #require(try await network.machines.discover(try Self.mac(3)))
        #expect(["172.30.0.100", "172.30.0.101"].contains(known.address.description))
        try await boot.ensureDenied([try Self.mac(3)])
        #expect(try await network.machines.discover(try Self.mac(3), within: Self.silence) == nil)
      }
    }
  }

  @Test func anAddressThatAnotherMachineHasLeasedIsWaitedFor() async throws {
    try await ProvisioningNetwork.with { network in
      let (one, other) = (try Self.mac(1), try Self.mac(2))
      try await network.serve { boot in
        try await boot.ensureVolumeBoot(one, address: "172.30.0.55", label: "w/1")
        let offer = try #require(try await network.machines.discover(one, as: .ipxe))
        #expect(try await network.machines.request(offer, one)?.kind == .acknowledge)
        try await boot.ensureDenied([one])
        // No answer would ever come to the other: dnsmasq has the address leased, and no second one for its tag.
        let busy = await #expect(throws: DriverError.self) {
          try await boot.ensureVolumeBoot(other, address: "172.30.0.55", label: "w/2")
        }
        #expect(busy?.code == .busy)
        try await boot.ensureVolumeBoot(one, address: "172.30.0.55", label: "w/3")
        #expect(try await network.machines.discover(one)?.address.description == "172.30.0.55")
      }
    }
  }

  @Test func everyFirmwareIsToldWhatItCanRun() async throws {
    try await ProvisioningNetwork.with { network in
      let one = try Self.mac(1)
      try await network.serve { boot in
        try await boot.ensureAdmitted([one], label: "w/1")
        let bios = try #require(try await network.machines.discover(one, as: .bios))
        #expect(bios.file == "undionly.kpxe")
        #expect(try await network.machines.discover(one, as: .uefi)?.file == "snponly.efi")
        #expect(try await network.machines.discover(one, as: .ipxe)?.file == "http://172.30.0.1:8081/boot/start.ipxe")
        let http = try #require(try await network.machines.discover(one, as: .uefiHTTP))
        #expect(http.file == "http://172.30.0.1:8081/boot/snponly.efi" && http.vendorClass == "HTTPClient")
      }
    }
  }

  @Test func killedItComesBackAndServesThoseWhoAreAdmitted() async throws {
    try await ProvisioningNetwork.with { network in
      let (one, other) = (try Self.mac(1), try Self.mac(2))
      try await network.serve { boot in
        try await boot.ensureAdmitted([one, other], label: "w/1")
        try await boot.ensureDenied([other])

        kill(try #require(boot.supervision.process), SIGKILL)
        try await until("dnsmasq is back") { network.starts == 2 }

        #expect(try await network.machines.discover(one)?.kind == .offer)
        #expect(try await network.machines.discover(other, within: Self.silence) == nil)
        #expect(boot.supervision.lastEnding == .signalled(SIGKILL))
        #expect(try await network.servers().count == 1)
      }
    }
  }

  @Test func whatAnEarlierServerLeftIsEndedAndItsAdmissionsHold() async throws {
    try await ProvisioningNetwork.with { network in
      let one = try Self.mac(1)
      try await network.serve { boot in try await boot.ensureAdmitted([one], label: "w/1") }
      // As if the server had been killed: its dnsmasq runs on, and its number is in the file.
      let orphan = try Launch(
        "dnsmasq",
        [
          "--keep-in-foreground", "--conf-file=\(network.folder)/dnsmasq.conf",
          "--pid-file=\(network.folder)/dnsmasq.self.pid",
        ], namespace: network.namespace)
      let script = #"nsenter "$@" >/dev/null 2>&1 & echo $! >"$0""#
      try await runChecked("sh", ["-c", script, "\(network.folder)/dnsmasq.pid"] + orphan.arguments.dropFirst())
      try await until("the orphan runs") { try await network.servers().count == 1 }
      let left = try #require(try await network.servers().first)

      try await network.serve { boot in
        try await until("the new one serves") { network.starts == 2 }
        #expect(try await network.servers() == [try #require(boot.supervision.process)])
        #expect(boot.supervision.process != left)
        #expect(try await boot.admitted() == [one: "w/1"])
        #expect(try await network.machines.discover(one)?.kind == .offer)
        #expect(network.log.contains("left by an earlier run"))
      }
      #expect(try await network.servers().isEmpty)
    }
  }

  @Test func changesWhileItRestartsAreNotLost() async throws {
    try await ProvisioningNetwork.with { network in
      let macs = try (1...9).map { try Self.mac($0) }
      try await network.serve { boot in
        for round in 1...3 {
          kill(try #require(boot.supervision.process), SIGKILL)
          try await withThrowingTaskGroup(of: Void.self) { group in
            for (index, mac) in macs.enumerated() {
              group.addTask {
                try await boot.ensureAdmitted([mac], label: "w/\(round)")
                if index % 2 == 1 { try await boot.ensureDenied([mac]) }
              }
            }
            try await group.waitForAll()
          }
          try await until("dnsmasq is back") { network.starts == round + 1 && boot.supervision.process != nil }

          for (index, mac) in macs.enumerated() {
            let limit: Duration = index % 2 == 1 ? .milliseconds(60) : .seconds(1)
            let offer = try await network.machines.discover(mac, within: limit)
            #expect((offer != nil) == (index % 2 == 0), "machine \(index), round \(round)")
          }
        }
        #expect(
          try await Set(boot.admitted().keys) == Set(macs.enumerated().filter { $0.offset % 2 == 0 }.map(\.element)))
      }
    }
  }

  @Test func anEmptyPoolDisturbsNobodyWhoHasAnAddress() async throws {
    try await ProvisioningNetwork.with { network in
      let macs = try (1...3).map { try Self.mac($0) }
      try await network.serve(last: "172.30.0.101") { boot in
        try await boot.ensureAdmitted(macs, label: "w/1")
        var leases: [IPAddress] = []
        for mac in macs.prefix(2) {
          let offer = try #require(try await network.machines.discover(mac))
          leases.append(try #require(try await network.machines.request(offer, mac)).address)
        }
        #expect(Set(leases).count == 2)

        #expect(try await network.machines.discover(macs[2], within: Self.silence) == nil)

        let renewed = try await network.machines.requestAgain(leases[0], macs[0])
        #expect(renewed?.kind == .acknowledge && renewed?.address == leases[0])
        #expect(boot.supervision.starts == 1)
      }
    }
  }

  /// Abuse 12 and 13: what a machine says of itself has no effect but in the log.
  @Test func abuse12_13_whatAMachineSaysOfItselfChangesNothing() async throws {
    try await ProvisioningNetwork.with { network in
      let (one, stranger) = (try Self.mac(1), try Self.mac(9))
      let texts = [
        "x\n\(stranger),set:admitted", "a\n1900000000 \(stranger) 172.30.0.150 evil *",
        "$(touch \(network.folder)/owned)",
        "`touch \(network.folder)/owned`", "${net0/mac}", "#!ipxe", "../../etc/passwd", "x,set:admitted",
        "\u{0}\u{1b}[2J",
        String(repeating: "A", count: 255), "",
      ]
      try await network.serve { boot in
        try await boot.ensureAdmitted([one], label: "w/1\n\(stranger),set:admitted")
        #expect(try await boot.admitted() == [one: "w/1"])
        let plain = try #require(try await network.machines.discover(one))
        for text in texts {
          // Host name, vendor class, client identifier, user class, relay agent's, full name.
          for option: UInt8 in [12, 60, 61, 77, 82, 81] {
            let said = [option, UInt8(text.utf8.count)] + Array(text.utf8)
            guard let offer = try await network.machines.discover(one, saying: said, within: Self.silence) else {
              continue
            }
            #expect(offer.file == plain.file, "option \(option), \(text)")
            _ = try await network.machines.request(offer, one, saying: said, within: Self.silence)
          }
        }
        #expect(try await network.machines.discover(stranger, within: Self.silence) == nil)
        // Also spoiled messages: cut anywhere, or with bytes changed.
        let whole = DHCPClient.discovery(one)
        for length in stride(from: 14, to: whole.count, by: 3) { network.machines.sendRaw(Array(whole[..<length])) }
        for _ in 0..<500 {
          var frame = whole
          for _ in 0..<3 { frame[Int.random(in: 42..<frame.count)] = .random(in: 0...255) }
          network.machines.sendRaw(frame)
        }

        try await until("it has read all of that") { try await network.machines.discover(one)?.kind == .offer }
        #expect(try await network.machines.discover(stranger, within: Self.silence) == nil)
        #expect(access("\(network.folder)/owned", F_OK) != 0)
        // Every line of the leases is one lease of the one machine: nothing broke out of its field.
        for line in contents("\(network.folder)/leases").split(separator: "\n") where !line.hasPrefix("duid") {
          let words = line.split(separator: " ")
          #expect(words.count == 5 && words[1] == "\(one)" && words[2].hasPrefix("172.30.0.1"), "\(line)")
        }
        #expect(boot.supervision.starts == 1, "dnsmasq died of what a machine said")
      }
    }
  }
}
