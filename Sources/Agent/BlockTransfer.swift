import BlockMaps
import CLinux
import Glibc
import Synchronization

/// Fetches blocks from the server and writes them, each checked against the map before it reaches the disk.
///
/// One thread receives; others unpack, check and write what it has received. A transfer that breaks is gone on with by asking
/// for the blocks that are not written yet, which needs nothing of the server.
final class BlockTransfer {
  /// Blocks that came damaged, in one transfer, until it is given up: one is bad luck, and asked for again.
  private static let mostDamaged = 3

  private struct State {
    var isDone: [Bool]
    var doneCount = 0
    var written = 0
    var damaged = 0
    var failure: AgentError?
  }
  /// A block as it came. Unchecked: one thread has it at a time.
  private final class Frame: @unchecked Sendable {
    let bytes: AlignedBuffer
    var header: BlockCoder.Header
    init(_ size: Int) {
      bytes = AlignedBuffer(byteCount: size)
      header = BlockCoder.Header(UnsafeRawBufferPointer(bytes.bytes))
    }
  }

  private let image: DiskImage
  private let map: BlockMap
  private let device: BlockDevice
  private let session: ServerSession
  private let progress: (Double) throws -> Void
  private let connection: HTTPConnection
  private let state: Mutex<State>
  private let free: Handover<Frame>
  private let full = Handover<Frame>()
  private let frameCount: Int
  /// Bytes of blocks that came, with their headers.
  private(set) var received = 0
  /// Bytes of the disk that were written.
  var written: Int { state.withLock { $0.written } }

  /// - Parameter progress: told how much is done (0 to 1) after each block; throws to stop.
  init(
    _ image: DiskImage, _ map: BlockMap, to device: BlockDevice, session: ServerSession,
    progress: @escaping (Double) throws -> Void
  ) {
    (self.image, self.map, self.device, self.session, self.progress) = (image, map, device, session, progress)
    connection = HTTPConnection(server: session.server)
    state = Mutex(State(isDone: [Bool](repeating: false, count: map.count)))
    // 4 MiB on their way, and three blocks at least: the ramdisk has little memory.
    frameCount = max(3, min(8, (4 << 20) / map.blockSize))
    free = Handover((0..<frameCount).map { _ in Frame(map.blockSize) })
  }

  /// Returns when all of `blocks` are written.
  /// - Parameter blocks: data blocks, ascending.
  /// - Throws: ``AgentError``; the disk then holds some of them.
  func run(_ blocks: [Int]) throws {
    let threads = ThreadGroup()
    for _ in 0..<blockThreads() { threads.start { [writing] in writing() } }
    defer {
      full.close()
      threads.wait()
    }
    var pause = session.timing.firstPause
    var failedSince: Double?
    while true {
      let rest = state.withLock { state in blocks.filter { !state.isDone[$0] } }
      if rest.isEmpty { return }
      do {
        try attempt(rest, of: blocks.count)
        try settle()
      } catch let error as AgentError where error.isTransient {
        try settle()
        let now = clinux_monotonic_seconds()
        let left = state.withLock { state in rest.count { !state.isDone[$0] } }
        if left < rest.count || failedSince == nil {
          failedSince = now
          pause = session.timing.firstPause
        }
        guard let failedSince, now - failedSince + pause <= session.timing.patience else {
          throw AgentError(error.code, "The transfer of the image broke off for good: \(error)")
        }
        session.log.say("the transfer broke with \(left) of \(blocks.count) blocks to go: \(error)")
        connection.close()
        try progress(Double(blocks.count - left) / Double(blocks.count))
        usleep(UInt32(pause * 1_000_000))
        pause = min(pause * 2, session.timing.longestPause)
      }
    }
  }

  /// Waits until all that came is written or refused.
  private func settle() throws {
    let frames = (0..<frameCount).compactMap { _ in free.take() }
    for frame in frames { free.put(frame) }
    try check()
  }
  private func check() throws {
    let (failure, damaged) = state.withLock { ($0.failure, $0.damaged) }
    if let failure { throw failure }
    guard damaged <= Self.mostDamaged else {
      throw AgentError(
        .refused,
        "\(damaged) blocks of the image came with another SHA-256 than its map says: it is changed on the way or on the "
          + "server's disk. Deploy again; if it stays so, the network or the server's disk is broken.")
    }
  }

  /// Runs of `blocks` with nothing but zero blocks in between: the server has no frames for those.
  private func ranges(_ blocks: [Int]) -> [Range<Int>] {
    var ranges: [Range<Int>] = []
    for block in blocks {
      if let last = ranges.last, (last.upperBound..<block).allSatisfy({ map.isZero($0) }) {
        ranges[ranges.count - 1] = last.lowerBound..<(block + 1)
      } else {
        ranges.append(block..<(block + 1))
      }
    }
    return ranges
  }

