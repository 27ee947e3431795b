import Testing

@testable import Agent

@Suite struct LLDPNeighborTests {
  let ethernet: [UInt8] = [0x01, 0x80, 0xc2, 0, 0, 0x0e, 0x52, 0x54, 0, 0, 0, 1, 0x88, 0xcc]

  func element(_ type: UInt8, _ value: [UInt8]) -> [UInt8] {
    [type << 1 | UInt8(value.count >> 8), UInt8(value.count & 0xff)] + value
  }
  func mandatory(port: [UInt8] = [5] + Array("Eth1/4".utf8), ttl: [UInt8] = [0, 120]) -> [UInt8] {
    element(1, [4, 0xde, 0xad, 0xbe, 0xef, 0, 1]) + element(2, port) + element(3, ttl)
  }

  @Test func anAnnouncementIsRead() throws {
    let frame =
      ethernet + mandatory() + element(4, Array("to node 7".utf8)) + element(5, Array("tor-2\0".utf8))
      + element(127, [0, 0x80, 0xc2, 1, 0, 100]) + [0, 0] + [UInt8](repeating: 0, count: 20)
    let neighbor = try #require(LLDPNeighbor(frame: frame))
    #expect(neighbor.chassisID == "de:ad:be:ef:00:01")
    #expect(neighbor.portID == "Eth1/4")
    #expect(neighbor.portDescription == "to node 7")
    #expect(neighbor.systemName == "tor-2")
  }

  @Test func otherSubtypesAreShownInTheirWriting() throws {
    let mac = try #require(LLDPNeighbor(frame: ethernet + mandatory(port: [3, 1, 2, 3, 4, 5, 6])))
    #expect(mac.portID == "01:02:03:04:05:06")
    let address = try #require(LLDPNeighbor(frame: ethernet + mandatory(port: [4, 1, 10, 0, 0, 7])))
    #expect(address.portID == "10.0.0.7")
  }

  @Test func abuse22_anElementLongerThanTheFrameIsRefused() {
    // 600 bytes cannot even be written in nine bits: the top bit spills into the type.
    #expect(
      LLDPNeighbor(frame: ethernet + mandatory() + [5 << 1 | 1, 0xff] + [UInt8](repeating: 65, count: 400)) == nil)
    #expect(LLDPNeighbor(frame: ethernet + [2 << 1 | 1, 0x58] + [UInt8](repeating: 5, count: 600)) == nil)
    #expect(LLDPNeighbor(frame: ethernet + mandatory() + [8]) == nil)
  }

  @Test func abuse22_aFloodOfElementsIsRefused() {
    let flood = (0..<200).flatMap { _ in element(127, []) }
    #expect(LLDPNeighbor(frame: ethernet + mandatory() + flood) == nil)
  }

  @Test func abuse12_textLosesItsControlCharacters() throws {
    let name = Array("tor\n#!ipxe\u{1b}[2J${x}\u{202e}".utf8)
    let neighbor = try #require(LLDPNeighbor(frame: ethernet + mandatory() + element(5, name)))
    let shown = try #require(neighbor.systemName)
    #expect(!shown.unicodeScalars.contains { $0.value < 0x20 || $0.value == 0x202e })
    #expect(shown.hasPrefix("tor #!ipxe"))
  }

  @Test func whatIsNoAnnouncementIsNil() {
    #expect(LLDPNeighbor(frame: []) == nil)
    #expect(LLDPNeighbor(frame: Array(ethernet.prefix(13))) == nil)
    #expect(LLDPNeighbor(frame: ethernet) == nil)
    #expect(LLDPNeighbor(frame: ethernet + mandatory(ttl: [0, 0])) == nil, "a farewell")
    #expect(LLDPNeighbor(frame: ethernet + mandatory(port: [5])) == nil, "a port without a name")
    #expect(LLDPNeighbor(frame: ethernet + element(2, [5, 65]) + element(1, [7, 65]) + element(3, [0, 9])) == nil)
  }

  @Test func anyBytesAtAllAreSurvived() {
    for _ in 0..<5000 {
      var frame = ethernet + mandatory() + randomBytes(Int.random(in: 0...80))
      for _ in 0..<3 { frame[Int.random(in: 0..<frame.count)] = UInt8.random(in: 0...255) }
      _ = LLDPNeighbor(frame: Array(frame.prefix(Int.random(in: 0...frame.count))))
    }
  }
}
