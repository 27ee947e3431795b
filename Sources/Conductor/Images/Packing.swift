import BlockMaps
import Cryptography
import Glibc
import Processes

/// Packs a raw disk block by block: one reader that hashes the whole and writes the result, and a thread for each of up to four
/// processors that hash and compress single blocks. Holes are not read.
///
/// Memory: two rounds of two blocks per thread, each as it is and packed (16 MiB with four threads).
final class Packing: Sendable {
  private let done = Atomic64()
  private let total = Atomic64()
  var fraction: Double { total.value == 0 ? 0 : Double(done.value) / Double(total.value) }

  struct Result: Sendable {
    var map: [UInt8]
    var mapSHA256: String
    /// ``DiskDigest``, lower-case hex.
    var digest: String
    var size: Int
  }

  /// - Parameters:
  ///   - path: the raw form.
  ///   - target: the file of packed blocks (``PackedDisk``); made anew.
  ///   - digest: which one over the whole.
  func run(_ path: String, into target: String, _ digest: DiskDigest.Kind) async throws -> Result {
    let main = FileThread("image blocks")
    let pass = try await main.run { try Pass(path, target, digest, self.total) }
    let workers = (0..<min(4, max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN))))).map { FileThread("image block \($0)") }
    let rounds = (0..<2).map { _ in Round(blocks: workers.count * 2, blockSize: pass.blockSize) }
    try await main.run { try pass.fill(rounds[0]) }
    var current = 0
    while rounds[current].count > 0 {
      try Task.checkCancellation()
      let (now, other) = (rounds[current], rounds[1 - current])
      try await withThrowingTaskGroup(of: Void.self) { group in
        for (index, worker) in workers.enumerated() {
          group.addTask { try await worker.run { now.encode(every: workers.count, from: index) } }
        }
        // Meanwhile: what was packed in the round before is written, and the next one read.
        group.addTask {
          try await main.run {
            try pass.write(other)
            try pass.fill(other)
          }
        }
        try await group.waitForAll()
      }
      done.value = pass.position.value
      current = 1 - current
    }
    let last = rounds[1 - current]
    return try await main.run {
      try pass.write(last)
      return try pass.finish()
    }
  }

  /// Blocks on their way. Unchecked: the reader and the packing threads have it one after the other, and packing threads
  /// touch different places.
  private final class Round: @unchecked Sendable {
    struct Place {
      var index = 0
      var length = 0
      var digest: [UInt8] = []
      /// 0 for a block of zeros.
      var packed = 0
    }
    let blockSize: Int
    let room: Int
    let raw: UnsafeMutableRawBufferPointer
    let packed: UnsafeMutableRawBufferPointer
    let places: UnsafeMutableBufferPointer<Place>
    private let coders: [BlockCoder]
    /// How many places are filled.
    var count = 0

    init(blocks: Int, blockSize: Int) {
      self.blockSize = blockSize
      room = BlockCoder.room(forBlockOf: blockSize)
      raw = .allocate(byteCount: blocks * blockSize, alignment: 4096)
      packed = .allocate(byteCount: blocks * room, alignment: 4096)
      places = .allocate(capacity: blocks)
      places.initialize(repeating: Place())
      coders = (0..<blocks).map { _ in BlockCoder() }
    }
    deinit {
      raw.deallocate()
      packed.deallocate()
      places.deinitialize().deallocate()
    }
    func block(_ at: Int) -> UnsafeMutableRawBufferPointer {
      UnsafeMutableRawBufferPointer(rebasing: raw[(at * blockSize)..<(at * blockSize + places[at].length)])
    }
    func frame(_ at: Int) -> UnsafeMutableRawBufferPointer {
      UnsafeMutableRawBufferPointer(rebasing: packed[(at * room)..<((at + 1) * room)])
    }
    func encode(every step: Int, from first: Int) {
      for at in stride(from: first, to: count, by: step) {
        let block = UnsafeRawBufferPointer(block(at))
        guard !BlockCoder.isZero(block) else {
          places[at].packed = 0
          continue
        }
        var digest = DigestStream(.sha256)
        digest.update(block)
        places[at].digest = digest.finish()
        places[at].packed = coders[first].encode(block, index: places[at].index, into: frame(at))
      }
    }
  }

  /// Both files. Unchecked: on one thread, one call after the other.
  private final class Pass: @unchecked Sendable {
    let blockSize: Int
    let position = Atomic64()
    private let size: Int
    private let source: Int32
    private let target: Int32
    private var whole: DiskDigest
    private var builder: BlockMap.Builder
    private var next = 0
    private var table: [UInt64] = []
    private var end = PackedDisk.headerLength
    /// lseek(2): SEEK_DATA, which Glibc's module does not have.
    private static let seekData: Int32 = 3
    private let zeros: UnsafeMutableRawBufferPointer

    init(_ path: String, _ targetPath: String, _ digest: DiskDigest.Kind, _ total: Atomic64) throws {
      whole = DiskDigest(digest)
      source = try Files.open(path, O_RDONLY)
      do {
        size = try Files.size(source)
        blockSize = BlockMap.blockSize(forDiskOf: size)
        builder = try BlockMap.Builder(size: size, blockSize: blockSize)
        unlink(targetPath)
        target = try Files.open(targetPath, O_RDWR | O_CREAT | O_EXCL)
      } catch {
        close(source)
        throw error
      }
      zeros = .allocate(byteCount: blockSize, alignment: 4096)
      zeros.initializeMemory(as: UInt8.self, repeating: 0)
      total.value = size
      try Files.write(UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(zeros)[..<end]), to: target)
    }
    deinit {
      close(source)
      close(target)
      zeros.deallocate()
    }

    /// Reads the next blocks that are no holes.
    func fill(_ round: Round) throws {
      round.count = 0
      while round.count < round.places.count, next * blockSize < size {
        let start = next * blockSize
        let data = lseek(source, off_t(start), Self.seekData)
        // ENXIO: nothing but a hole up to the end.
        let found = data < 0 ? (errno == ENXIO ? size : start) : Int(data)
        let block = found >= size ? (size + blockSize - 1) / blockSize : found / blockSize
        for hole in next..<max(next, block) {
          whole.addHole(
            UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(zeros)[..<min(blockSize, size - hole * blockSize)]))
        }
        next = max(next, block)
        guard next * blockSize < size else { break }
        round.places[round.count] = Round.Place(index: next, length: min(blockSize, size - next * blockSize))
        let target = round.block(round.count)
        var got = 0
        while got < target.count {
          let count = pread(
            source, target.baseAddress?.advanced(by: got), target.count - got, off_t(next * blockSize + got))
          if count < 0, errno == EINTR { continue }
          guard count > 0 else { throw FileError("read an image", count == 0 ? EIO : errno) }
          got += count
        }
        whole.add(UnsafeRawBufferPointer(target), number: next)
        round.count += 1
        next += 1
      }
      position.value = min(size, next * blockSize)
    }

    /// Writes what a round has packed.
    func write(_ round: Round) throws {
      for at in 0..<round.count where round.places[at].packed > 0 {
        let place = round.places[at]
        skip(to: place.index)
        try Files.write(UnsafeRawBufferPointer(rebasing: round.frame(at)[..<place.packed]), to: target)
        table.append(UInt64(end).littleEndian)
        builder.add(digest: place.digest)
        end += place.packed
      }
    }
    private func skip(to index: Int) {
      builder.addZeros(index - builder.next)
      table += repeatElement(UInt64(end).littleEndian, count: index - table.count)
    }

    func finish() throws -> Result {
      let disk = try PackedDisk(size: size, blockSize: blockSize, table: end)
      skip(to: disk.count)
      table.append(UInt64(end).littleEndian)
      try table.withUnsafeBytes { try Files.write($0, to: target) }
      guard lseek(target, 0, SEEK_SET) == 0 else { throw FileError("write an image's blocks") }
      try disk.header.withUnsafeBytes { try Files.write($0, to: target) }
      let map = builder.map.bytes
      return Result(
        map: map, mapSHA256: Digest.hex(Digest.sha256(map)), digest: whole.finish(size: size), size: size)
    }
  }
}
