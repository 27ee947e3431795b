import CLinux

/// SHA-256 (FIPS 180-4).
///
/// Not libcrypto: it makes the agent half as large again, and on a processor without SHA instructions it picks vector
/// code that an emulated machine runs at 21 MB/s, where this does 53 (ramdisk/README.md). A processor that has the
/// instructions gets them through ``CLinux``.
public struct SHA256 {
  private var state: [UInt32] = [
    0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19,
  ]
  private var pending: [UInt8] = []
  private var length: UInt64 = 0
  private let hardware: Bool

  /// - Parameter portable: leaves the processor's own instructions unused, so that a test can compare.
  public init(portable: Bool = false) {
    hardware = !portable && clinux_has_sha256() == 1
    pending.reserveCapacity(128)
  }

  private static let roundConstants: [UInt32] = [
    0x428a_2f98, 0x7137_4491, 0xb5c0_fbcf, 0xe9b5_dba5, 0x3956_c25b, 0x59f1_11f1, 0x923f_82a4, 0xab1c_5ed5,
    0xd807_aa98, 0x1283_5b01, 0x2431_85be, 0x550c_7dc3, 0x72be_5d74, 0x80de_b1fe, 0x9bdc_06a7, 0xc19b_f174,
    0xe49b_69c1, 0xefbe_4786, 0x0fc1_9dc6, 0x240c_a1cc, 0x2de9_2c6f, 0x4a74_84aa, 0x5cb0_a9dc, 0x76f9_88da,
    0x983e_5152, 0xa831_c66d, 0xb003_27c8, 0xbf59_7fc7, 0xc6e0_0bf3, 0xd5a7_9147, 0x06ca_6351, 0x1429_2967,
    0x27b7_0a85, 0x2e1b_2138, 0x4d2c_6dfc, 0x5338_0d13, 0x650a_7354, 0x766a_0abb, 0x81c2_c92e, 0x9272_2c85,
    0xa2bf_e8a1, 0xa81a_664b, 0xc24b_8b70, 0xc76c_51a3, 0xd192_e819, 0xd699_0624, 0xf40e_3585, 0x106a_a070,
    0x19a4_c116, 0x1e37_6c08, 0x2748_774c, 0x34b0_bcb5, 0x391c_0cb3, 0x4ed8_aa4a, 0x5b9c_ca4f, 0x682e_6ff3,
    0x748f_82ee, 0x78a5_636f, 0x84c8_7814, 0x8cc7_0208, 0x90be_fffa, 0xa450_6ceb, 0xbef9_a3f7, 0xc671_78f2,
  ]

  /// Adds bytes.
  public mutating func update(_ bytes: UnsafeRawBufferPointer) {
    length &+= UInt64(bytes.count)
    var rest = bytes
    if !pending.isEmpty {
      let take = min(64 - pending.count, rest.count)
      pending.append(contentsOf: rest[..<take])
      rest = UnsafeRawBufferPointer(rebasing: rest[take...])
      guard pending.count == 64 else { return }
      let block = pending
      block.withUnsafeBytes { compress($0, blocks: 1) }
      pending.removeAll(keepingCapacity: true)
    }
    let blocks = rest.count / 64
    if blocks > 0 { compress(rest, blocks: blocks) }
    pending.append(contentsOf: rest[(blocks * 64)...])
  }

  /// Adds bytes.
  public mutating func update(_ bytes: [UInt8]) { bytes.withUnsafeBytes { update($0) } }

  private static let zeros = [UInt8](repeating: 0, count: 65536)

  /// Adds `count` zero bytes. Their message schedule is zero too, which saves a third of the work of the portable
  /// code: most of an image is holes.
  public mutating func updateZeros(_ count: Int) {
    var rest = count
    if !pending.isEmpty {
      let take = min(64 - pending.count, rest)
      update([UInt8](repeating: 0, count: take))
      rest -= take
    }
    if hardware {
      Self.zeros.withUnsafeBytes { zeros in
        while rest >= 64 {
          let take = min(rest, zeros.count) & ~63
          update(UnsafeRawBufferPointer(rebasing: zeros[..<take]))
          rest -= take
        }
      }
    } else {
      length &+= UInt64(rest & ~63)
      compressPortably(nil, blocks: rest / 64)
      rest %= 64
    }
    if rest > 0 { update([UInt8](repeating: 0, count: rest)) }
  }

