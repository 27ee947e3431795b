import Glibc

/// Makes disks read zero and proves it by reading.
struct DiskErasure {
  enum Mode: String { case full, metadata }

  /// Full erasure reads back every byte up to this size, and samples of larger disks.
  static let verifiedWhole = 8 << 30
  static let edge = 16 << 20
  private static let step = 64 << 20
  private static let sample = 64 << 10

  let mode: Mode
  /// So many bytes from the disk's beginning were made zero by an erasure that was interrupted.
  var done = 0
  /// What the disk itself can do; nil for a disk that is to be overwritten.
  var nvme: (any NVMeController, namespace: UInt32)?
  /// How much is on the disk for good before it is told.
  var stride = 1 << 30
  /// Told up to where everything is zero and on the disk.
  var reached: (Int) -> Void = { _ in }
  /// Told how many bytes of `total` steps are done; throws to stop.
  let progress: (Double) throws -> Void

  struct Outcome { var method: String, verifiedBytes: Int }

  func run(_ device: BlockDevice) throws -> Outcome {
    if mode == .full, let nvme, let outcome = try runByDisk(device, nvme.0, nvme.namespace) { return outcome }
    let edges = [0..<min(Self.edge, device.size), max(0, device.size - Self.edge)..<device.size]
    let targets = mode == .full ? [try resumed(device)..<device.size] : edges
    let checks =
      mode == .metadata
      ? edges : device.size <= Self.verifiedWhole ? [0..<device.size] : edges + samples(0..<device.size)
    var method = try zero(targets, on: device, forced: false)
    do { return Outcome(method: method.rawValue, verifiedBytes: try verify(checks, on: device)) } catch {
      // Some devices take the command and do nothing. Zeros that were really written are the last word.
      guard (error as? AgentError)?.code == .refused else { throw error }
      guard method == .zeroout || targets != [0..<device.size] else { throw error }
      method = try zero(mode == .full ? [0..<device.size] : edges, on: device, forced: true)
      return Outcome(method: BlockDevice.ZeroMethod.write.rawValue, verifiedBytes: try verify(checks, on: device))
    }
  }

  /// Where an interrupted erasure goes on: only when what lies before reads zero still, by samples.
  private func resumed(_ device: BlockDevice) throws -> Int {
    let place = min(max(done, 0), device.size) / Self.step * Self.step
    guard place >= 1024 * Self.sample else { return 0 }
    do { _ = try verify([0..<Self.edge] + samples(0..<place), on: device) } catch let error as AgentError {
      guard error.code == .refused else { throw error }
      return 0
    }
    return place
  }

  /// The disk erases itself. What it says is not believed: of what was read here and there before, nothing may be read again.
  /// - Returns: nil when it offers nothing, or did nothing.
  private func runByDisk(
    _ device: BlockDevice, _ controller: any NVMeController, _ namespace: UInt32
  ) throws -> Outcome? {
    let probes = device.size >= 1024 * Self.sample ? samples(0..<device.size) : [0..<device.size]
    let before = try contents(probes, device)
    let erasure = NVMeErasure(controller: controller, namespace: namespace) { try progress(0.5 * $0) }
    guard let method = try erasure.run() else { return nil }
    try device.sync()
    guard try contents(probes, device).allSatisfy({ range, digest in before[range] != digest }) else { return nil }
    // No partition table, and no boot loader, is made of what a disk without its key reads as.
    let edges = [0..<min(Self.edge, device.size), max(0, device.size - Self.edge)..<device.size]
    _ = try zero(edges, on: device, forced: false)
    let verified = try verify(edges, on: device)
    return Outcome(method: method.rawValue, verifiedBytes: verified + probes.reduce(0) { $0 + $1.count })
  }

  /// The digests of the ranges that are not zero.
  private func contents(_ ranges: [Range<Int>], _ device: BlockDevice) throws -> [Range<Int>: String] {
    var found: [Range<Int>: String] = [:]
    let buffer = AlignedBuffer(byteCount: Self.sample)
    for range in ranges.flatMap({ pieces($0, Self.sample) }) {
      let piece = UnsafeMutableRawBufferPointer(rebasing: buffer.bytes[..<range.count])
      try device.readBulk(into: piece, at: range.lowerBound)
      guard !isZero(UnsafeRawBufferPointer(piece)) else { continue }
      var hash = SHA256()
      hash.update(Array(piece))
      found[range] = hash.hexDigest()
    }
    return found
  }
  private func pieces(_ range: Range<Int>, _ size: Int) -> [Range<Int>] {
    Swift.stride(from: range.lowerBound, to: range.upperBound, by: size).map {
      $0..<min($0 + size, range.upperBound)
    }
  }

  private func zero(_ ranges: [Range<Int>], on device: BlockDevice, forced: Bool) throws -> BlockDevice.ZeroMethod {
    var method = BlockDevice.ZeroMethod.zeroout
    let total = ranges.reduce(0) { $0 + $1.count }
    var zeroed = 0
    var safe = ranges.first?.lowerBound ?? 0
    for range in ranges {
      for start in Swift.stride(from: range.lowerBound, to: range.upperBound, by: Self.step) {
        let end = min(start + Self.step, range.upperBound)
        if try device.zero(start..<end, forced: forced) == .write { method = .write }
        zeroed += end - start
        if mode == .full, end - safe >= stride {
          try device.sync()
          safe = end
          reached(end)
        }
        try progress(0.6 * Double(zeroed) / Double(max(total, 1)))
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
      for start in Swift.stride(from: range.lowerBound, to: range.upperBound, by: buffer.bytes.count) {
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

  /// 1,024 pieces of 64 KiB, one at a random place in each 1,024th of a range of at least 64 MiB.
  private func samples(_ range: Range<Int>) -> [Range<Int>] {
    let stretch = range.count / 1024
    return (0..<1024).map { index in
      let within = stretch > Self.sample ? Int.random(in: 0..<(stretch - Self.sample)) : 0
      let at = (range.lowerBound + index * stretch + within) / BlockDevice.alignment * BlockDevice.alignment
      return at..<(at + Self.sample)
    }
  }
}

/// Whether every byte is zero.
func isZero(_ bytes: UnsafeRawBufferPointer) -> Bool {
  guard let first = bytes.first, let base = bytes.baseAddress else { return true }
  // Comparing the memory with itself, shifted by one byte, leaves the loop to the C library's fast code.
  return first == 0 && memcmp(base, base + 1, bytes.count - 1) == 0
}
