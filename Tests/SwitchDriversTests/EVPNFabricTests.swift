import Domain
import DriverInterfaces
import Glibc
import TestSupport
import Testing

@testable import SwitchDrivers

/// A real EVPN fabric, by frames: two Linux leaves whose FRR tell each other by BGP which VNIs they carry; the driver joins
/// their VLANs and writes no tunnel.
@Suite struct EVPNFabricTests {
  /// The taps at which a frame from `sender` arrives, untagged.
  private func heard(
    from sender: String, _ taps: [String: Tap], _ mark: UInt32, awaiting: Set<String> = []
  ) async throws -> Set<String> {
    // Two frames are apart by what they carry, so that one that is late is not taken for another.
    let frame = Frame(from: Frame.mac(UInt8(mark)), mark: mark)
    let found = try await frame.heard(from: sender, taps, awaiting: awaiting)
    return Set(found.filter { $0.value.contains { $0.tags.isEmpty } }.keys)
  }

  @Test func aNetworkReachesTheOtherLeafUnderItsOwnNumberAndNoOther() async throws {
    try await LinuxLeaf.pair([["a1", "a2", "a3"], ["b1", "b2", "b3"]]) { a, b in
      let taps = a.taps.merging(b.taps) { $1 }
      #expect(a.driver.caution == nil && a.driver.controlPlane == .evpn(fabric: "pod-1"))
      #expect(Set(try await a.driver.listPorts().keys) == ["a1", "a2", "a3"])

      // Other VLANs on each leaf; "2" is another network, with a number that the first has on the other leaf.
      try await a.driver.apply(
        ["a1": PortConfiguration(native: 101), "a2": PortConfiguration(native: 301), "a3": .quarantine],
        label: "workflow-1/attach-port")
      try await b.driver.apply(
        ["b1": PortConfiguration(native: 301), "b2": PortConfiguration(native: 101), "b3": .quarantine], label: nil)
      #expect(
        try await a.driver.listPorts() == [
          "a1": PortConfiguration(native: 101), "a2": PortConfiguration(native: 301), "a3": .quarantine,
        ])
      #expect(try await heard(from: "a1", taps, 1).isEmpty)
      #expect(try await a.type("cat /sys/class/net/a1/ifalias").hasPrefix("steelyard:workflow-1/attach-port"))

      // One end alone reaches nobody; the other makes it one network.
      try await a.driver.bindVNI(5001, vlan: 101)
      #expect(try await a.driver.boundVNIs() == [101: 5001])
      #expect(try await heard(from: "a1", taps, 2).isEmpty)
      try await b.driver.bindVNI(5001, vlan: 301)
      #expect(try await heard(from: "a1", taps, 3, awaiting: ["b1"]) == ["b1"])
      #expect(try await heard(from: "b1", taps, 4, awaiting: ["a1"]) == ["a1"])
      // The MAC came by BGP, not by a frame.
      try await until("leaf 2 has been told where a1 is") {
        try await b.type("bridge fdb show dev vni5001").split(separator: "\n").contains {
          $0.contains("52:54:00:77:00:03") && $0.contains("extern_learn")
        }
      }

      // A second network, with the same numbers the other way round.
      try await a.driver.bindVNI(5002, vlan: 301)
      try await b.driver.bindVNI(5002, vlan: 101)
      #expect(try await heard(from: "a2", taps, 5, awaiting: ["b2"]) == ["b2"])
      #expect(try await heard(from: "a1", taps, 6, awaiting: ["b1"]) == ["b1"])
      #expect(try await heard(from: "a3", taps, 7).isEmpty, "quarantine reaches nobody")
      let macs = try await a.driver.macTable()
      #expect(
        macs.contains { $0.port == "a1" && $0.vlan == 101 && $0.mac == MACAddress("52:54:00:77:00:06") }, "\(macs)")
      #expect(!macs.contains { $0.port.hasPrefix("vni") })

