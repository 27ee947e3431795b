/// A set of addresses of one IP version: runs in ascending order that neither touch nor overlap.
public struct AddressSet: Sendable, Equatable {
  public let runs: [AddressPool]

  /// - Parameter blocks: all of one version, in any order; they may overlap.
  public init(_ blocks: some Sequence<CIDR>) {
    self.init(merging: blocks.map { AddressPool($0.first, $0.last) })
  }
  private init(merging pools: [AddressPool]) {
    var runs: [AddressPool] = []
    for pool in pools.sorted(by: { $0.start < $1.start }) {
      guard let last = runs.last, pool.start.value <= last.end.value || pool.start.value - last.end.value == 1 else {
        runs.append(pool)
        continue
      }
      if pool.end > last.end { runs[runs.count - 1].end = pool.end }
    }
    self.runs = runs
  }

  public func isSuperset(of other: AddressSet) -> Bool { other.subtracting(self).runs.isEmpty }
  public func intersects(_ other: AddressSet) -> Bool { other.subtracting(self) != other }

  /// What is left without the addresses of `other`. Takes time in proportion to the runs of both.
  public func subtracting(_ other: AddressSet) -> AddressSet {
    var left: [AddressPool] = []
    var next = 0
    for run in runs {
      while next < other.runs.count, other.runs[next].end < run.start { next += 1 }
      var rest: AddressPool? = run
      var hole = next
      while let open = rest, hole < other.runs.count, other.runs[hole].start <= open.end {
        let taken = other.runs[hole]
        if taken.start > open.start { left.append(AddressPool(open.start, taken.start.moved(-1))) }
        rest = taken.end < open.end ? AddressPool(taken.end.moved(1), open.end) : nil
        hole += 1
      }
      if let rest { left.append(rest) }
    }
    return AddressSet(merging: left)
  }

  /// The same addresses as the fewest blocks, in ascending order.
  public var blocks: [CIDR] {
    var out: [CIDR] = []
    for run in runs {
      var start: IPAddress? = run.start
      while let first = start {
        let span = run.end.value - first.value
        var bits = min(first.value.trailingZeroBitCount, first.width)
        while bits > 0, Self.last(bits) > span { bits -= 1 }
        guard let block = CIDR(network: first, prefix: first.width - bits) else { break }
        out.append(block)
        start = block.last < run.end ? block.last.moved(1) : nil
      }
    }
    return out
  }
  /// The highest number of `bits` bits.
  private static func last(_ bits: Int) -> UInt128 { bits == 128 ? .max : (1 << bits) - 1 }
}

extension IPAddress {
  /// The address before or after this one, which there must be.
  fileprivate func moved(_ step: Int) -> IPAddress {
    IPAddress(version: version, value: step > 0 ? value + 1 : value - 1)
  }
}
