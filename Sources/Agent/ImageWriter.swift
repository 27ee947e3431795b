import BlockMaps
import Glibc
import Synchronization

/// Makes a disk hold what an image's map says: what is there already stays, what is missing is fetched, zeros are made in
/// between, and a part is read back at the end.
final class ImageWriter {
  /// In bytes of the disk, but for `sent`, which is what went over the network.
  struct Report: Equatable {
    var sent = 0
    var written = 0
    var reused = 0
    var zeroed = 0
    var verified = 0
  }
  /// Blocks of each kind that are looked at to find out whether it is worth reading all of them.
  private static let samples = 16
  /// Made zero at a time, so that it can be stopped in between.
  private static let zeroPiece = 256 << 20

  private let image: DiskImage
  private let map: BlockMap
  private let device: BlockDevice
  private let zeroesByCommand: Bool
  private let session: ServerSession
  private let progress: (Double, String) throws -> Void
  /// True once the disk may have been changed.
  private(set) var hasBegun = false

  /// - Parameter zeroesByCommand: as of the ``Disk``.
  init(
    _ image: DiskImage, _ map: BlockMap, to device: BlockDevice, zeroesByCommand: Bool, session: ServerSession,
    progress: @escaping (Double, String) throws -> Void
  ) {
    (self.image, self.map, self.device, self.session, self.progress) = (image, map, device, session, progress)
    self.zeroesByCommand = zeroesByCommand
  }

  /// - Throws: ``AgentError``; when ``hasBegun``, the disk then holds a part of an image.
  func run() throws -> Report {
    var report = Report()
    let data = (0..<map.count).filter { !map.isZero($0) }
    let missing = try missing(of: data)
    report.reused = bytes(data) - bytes(missing)
    if report.reused > 0 {
      session.log.say("the disk has \(data.count - missing.count) of \(data.count) blocks already")
    }

    hasBegun = true
    let zeroing = Zeroing(map, on: device, byCommand: zeroesByCommand)
    let thread = ThreadGroup()
    thread.start { zeroing.run() }
    let transfer = BlockTransfer(image, map, to: device, session: session) { [progress] part in
      if let failure = zeroing.failure { throw failure }
      try progress(0.1 + 0.8 * part, "writing the image")
    }
    do { try transfer.run(missing) } catch {
      zeroing.stop()
      thread.wait()
      throw error
    }
    thread.wait()
    if let failure = zeroing.failure { throw failure }
    (report.sent, report.written, report.zeroed) = (transfer.received, transfer.written, zeroing.zeroed)
    try device.sync()
    report.verified = try verify(missing)
    return report
  }

  private func bytes(_ blocks: [Int]) -> Int { blocks.reduce(0) { $0 + map.range(of: $1).count } }

  /// The data blocks that the disk does not hold; all of them when it holds none of a few that are looked at first.
  private func missing(of data: [Int]) throws -> [Int] {
    let reader = BlockReader(map, on: device)
    guard try BlockReader.sample(data, count: Self.samples).contains(where: reader.holds) else { return data }
    return try BlockReader.missing(data, of: map, on: device) { [progress] done in
      try progress(0.1 * Double(done) / Double(data.count), "comparing the disk with the image")
    }
  }

  /// Reads some of what was written back, and some of what must be zero.
  /// - Returns: bytes.
  private func verify(_ written: [Int]) throws -> Int {
    let most = image.verifyBytes / map.blockSize
    let zeros = (0..<map.count).filter { map.isZero($0) }
    let chosen = (BlockReader.sample(written, count: most) + BlockReader.sample(zeros, count: most / 4)).sorted()
    let wrong = try BlockReader.missing(chosen, of: map, on: device) { [progress] done in
      try progress(0.9 + 0.07 * Double(done) / Double(chosen.count), "reading back")
    }
    guard let first = wrong.first else { return bytes(chosen) }
    throw AgentError(
      .refused,
      "The disk \(device.path) does not keep what it is given: \(wrong.count) of \(chosen.count) blocks read back "
        + "differently, the first at byte \(map.range(of: first).lowerBound). Replace the disk.")
  }

  /// Makes the zero blocks of a disk zero, where they are not.
  private final class Zeroing: Sendable {
    private let map: BlockMap
    private let device: BlockDevice
    private let byCommand: Bool
    private let state = Mutex<(zeroed: Int, failure: AgentError?, isStopped: Bool)>((0, nil, false))
    var zeroed: Int { state.withLock { $0.zeroed } }
    var failure: AgentError? { state.withLock { $0.failure } }

    init(_ map: BlockMap, on device: BlockDevice, byCommand: Bool) {
      (self.map, self.device, self.byCommand) = (map, device, byCommand)
    }
    func stop() { state.withLock { $0.isStopped = true } }

    func run() {
      do {
        let zeros = (0..<map.count).filter { map.isZero($0) }
        let reader = BlockReader(map, on: device)
        let looked = BlockReader.sample(zeros, count: ImageWriter.samples)
        // On a disk that is mostly clean, and would be sent the zeros, reading is no more than that, and writes nothing.
        let isClean = try !byCommand && looked.count(where: reader.holds) * 2 > looked.count
        for run in map.runs(where: map.isZero) {
          let step = isClean ? 1 : max(1, ImageWriter.zeroPiece / map.blockSize)
          for first in stride(from: run.lowerBound, to: run.upperBound, by: step) {
            if state.withLock({ $0.isStopped }) { return }
            let last = min(first + step, run.upperBound) - 1
            if isClean, try reader.holds(first) { continue }
            let start = map.range(of: first).lowerBound
            let end = min(BlockDevice.aligned(map.range(of: last).upperBound), device.size)
            try device.zero(start..<end)
            state.withLock { $0.zeroed += end - start }
          }
        }
      } catch { state.withLock { $0.failure = AgentError(wrapping: error) } }
    }
  }
}