      // A machine that moves to the other network is in it, and only there.
      try await a.driver.apply(["a1": PortConfiguration(native: 301)], label: nil)
      #expect(try await heard(from: "a1", taps, 8, awaiting: ["a2", "b2"]) == ["a2", "b2"])

      // Parted on one leaf, and nothing passes either way; what else is joined stays so.
      try await a.driver.apply(["a1": PortConfiguration(native: 101)], label: nil)
      try await b.driver.unbindVNI(5001)
      try await b.driver.unbindVNI(5001)
      #expect(try await heard(from: "a1", taps, 9).isEmpty)
      #expect(try await heard(from: "b1", taps, 10).isEmpty)
      #expect(try await heard(from: "a2", taps, 11, awaiting: ["b2"]) == ["b2"])
      #expect(try await b.driver.boundVNIs() == [101: 5002])
    }
  }

  @Test func aHandOnALeafIsSeenAndPutRight() async throws {
    try await LinuxLeaf.pair([["a1"], []]) { a, _ in
      try await a.driver.apply(["a1": PortConfiguration(native: 101)], label: nil)
      try await a.driver.bindVNI(5001, vlan: 101)
      let hands = [
        "ip link set dev vni5001 down", "ip link set dev vni5001 nomaster", "bridge link set dev vni5001 learning on",
        "ip link del dev vni5001; ip link add vni5001 type vxlan id 7 local 172.31.9.1 dstport 4789 nolearning",
        // It is there, and BGP does not tell of it.
        "vtysh -c 'configure terminal' -c 'router bgp 65000' -c 'address-family l2vpn evpn' -c 'no advertise-all-vni'",
      ]
      // The first and the last where time is short.
      for hand in getenv("STEELYARD_SLOW") == nil ? [hands[0], hands[4]] : hands {
        _ = try await a.type(hand)
        try await until("it is seen: \(hand)") { try await a.driver.boundVNIs() == [-5001: 5001] }
        if hand.hasPrefix("vtysh") {
          let silent = await driverError("BGP is silent") { try await a.driver.bindVNI(5001, vlan: 101) }
          #expect(silent.code == .notInForce)
          _ = try await a.type(hand.replacing("no advertise", with: "advertise"))
        }
        try await a.driver.bindVNI(5001, vlan: 101)
        #expect(try await a.driver.boundVNIs() == [101: 5001])
      }
      // A port that somebody took out of its network, and one that is shut.
      _ = try await a.type("ip link set dev a1 nomaster")
      #expect(try await a.driver.readPort("a1") == PortConfiguration(native: 0))
      _ = try await a.type("ip link set dev a1 down")
      #expect(try await a.driver.readPort("a1") == .quarantine)
      let unknown = await driverError("a port") { try await a.driver.apply(["a9": .quarantine], label: nil) }
      #expect(unknown.code == .misconfigured && unknown.detail.contains("no such port; it has a1"))
      let tagged = await driverError("tags") {
        try await a.driver.apply(["a1": PortConfiguration(native: 101, tagged: [102])], label: nil)
      }
      #expect(tagged.code == .unsupported)
      // The switch itself answers nobody on a machine's network.
      try await a.driver.apply(["a1": PortConfiguration(native: 101)], label: nil)
      let tap = try #require(a.taps["a1"])
      for target: [UInt8] in [[172, 31, 9, 1], [127, 0, 0, 1]] {
        tap.send(bytes: Self.question(about: target))
        try await Task.sleep(for: .milliseconds(50))
        // ARP's answers.
        let answers = tap.receivedBytes().filter { $0.count > 21 && $0[12] == 8 && $0[13] == 6 && $0[21] == 2 }
        #expect(answers.isEmpty, "the leaf answers for \(target)")
      }
    }
  }
  /// Who has this address?
  private static func question(about target: [UInt8]) -> [UInt8] {
    let mac = Frame.mac(1)
    let bytes =
      Frame.broadcast + mac + [8, 6, 0, 1, 8, 0, 6, 4, 0, 1] + mac + [172, 31, 9, 77] + Frame.broadcast + target
    return bytes + [UInt8](repeating: 0, count: 64 - bytes.count)
  }
}
