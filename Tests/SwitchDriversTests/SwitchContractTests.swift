import Domain
import DriverInterfaces
import Processes
import TestSupport
import Testing

@testable import SwitchDrivers

/// What every kind of physical switch must do, each against a stand-in that keeps state and speaks its protocol.
@Suite struct SwitchContractTests {
  @Test(arguments: ContractBench.kinds)
  func whatIsAppliedIsReadBack(kind: String) async throws {
    try await ContractBench.with(kind) { bench in
      let device = try bench.device()
      let ports = bench.ports
      let hasTrunks = device.capabilities.contains(.trunk)
      // An uplink is nobody's.
      #expect(Set(try await device.listPorts().keys) == Set(ports.dropLast()))

      var wanted: [String: PortConfiguration] = [
        ports[0]: PortConfiguration(native: 101), ports[1]: .quarantine, ports[2]: PortConfiguration(native: 4094),
        ports[3]: hasTrunks ? PortConfiguration(native: 101, tagged: [102, 103, 1000]) : PortConfiguration(native: 5),
      ]
      try await device.apply(wanted, label: "workflow-1/attach-port")
      #expect(try await device.listPorts() == wanted)
      #expect(try await bench.isSaved())

      // Everything replaces everything: trunk to access, access to trunk, quarantine to network and back.
      wanted = [
        ports[0]: hasTrunks ? PortConfiguration(native: 102, tagged: [101]) : PortConfiguration(native: 7),
        ports[1]: PortConfiguration(native: 103), ports[2]: .quarantine, ports[3]: PortConfiguration(native: 104),
      ]
      try await device.apply(wanted, label: "workflow-2/attach-port")
      #expect(try await device.listPorts() == wanted)
      if hasTrunks {
        wanted[ports[0]] = PortConfiguration(native: 102, tagged: [102, 200, 201, 202].filter { $0 != 102 })
        try await device.apply([ports[0]: PortConfiguration(native: 102, tagged: [200, 201, 202])], label: nil)
        #expect(try await device.listPorts() == wanted)
      }

      // Repeated, nothing happens.
      let effects = try await bench.effects()
      #expect(effects > 0)
      try await device.apply(wanted.filter { $0.key != ports[0] }, label: "workflow-2/attach-port")
      #expect(try await bench.effects() == effects)

      // A hand on the switch is seen.
      try await bench.editByHand(ports[1])
      #expect(try await device.readPort(ports[1]) == PortConfiguration(native: 666))
      try await device.apply([ports[1]: .quarantine], label: nil)
      #expect(try await device.readPort(ports[1]) == .quarantine)

      if device.capabilities.contains(.lldp) {
        let heard = try await device.neighbours()
        #expect(heard.first?.port == ports[0] && heard.first?.portID == "eno1", "\(heard)")
        #expect(heard.first?.systemName == "node-1", "\(heard)")
      }
      if device.capabilities.contains(.macTable) {
        let table = try await device.macTable()
        #expect(table.first?.port == ports[0] && table.first?.vlan == 101, "\(table)")
        #expect(table.first?.mac == MACAddress("52:54:00:77:00:01"), "\(table)")
      }
      try await device.ensureNetwork(vlan: 300, name: "tenant \"net\"\n!reload")
      #expect(try await !bench.transcript().contains("!reload"))
      #expect(device.caution?.contains(kind) == true)
    }
  }