  /// The digest of all that was added, as 32 bytes.
  public func digest() -> [UInt8] {
    var copy = self
    var tail: [UInt8] = [0x80]
    while (copy.pending.count + tail.count) % 64 != 56 { tail.append(0) }
    let bits = length &* 8
    for shift in stride(from: 56, through: 0, by: -8) { tail.append(UInt8(truncatingIfNeeded: bits >> UInt64(shift))) }
    copy.update(tail)
    return copy.state.flatMap { word in [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: word >> UInt32($0)) } }
  }

  /// The digest of one piece of memory.
  static func of(_ bytes: UnsafeRawBufferPointer) -> [UInt8] {
    var hash = SHA256()
    hash.update(bytes)
    return hash.digest()
  }

  /// The digest as 64 lower-case hexadecimal digits.
  public func hexDigest() -> String { hexadecimal(digest()) }

  private mutating func compress(_ bytes: UnsafeRawBufferPointer, blocks: Int) {
    if hardware, let start = bytes.bindMemory(to: UInt8.self).baseAddress {
      state.withUnsafeMutableBufferPointer { clinux_sha256_blocks($0.baseAddress, start, blocks) }
    } else {
      compressPortably(bytes, blocks: blocks)
    }
  }

  @inline(__always) private static func rotate(_ x: UInt32, _ n: UInt32) -> UInt32 { (x &>> n) | (x &<< (32 &- n)) }

  /// One round. The caller renames the words instead of moving them: eight moves a round are a third of the time on an
  /// emulated processor.
  @inline(__always)
  private static func round(
    _ a: UInt32, _ b: UInt32, _ c: UInt32, _ d: inout UInt32, _ e: UInt32, _ f: UInt32, _ g: UInt32, _ h: inout UInt32,
    _ word: UInt32
  ) {
    h = h &+ (rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)) &+ (g ^ (e & (f ^ g))) &+ word
    d = d &+ h
    h = h &+ (rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)) &+ ((a & b) | (c & (a | b)))
  }

  /// Takes in `blocks` blocks of 64 bytes; nil stands for zeros.
  private mutating func compressPortably(_ bytes: UnsafeRawBufferPointer?, blocks: Int) {
    guard blocks > 0 else { return }
    var (h0, h1, h2, h3) = (state[0], state[1], state[2], state[3])
    var (h4, h5, h6, h7) = (state[4], state[5], state[6], state[7])
    withUnsafeTemporaryAllocation(of: UInt32.self, capacity: 64) { memory in
      memory.initialize(repeating: 0)
      guard let w = memory.baseAddress else { return }
      Self.roundConstants.withUnsafeBufferPointer { constants in
        guard let k = constants.baseAddress else { return }
        for block in 0..<blocks {
          if let bytes {
            for i in 0..<16 {
              w[i] = bytes.loadUnaligned(fromByteOffset: block &* 64 &+ i &* 4, as: UInt32.self).bigEndian
            }
            for i in 16..<64 {
              let x = w[i &- 15]
              let y = w[i &- 2]
              let s0 = Self.rotate(x, 7) ^ Self.rotate(x, 18) ^ (x &>> 3)
              let s1 = Self.rotate(y, 17) ^ Self.rotate(y, 19) ^ (y &>> 10)
              w[i] = w[i &- 16] &+ s0 &+ w[i &- 7] &+ s1
            }
          }
          var (a, b, c, d, e, f, g, h) = (h0, h1, h2, h3, h4, h5, h6, h7)
          var i = 0
          while i < 64 {
            Self.round(a, b, c, &d, e, f, g, &h, w[i] &+ k[i])
            Self.round(h, a, b, &c, d, e, f, &g, w[i &+ 1] &+ k[i &+ 1])
            Self.round(g, h, a, &b, c, d, e, &f, w[i &+ 2] &+ k[i &+ 2])
            Self.round(f, g, h, &a, b, c, d, &e, w[i &+ 3] &+ k[i &+ 3])
            Self.round(e, f, g, &h, a, b, c, &d, w[i &+ 4] &+ k[i &+ 4])
            Self.round(d, e, f, &g, h, a, b, &c, w[i &+ 5] &+ k[i &+ 5])
            Self.round(c, d, e, &f, g, h, a, &b, w[i &+ 6] &+ k[i &+ 6])
            Self.round(b, c, d, &e, f, g, h, &a, w[i &+ 7] &+ k[i &+ 7])
            i &+= 8
          }
          (h0, h1, h2, h3) = (h0 &+ a, h1 &+ b, h2 &+ c, h3 &+ d)
          (h4, h5, h6, h7) = (h4 &+ e, h5 &+ f, h6 &+ g, h7 &+ h)
        }
      }
    }
    state = [h0, h1, h2, h3, h4, h5, h6, h7]
  }
}

/// Bytes as lower-case hexadecimal digits.
func hexadecimal(_ bytes: some Sequence<UInt8>) -> String {
  let digits = Array("0123456789abcdef".utf8)
  return String(decoding: bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
}
