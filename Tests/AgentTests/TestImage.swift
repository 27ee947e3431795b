import BlockMaps

@testable import Agent

/// An image as the server has it: a map, and a frame for each block that is not zero.
struct TestImage: Sendable {
  let map: BlockMap
  /// Empty for a zero block.
  let frames: [[UInt8]]
  var mapSHA256: String { digest(map.bytes) }

  init(_ raw: [UInt8]) {
    let blockSize = BlockMap.blockSize(forDiskOf: raw.count)
    let coder = BlockCoder()
    var frames: [[UInt8]] = []
    var digests: [[UInt8]] = []
    for start in stride(from: 0, to: raw.count, by: blockSize) {
      let block = Array(raw[start..<min(start + blockSize, raw.count)])
      var frame = [UInt8](repeating: 0, count: BlockCoder.room(forBlockOf: block.count))
      let length = block.withUnsafeBytes { block -> Int in
        if BlockCoder.isZero(block) { return 0 }
        digests.append(SHA256.of(block))
        return frame.withUnsafeMutableBytes { coder.encode(block, index: frames.count, into: $0) }
      }
      if length == 0 { digests.append([]) }
      frames.append(Array(frame[..<length]))
    }
    self.frames = frames
    guard var builder = try? BlockMap.Builder(size: raw.count, blockSize: blockSize) else {
      preconditionFailure("no disk has \(raw.count) bytes")
    }
    for digest in digests { if digest.isEmpty { builder.addZeros() } else { builder.add(digest: digest) } }
    map = builder.map
  }

  /// What the server sends for a request's body.
  func frames(_ body: [UInt8]) -> [UInt8] {
    guard let ranges = try? BlockRanges.parse(body, count: map.count) else { return [] }
    return ranges.flatMap { $0 }.flatMap { frames[$0] }
  }
  var allFrames: [UInt8] { frames.flatMap { $0 } }
}
