import Testing

@testable import Lab

@Suite struct LabMachineTests {
  private let machines = [0, 1, 250].flatMap { room in
    (1...99).map { LabMachine(index: $0, room: room, nics: 3) }
  }

  @Test func nothingThatMustDifferIsTheSame() {
    for room in [0, 1, 250] {
      let here = machines.filter { $0.room == room }
      #expect(Set(here.flatMap(\.macs)).count == 297)
      #expect(Set(here.flatMap(\.taps)).count == 297)
      #expect(Set(here.map(\.uuid)).count == 99)
      #expect(Set(here.map(\.serialPort)).count == 99)
    }
    // Two labs on one host share the loopback network.
    #expect(Set(machines.map(\.controllerAddress)).count == machines.count)
    #expect(Set(machines.map(\.controllerAddress)).isDisjoint(with: machines.map(\.serialAddress)))
  }

  @Test func namesAreWellFormed() {
    for machine in machines {
      #expect(machine.uuid.utf8.count == 36)
      // IFNAMSIZ less the zero.
      #expect(machine.taps.allSatisfy { $0.utf8.count <= 15 })
      for mac in machine.macs {
        let octets = mac.split(separator: ":")
        #expect(octets.count == 6 && octets.allSatisfy { $0.count == 2 && UInt8($0, radix: 16) != nil }, "\(mac)")
      }
      #expect(machine.controllerAddress.split(separator: ".").allSatisfy { UInt8($0) != nil })
    }
  }

  @Test func aMachineIsReadBackAsItWasWritten() throws {
    let machine = LabMachine(
      index: 7, room: 3, firmware: .uefi, controller: .redfish, disk: .nvme, memory: 512, diskGibibytes: 4, nics: 2)
    #expect(LabMachine(machine.json) == machine)
    #expect(LabMachine(["index": 1]) == nil)
    #expect(LabMachine(.null) == nil)
  }
}
