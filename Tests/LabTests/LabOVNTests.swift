import Glibc
import Processes
import Testing
import Wire

@testable import Lab

/// OVN as a part of the lab.
@Suite struct LabOVNTests {
  @Test func ovnComesUpWithTheSwitchAsItsChassisAndGoesWithTheLab() async throws {
    try await Room.with { room in
      let machine = LabMachine(index: 1, room: room.number)
      try await room.lab.up([machine], hasOVN: true)
      let inventory = try JSON(parsing: try Files.read(room.lab.inventoryFile))
      let northbound = try #require(inventory["ovn"]?["northbound"]?.string)
      #expect(inventory["ovn"]?["chassis"] == ["lab"])
      #expect(await room.lab.status().isWhole)
      // The chassis has taken what is asked for, which is nothing yet.
      func sync() async throws {
        try await runChecked("ovn-nbctl", ["--db=\(northbound)", "--timeout=20", "--wait=hv", "sync"])
      }
      try await sync()
      let ports = try await runChecked(
        "ovs-vsctl", ["--db=unix:\(room.lab.switchSocket)", "--timeout=10", "get", "Open_vSwitch", ".", "external_ids"])
      #expect(ports.text.contains("ovn-bridge-mappings=\"datacentre:sw0\""))

      // One part ends; `up`, which is not told again, starts it and leaves the rest alone.
      let first = room.process("ovn/nb.pid")
      kill(try #require(room.process("ovn/northd.pid")), SIGKILL)
      try await waitUntil("it is missed") { await !room.lab.status().isWhole }
      #expect(await room.lab.status().text.contains("NOT RUNNING: OVN's northd"))
      try await room.lab.up([machine])
      #expect(await room.lab.status().isWhole)
      #expect(first != nil && room.process("ovn/nb.pid") == first)
      try await sync()

      try await room.lab.down()
      #expect(room.processes() == [])
      #expect(!room.hasNamespace && !Files.exists(room.lab.folder))
    }
  }
}