  private func attempt(_ rest: [Int], of total: Int) throws {
    let ranges = ranges(rest).prefix(BlockRanges.most)
    let request = HTTPRequest(
      method: "POST", path: image.path + "/blocks",
      headers: [("Authorization", "Bearer \(session.token)"), ("Content-Type", "application/octet-stream")],
      body: BlockRanges.bytes(ranges))
    let response = try connection.send(request, timeout: session.timing.silence)
    guard response.status == 200 else {
      try ServerSession.check(response.status, try connection.readWholeBody(limit: 65536))
      throw AgentError(.refused, "The server answered \(response.status) instead of the image's blocks.")
    }
    let end = ranges.last?.upperBound ?? 0
    for index in rest.prefix(while: { $0 < end }) {
      guard let frame = free.take() else { return }
      do { try receive(index, frame) } catch {
        free.put(frame)
        throw error
      }
      full.put(frame)
      try check()
      try progress(Double(state.withLock { $0.doneCount }) / Double(total))
    }
    var more: UInt8 = 0
    guard try withUnsafeMutableBytes(of: &more, { try connection.readBody(into: $0) }) == 0 else {
      throw AgentError(.refused, "The server sent more blocks than it was asked for.")
    }
  }

  private func receive(_ index: Int, _ frame: Frame) throws {
    try read(BlockCoder.headerLength, into: frame.bytes.bytes)
    frame.header = BlockCoder.Header(UnsafeRawBufferPointer(frame.bytes.bytes))
    do { try frame.header.check(against: map) } catch { throw AgentError(.refused, error.description) }
    guard frame.header.index == index else {
      throw AgentError(.refused, "The server sent block \(frame.header.index) instead of \(index).")
    }
    try read(frame.header.storedLength, into: frame.bytes.bytes)
    received += BlockCoder.headerLength + frame.header.storedLength
  }

  private func read(_ count: Int, into target: UnsafeMutableRawBufferPointer) throws {
    var at = 0
    while at < count {
      let got = try connection.readBody(into: UnsafeMutableRawBufferPointer(rebasing: target[at..<count]))
      // Cleanly ended by the server, but short: the next try may find it whole.
      guard got > 0 else { throw AgentError(.unreachable, "The image's blocks ended in the middle.") }
      at += got
    }
  }

  /// What each of the other threads does.
  private var writing: @Sendable () -> Void {
    { [full, free, map, device, log = session.log, state = Shared(self)] in
      let coder = BlockCoder()
      let buffer = AlignedBuffer(byteCount: map.blockSize)
      while let frame = full.take() {
        defer { free.put(frame) }
        if state.hasFailed { continue }
        let index = frame.header.index
        let range = map.range(of: index)
        let block = UnsafeMutableRawBufferPointer(rebasing: buffer.bytes[..<range.count])
        do {
          try coder.decode(
            UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(frame.bytes.bytes)[..<frame.header.storedLength]),
            into: block)
          guard let digest = map.digest(of: index),
            SHA256.of(UnsafeRawBufferPointer(block)).elementsEqual(digest)
          else {
            log.say("block \(index) came with another SHA-256 than the map says")
            state.damaged()
            continue
          }
          // What follows the disk's last block is behind the image; whole sectors are written.
          let whole = BlockDevice.aligned(range.count)
          UnsafeMutableRawBufferPointer(rebasing: buffer.bytes[range.count..<whole]).initializeMemory(
            as: UInt8.self, repeating: 0)
          try device.writeBulk(
            UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(buffer.bytes)[..<whole]), at: range.lowerBound)
          state.wrote(index, range.count)
        } catch let error as BlockFormatError {
          log.say("block \(index): \(error)")
          state.damaged()
        } catch { state.failed(AgentError(wrapping: error)) }
      }
    }
  }

  /// The state, for the threads that write. Unchecked: they are waited for before the transfer ends.
  private struct Shared: @unchecked Sendable {
    unowned let transfer: BlockTransfer
    init(_ transfer: BlockTransfer) { self.transfer = transfer }
    var hasFailed: Bool { transfer.state.withLock { $0.failure != nil } }
    func damaged() { transfer.state.withLock { $0.damaged += 1 } }
    func failed(_ error: AgentError) { transfer.state.withLock { $0.failure = error } }
    func wrote(_ index: Int, _ count: Int) {
      transfer.state.withLock {
        $0.isDone[index] = true
        $0.doneCount += 1
        $0.written += count
      }
    }
  }
}