  @Test(arguments: ContractBench.engines)
  func manyCallersShareAVisitAndAWrongOneHarmsNobody(kind: String) async throws {
    try await ContractBench.with(kind) { bench in
      let switches = try bench.registry
      let device = try #require(try switches.switchNamed("tor-1") as? SwitchQueue)
      let ports = bench.ports
      func results(_ requests: [(String, PortConfiguration, String?)]) async -> [Result<Void, DriverError>] {
        await withTaskGroup(of: (Int, Result<Void, DriverError>).self) { group in
          // The first holds the switch while the others gather.
          for (index, request) in requests.enumerated() {
            group.addTask {
              do {
                try await device.apply([request.0: request.1], label: request.2)
                return (index, .success(()))
              } catch {
                return (
                  index,
                  .failure(error as? DriverError ?? DriverError(.badReply, device: .node("x"), detail: "\(error)"))
                )
              }
            }
          }
          var all: [Int: Result<Void, DriverError>] = [:]
          for await (index, result) in group { all[index] = result }
          return requests.indices.compactMap { all[$0] }
        }
      }

      let before = await device.visits
      let first = await results(ports.prefix(4).map { ($0, PortConfiguration(native: 101), "w/a") })
      #expect(first.allSatisfy { (try? $0.get()) != nil }, "\(first)")
      #expect(await device.visits - before <= 2)

      // An unknown port, an uplink, hostile names, a refusal in the middle of a batch.
      try await bench.fault { $0.refusedPort = ports[2] }
      let hostile = [
        "\(ports[0])\nshutdown", "\(ports[0]);reload", "\(ports[0]) ! reload", "#\(ports[0])", "${\(ports[0])}", "",
        "-\(ports[0])", "\(ports[0])\u{0}", String(repeating: "e", count: 5000),
      ]
      let second = await results(
        [
          (ports[0], PortConfiguration(native: 201), "w/b"), (ports[1], .quarantine, "w/b"),
          (ports[2], PortConfiguration(native: 202), "w/b"), ("Ethernet1/999", PortConfiguration(native: 203), "w/b"),
          (ports[4], PortConfiguration(native: 204), "w/b"),
        ] + hostile.map { ($0, PortConfiguration(native: 205), "w/b") })
      #expect((try? second[0].get()) != nil, "\(second[0])")
      #expect((try? second[1].get()) != nil, "\(second[1])")
      guard case .failure(let refused) = second[2] else { throw Late(what: "the refusal") }
      #expect(refused.code == .refused && refused.device.name.hasPrefix("switch tor-1"), "\(refused)")
      guard case .failure(let missing) = second[3], case .failure(let uplink) = second[4] else {
        throw Late(what: "the unknown port")
      }
      #expect(missing.code == .misconfigured && missing.device.name == "switch tor-1 port Ethernet1/999", "\(missing)")
      #expect(missing.detail.contains("no such port; it has") && missing.detail.contains(ports[0]), "\(missing)")
      #expect(uplink.code == .misconfigured && uplink.detail.contains("uplink"), "\(uplink)")
      for (name, result) in zip(hostile, second.dropFirst(5)) {
        guard case .failure(let error) = result else { throw Late(what: "a refusal of \(name.prefix(20))") }
        #expect(error.code == .misconfigured && !error.description.contains("\n"), "\(error)")
      }
      let labelled = await driverError("a label") {
        try await device.apply([ports[0]: .quarantine], label: "x\nreload; !#${HOME}")
      }
      #expect(labelled.code == .refused)
      try await bench.fault { _ in }
      let actual = try await device.listPorts()
      #expect(actual[ports[0]] == PortConfiguration(native: 201))
      #expect(actual[ports[1]] == .quarantine)
      #expect(actual[ports[2]] == PortConfiguration(native: 101))
      #expect(actual[ports[3]] == PortConfiguration(native: 101))
      let transcript = try await bench.transcript()
      for word in ["reload", "HOME", "1/999", "${"] { #expect(!transcript.contains(word), "\(word) was sent") }

      // What people wrote stays; ours is the effect key, and goes.
      try await bench.describe(ports[3], "rack-7")
      try await device.apply([ports[3]: PortConfiguration(native: 301), ports[2]: .quarantine], label: "w/c")
      #expect(try await bench.description(ports[3]) == "rack-7")
      #expect(try await ["steelyard:w/c", ""].contains(bench.description(ports[2])))
      try await device.apply([ports[2]: .quarantine], label: nil)
      #expect(try await bench.description(ports[2]) == "")
    }
  }

  @Test(arguments: ContractBench.engines)
  func aSwitchThatMisbehavesIsNotBelieved(kind: String) async throws {
    try await ContractBench.with(kind) { bench in
      let device = try bench.device()
      let ports = bench.ports
      try await device.apply([ports[0]: PortConfiguration(native: 101), ports[1]: .quarantine], label: "w/a")

      // It says yes and does not do it.
      try await bench.fault { $0.lies = true }
      for wanted: PortConfiguration in [PortConfiguration(native: 102), .quarantine] {
        let error = await driverError("a lie") { try await device.apply([ports[0]: wanted], label: "w/b") }
        #expect(error.code == .notInForce && error.device.name == "switch tor-1 port \(ports[0])", "\(error)")
        #expect(error.detail.contains("found VLAN 101"), "\(error)")
      }
      // It has too many sessions, or is slow: later it works.
      try await bench.fault { $0.sessionsRefused = 1 }
      let busy = await driverError("sessions") { try await device.apply([ports[0]: .quarantine], label: "w/b") }
      #expect(busy.isTransient && busy.device.name.hasPrefix("switch tor-1"), "\(busy)")
      try await bench.fault { $0.stallSeconds = 1.5 }
      let slow = await driverError("slow") {
        try await bench.device(limit: .milliseconds(700)).apply([ports[0]: .quarantine], label: "w/b")
      }
      #expect(slow.code == .unreachable, "\(slow)")
      // It drops the connection in the middle.
      try await bench.fault { $0.dropsAfterObeying = 1 }
      let dropped = await driverError("dropped") {
        try await device.apply([ports[0]: PortConfiguration(native: 103)], label: "w/b")
      }
      #expect(dropped.code == .unreachable, "\(dropped)")
      try await bench.fault { _ in }
      try await device.apply([ports[0]: PortConfiguration(native: 103)], label: "w/b")
      #expect(try await device.readPort(ports[0]) == PortConfiguration(native: 103))

      // Nobody there, another's certificate or host key, a wrong password or key.
      let away = await driverError("absent") { try await bench.device(bench.absent).probe() }
      #expect(away.code == .unreachable && away.description.hasPrefix("switch tor-1: "), "\(away)")
      let changed = await driverError("distrusting") {
        try await bench.device(bench.distrusting).apply([ports[0]: .quarantine], label: nil)
      }
      #expect(changed.code == .refused, "\(changed)")
      #expect(changed.detail.contains("certificate") || changed.detail.contains("host key"), "\(changed)")
      let stranger = await driverError("unknown") {
        try await bench.device(bench.unknown).apply([ports[0]: .quarantine], label: nil)
      }
      #expect(stranger.code == .refused, "\(stranger)")
      #expect(stranger.detail.contains("password") || stranger.detail.contains("key"), "\(stranger)")
      #expect(try await device.readPort(ports[0]) == PortConfiguration(native: 103))
    }
  }
}
