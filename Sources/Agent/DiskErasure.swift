import Glibc

/// Makes disks read zero and proves it by reading.
struct DiskErasure {
  enum Mode: String { case full, metadata }

  /// Full erasure reads back every byte up to this size, and samples of larger disks.
  static let verifiedWhole = 8 << 30
  static let edge = 16 << 20
  private static let step = 64 << 20

  let mode: Mode
  /// Told how many bytes of `total` steps are done; throws to stop.
  let progress: (Double) throws -> Void

  struct Outcome { var method: BlockDevice.ZeroMethod, verifiedBytes: Int }

  func run(_ device: BlockDevice) throws -> Outcome {
    let edges = [0..<min(Self.edge, device.size), max(0, device.size - Self.edge)..<device.size]
    let targets = mode == .full ? [0..<device.size] : edges
    let checks = mode == .metadata ? edges : device.size <= Self.verifiedWhole ? targets : edges + samples(device.size)
    var method = try zero(targets, on: device, forced: false)
    do { return Outcome(method: method, verifiedBytes: try verify(checks, on: device)) } catch {
      // Some devices take the command and do nothing. Zeros that were really written are the last word.
      guard method == .zeroout, (error as? AgentError)?.code == .refused else { throw error }
      method = try zero(targets, on: device, forced: true)
      return Outcome(method: .write, verifiedBytes: try verify(checks, on: device))
    }
  }

  private func zero(_ ranges: [Range<Int>], on device: BlockDevice, forced: Bool) throws -> BlockDevice.ZeroMethod {
    var method = BlockDevice.ZeroMethod.zeroout
    let total = ranges.reduce(0) { $0 + $1.count }
    var done = 0
    for range in ranges {
      for start in stride(from: range.lowerBound, to: range.upperBound, by: Self.step) {
        let end = min(start + Self.step, range.upperBound)
        if try device.zero(start..<end, forced: forced) == .write { method = .write }
        done += end - start
        try progress(0.6 * Double(done) / Double(max(total, 1)))
      }
    }
    try device.sync()
    return method
  }

  /// Reads `ranges`.
  /// - Returns: how many bytes were read.
  /// - Throws: ``AgentError`` `.refused` naming the first megabyte that is not zero.
  private func verify(_ ranges: [Range<Int>], on device: BlockDevice) throws -> Int {
    let buffer = AlignedBuffer(byteCount: 1 << 20)
    let total = ranges.reduce(0) { $0 + $1.count }
    var done = 0
    for range in ranges {
      for start in stride(from: range.lowerBound, to: range.upperBound, by: buffer.bytes.count) {
        let count = min(buffer.bytes.count, range.upperBound - start)
        let piece = UnsafeMutableRawBufferPointer(rebasing: buffer.bytes[..<count])
        // What is not read must not look like zero.
        piece[0] = 0xff
        piece[count - 1] = 0xff
        try device.readBulk(into: piece, at: start)
        guard isZero(UnsafeRawBufferPointer(piece)) else {
          throw AgentError(.refused, "After erasing, \(device.path) still holds data near byte \(start).")
        }
        done += count
        if done % Self.step < count { try progress(0.6 + 0.4 * Double(done) / Double(max(total, 1))) }
      }
    }
    return done
  }

  /// 1,024 pieces of 64 KiB, one at a random place in each 1,024th of the disk.
  private func samples(_ size: Int) -> [Range<Int>] {
    let stretch = size / 1024
    return (0..<1024).map { index in
      let at = (index * stretch + Int.random(in: 0..<(stretch - 65536))) / BlockDevice.alignment * BlockDevice.alignment
      return at..<(at + 65536)
    }
  }
}

/// Whether every byte is zero.
func isZero(_ bytes: UnsafeRawBufferPointer) -> Bool {
  guard let first = bytes.first, let base = bytes.baseAddress else { return true }
  // Comparing the memory with itself, shifted by one byte, leaves the loop to the C library's fast code.
  return first == 0 && memcmp(base, base + 1, bytes.count - 1) == 0
}
