import BlockMaps
import Glibc
import Synchronization

/// Tells which blocks of a map a disk holds, by reading them. One thread each.
final class BlockReader {
  private let map: BlockMap
  private let device: BlockDevice
  private let buffer: AlignedBuffer

  init(_ map: BlockMap, on device: BlockDevice) {
    (self.map, self.device) = (map, device)
    buffer = AlignedBuffer(byteCount: map.blockSize)
  }

  /// True when the disk has the block's bytes.
  func holds(_ index: Int) throws -> Bool {
    let range = map.range(of: index)
    let whole = BlockDevice.aligned(range.count)
    let count = min(whole, device.size - range.lowerBound)
    try device.readBulk(into: UnsafeMutableRawBufferPointer(rebasing: buffer.bytes[..<count]), at: range.lowerBound)
    let block = UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(buffer.bytes)[..<range.count])
    guard let digest = map.digest(of: index) else { return BlockCoder.isZero(block) }
    return SHA256.of(block).elementsEqual(digest)
  }

  /// Reads several blocks in several threads.
  /// - Parameter progress: told how many are done; throws to stop.
  /// - Returns: those that the disk does not hold, ascending.
  static func missing(
    _ indexes: [Int], of map: BlockMap, on device: BlockDevice, progress: (Int) throws -> Void
  ) throws -> [Int] {
    let found = Mutex<(done: Int, missing: [Int], failure: AgentError?)>((0, [], nil))
    let work = Handover<ArraySlice<Int>>()
    let piece = 16
    for start in stride(from: 0, to: indexes.count, by: piece) {
      work.put(indexes[start..<min(start + piece, indexes.count)])
    }
    work.close()
    let ended = Handover<Void>()
    let threads = blockThreads()
    for _ in 0..<threads {
      startThread {
        let reader = BlockReader(map, on: device)
        while let some = work.take() {
          defer { ended.put(()) }
          if found.withLock({ $0.failure != nil }) { continue }
          do {
            let missing = try some.filter { try !reader.holds($0) }
            found.withLock {
              $0.missing += missing
              $0.done += some.count
            }
          } catch { found.withLock { $0.failure = AgentError(wrapping: error) } }
        }
      }
    }
    for _ in stride(from: 0, to: indexes.count, by: piece) {
      _ = ended.take()
      do { try progress(found.withLock { $0.done }) } catch {
        found.withLock { $0.failure = AgentError(wrapping: error) }
      }
    }
    if let failure = found.withLock({ $0.failure }) { throw failure }
    return found.withLock { $0.missing }.sorted()
  }

  /// Every so-manieth of `indexes`, at most `count`, the first and the last among them.
  static func sample(_ indexes: [Int], count: Int) -> [Int] {
    guard indexes.count > count, count > 1 else { return Array(indexes.prefix(count)) }
    return (0..<count).map { indexes[$0 * (indexes.count - 1) / (count - 1)] }
  }
}

/// Threads that hash blocks, and wait for the disk about half of their time: two more than there are processors, six at most.
func blockThreads() -> Int { min(6, max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN))) + 2) }
