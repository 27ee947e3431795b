import Testing
import Wire

@testable import Agent

/// What the agent reports of its cables beside its work: the NICs that have heard something, and no others.
@Suite struct NeighborReportTests {
  @Test func onlyWhatWasHeardIsReported() throws {
    let scratch = Scratch()
    let machine = try scratch.machine(diskBytes: 1 << 20)
    for (index, name) in ["eth0", "eth1"].enumerated() {
      _ = run("mkdir -p \(scratch.path)/sys/class/net/\(name)/device")
      try scratch.write("sys/class/net/\(name)/type", "1\n")
      try scratch.write("sys/class/net/\(name)/address", "52:54:00:AA:00:0\(index)\n")
      try scratch.write("sys/class/net/\(name)/ifindex", "\(index + 2)\n")
    }
    // IEEE 802.1AB: chassis, port, time to live.
    let header: [UInt8] = [1, 0x80, 0xc2, 0, 0, 0x0e, 2, 0, 0, 0, 0, 1, 0x88, 0xcc]
    let chassis = [2, 4, 7] + Array("tor".utf8), port = [4, 3, 5] + Array("p7".utf8)
    let heard = try #require(LLDPNeighbor(frame: header + chassis + port + [6, 2, 0, 120, 0, 0]))

    let report = Inventory(machine: machine).neighbors([3: heard, 9: heard])

    #expect(
      report == [
        [
          "mac": "52:54:00:aa:00:01",
          "lldp": ["chassis_id": "tor", "port_id": "p7", "port_description": nil, "system_name": nil],
        ]
      ], "\(report)")
    #expect(Inventory(machine: machine).neighbors([:]) == [])
  }
}
