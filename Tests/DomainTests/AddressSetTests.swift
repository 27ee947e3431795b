import Domain
import Testing

@Suite struct AddressSetTests {
  /// The last bytes of the addresses in 10.0.0.0/24 and of 2001:db8::/120.
  private func bytes(_ set: AddressSet) -> Set<UInt8> {
    var out: Set<UInt8> = []
    for run in set.runs {
      for value in run.start.value...run.end.value { out.insert(UInt8(truncatingIfNeeded: value)) }
    }
    return out
  }

  @Test func setsOfBlocksAreSetsOfAddresses() throws {
    var random: UInt64 = 42
    func next(_ limit: UInt64) -> UInt64 {
      random = random &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return (random >> 33) % limit
    }
    for round in 0..<400 {
      let version = round % 2 == 0 ? 4 : 6
      let base = try #require(version == 4 ? IPAddress("10.0.0.0") : IPAddress("2001:db8::"))
      func blocks() throws -> [CIDR] {
        try (0..<next(9)).map { _ in
          let bits = Int(next(7))
          let value = base.value + UInt128((next(256) >> UInt64(bits)) << UInt64(bits))
          return try #require(CIDR(network: IPAddress(version: version, value: value), prefix: base.width - bits))
        }
      }
      let (first, second) = (AddressSet(try blocks()), AddressSet(try blocks()))

      #expect(bytes(first.subtracting(second)) == bytes(first).subtracting(bytes(second)))
      #expect(first.isSuperset(of: second) == bytes(first).isSuperset(of: bytes(second)))
      #expect(first.intersects(second) == !bytes(first).isDisjoint(with: bytes(second)))
      let again = AddressSet(first.blocks)
      #expect(again == first)
      for (block, follower) in zip(first.blocks, first.blocks.dropFirst()) {
        let joined = CIDR(network: block.network, prefix: block.prefix - 1)
        #expect(
          block.last < follower.first && (joined?.last != follower.last || block.prefix != follower.prefix),
          "\(block) and \(follower) are one")
      }
    }
  }

  @Test func theEndsOfTheAddressSpaceAreInIt() throws {
    let all = try #require(CIDR("::/0")), half = try #require(CIDR("8000::/1"))
    let everything = AddressSet([all])
    #expect(everything.blocks == [all])
    #expect(everything.subtracting(AddressSet([half])).blocks.map(\.description) == ["::/1"])
    #expect(everything.subtracting(everything).runs.isEmpty)
    let last = try #require(CIDR("255.255.255.255/32")), wide = try #require(CIDR("0.0.0.0/0"))
    #expect(AddressSet([wide]).subtracting(AddressSet([last])).blocks.count == 32)
    #expect(AddressSet([last, wide]).blocks == [wide])
    #expect(CIDR(network: last.network, prefix: 31) == nil)
    #expect(CIDR(network: last.network, prefix: 33) == nil)
  }
}
