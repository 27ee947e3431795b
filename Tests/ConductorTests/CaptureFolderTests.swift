import BlockMaps
import Cryptography
import Glibc
import TestSupport
import Testing

@testable import Conductor

/// What agents send of disks: put at its place, and nothing that does not belong to such a disk.
@Suite struct CaptureFolderTests {
  private func frame(_ bytes: [UInt8], index: Int) -> [UInt8] {
    var frame = [UInt8](repeating: 0, count: BlockCoder.room(forBlockOf: bytes.count))
    let count = bytes.withUnsafeBytes { bytes in
      frame.withUnsafeMutableBytes { BlockCoder().encode(bytes, index: index, into: $0) }
    }
    return Array(frame[..<count])
  }
  private func content(_ path: String) throws -> [UInt8] {
    let descriptor = try Files.open(path, O_RDONLY)
    defer { close(descriptor) }
    return try Files.read(descriptor, at: 0, count: Files.size(descriptor))
  }

  @Test func blocksHaveTheirPlacesWhateverTheirOrderAndHoweverOften() async throws {
    try await withFolder("capture") { path in
      let folder = CaptureFolder(path: path + "/captures")
      let blockSize = 64 << 10, size = 3 * blockSize + 512
      let first = randomBytes(blockSize), last = [UInt8](repeating: 7, count: 512)
      for _ in 0..<2 {
        try await folder.take(frame(last, index: 3), size: size, blockSize: blockSize, of: "w")
        try await folder.take(frame(first, index: 0), size: size, blockSize: blockSize, of: "w")
      }
      let whole = first + [UInt8](repeating: 0, count: 2 * blockSize) + last
      #expect(try content(folder.disk("w")) == whole)
      var about = stat()
      #expect(stat(folder.disk("w"), &about) == 0 && about.st_blocks * 512 < size, "zeros take room")
      #expect(folder.files.map(\.workflow) == ["w"])
      folder.remove("w")
      #expect(folder.files.isEmpty)
    }
  }

  @Test func whatIsNotOfSuchADiskIsRefused() async throws {
    try await withFolder("capture") { path in
      let folder = CaptureFolder(path: path + "/captures")
      let blockSize = 64 << 10, size = 2 * blockSize
      let block = [UInt8](repeating: 9, count: blockSize)
      var bomb = frame([UInt8](repeating: 9, count: 2 * blockSize), index: 0)
      let good = frame(block, index: 0)
      var long = good
      long[4] = 0xff
      let wrong: [[UInt8]] = [
        [0], good.dropLast(), frame(block, index: 2), frame(block, index: 1 << 31), long, bomb, good + [1, 2, 3],
        [0, 0, 0, 0, 0, 0, 0, 0, 1],
      ].map { Array($0) }
      for frames in wrong {
        await #expect(throws: ConductorError.self) {
          try await folder.take(frames, size: size, blockSize: blockSize, of: "w")
        }
      }
      bomb.removeAll()
      for (size, blockSize) in [(0, 65536), (-1, 65536), (1 << 62, 65536), (65536, 1), (65536, 3 << 16)] {
        await #expect(throws: ConductorError.self) {
          try await folder.take([], size: size, blockSize: blockSize, of: "x")
        }
      }
      // Another size than at first.
      try await folder.take(good, size: size, blockSize: blockSize, of: "w")
      await #expect(throws: ConductorError.self) {
        try await folder.take(good, size: size + 512, blockSize: blockSize, of: "w")
      }
      await #expect(throws: ConductorError.self) { try await folder.take(map: [1, 2, 3], of: "w") }
      await #expect(throws: ConductorError.self) { _ = try await folder.readMap("w") }
    }
  }
}
