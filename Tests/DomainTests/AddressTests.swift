import Domain
import Testing

@Suite struct MACAddressTests {
  @Test func everySpellingBecomesOne() {
    for text in ["52:54:00:aa:bb:01", "52:54:00:AA:BB:01", "52-54-00-Aa-bB-01"] {
      #expect(MACAddress(text)?.description == "52:54:00:aa:bb:01", "\(text)")
    }
    #expect(MACAddress("52:54:00:AA:BB:01") == MACAddress("52-54-00-aa-bb-01"))
  }

  @Test func whatIsNoAddressIsRefused() {
    for text in [
      "", "52:54:00:aa:bb", "52:54:00:aa:bb:01:02", "52:54:00:aa:bb:0", "525400aabb01", "52:54:00:aa:bb:0g",
      "+2:54:00:aa:bb:01",
      "52:54:00:aa:bb:+1", "-1:54:00:aa:bb:01", "52:54:00:aa:bb:01\n", " 52:54:00:aa:bb:01",
      "52:54:00:aa:bb:01,set:admitted",
      "52:54:00:aa:bb:é", "::52540:0aa:bb:01", "52 54 00 aa bb 01", "５２:54:00:aa:bb:01",
    ] { #expect(MACAddress(text) == nil, "\(text)") }
  }
}

@Suite struct IPAddressTests {
  @Test func addressesAreReadStrictly() {
    for text in ["0.0.0.0", "10.0.0.1", "255.255.255.255", "::", "::1", "fd00::1:0:0:2", "2001:db8::"] {
      #expect(IPAddress(text)?.description == text)
    }
    #expect(IPAddress("2001:DB8:0:0:0:0:0:1")?.description == "2001:db8::1")
    #expect(IPAddress("::ffff:10.0.0.1")?.value == 0xffff_0a00_0001)
    for text in [
      "", "10.1", "010.0.0.1", "0x0a.0.0.1", "10.0.0.256", "10.0.0.+1", "10.0.0.1 ", "1.2.3.4.5", "1..2.3", ":::",
      "1::2::3", "12345::",
      "::+1", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "10.0.0.1::", "fd00::1%eth0",
    ] { #expect(IPAddress(text) == nil, "\(text)") }
  }

  @Test func blocksHaveNoHostBits() {
    #expect(CIDR("10.0.1.0/24")?.last.description == "10.0.1.255")
    #expect(CIDR("10.0.1.0/24")?.hosts.description == "10.0.1.1-10.0.1.254")
    #expect(CIDR("10.0.1.0/20") == nil)
    #expect(CIDR("0.0.0.0/0")?.contains(IPAddress(version: 4, value: 0xffff_ffff)) == true)
    #expect(CIDR.recommended(for: "10.0.1.7/24") == "10.0.1.0/24")
    #expect(CIDR("10.0.0.0/8")?.netmask.description == "255.0.0.0")
    for text in ["10.0.1.7/24", "10.0.0.0", "10.0.0.0/33", "10.0.0.0/+8", "10.0.0.0/-1", "10.0.0.0/8/8", "::/129"] {
      #expect(CIDR(text) == nil, "\(text)")
    }
  }

  @Test func keysSortAsAddressesDo() throws {
    let texts = ["0.0.0.9", "10.0.0.1", "10.0.0.2", "9.255.255.255", "200.0.0.1"]
    let addresses = try texts.map { try #require(IPAddress($0)) }
    #expect(addresses.sorted().map(\.key) == addresses.map(\.key).sorted())
    for address in addresses { #expect(IPAddress(version: 4, key: address.key) == address) }
  }

  @Test func theLowestFreeAddressIsFound() throws {
    let pool = try #require(CIDR("10.0.0.0/29")).hosts
    let address = { (last: Int) in IPAddress(version: 4, value: 0x0a00_0000 + UInt128(last)) }
    #expect(pool.lowestFree(taken: []) == address(1))
    #expect(pool.lowestFree(taken: [address(1), address(2), address(4)]) == address(3))
    #expect(pool.lowestFree(taken: (0...6).map { address($0) }) == nil)
    #expect(pool.without(address(1)).map(\.description) == ["10.0.0.2-10.0.0.6"])
    #expect(pool.without(address(3)).map(\.description) == ["10.0.0.1-10.0.0.2", "10.0.0.4-10.0.0.6"])
  }
}
