import BlockMaps
import Cryptography
import DriverInterfaces
import Glibc
import Processes
import TestSupport
import Testing

@testable import VolumeDrivers

/// Backups of disks, which come as a map and the blocks that the store lacks.
@Suite struct DiskPiecesTests {
  private static let (one, two) = ("11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222")
  private static let blockSize = 64 << 10

  /// A disk of so many blocks, some of which hold a word.
  private struct Content {
    var blocks: [Int: [UInt8]]
    var map: BlockMap
    init(_ count: Int, _ words: [Int: String]) throws {
      blocks = words.mapValues {
        Array($0.utf8) + [UInt8](repeating: 0, count: DiskPiecesTests.blockSize - $0.utf8.count)
      }
      var builder = try BlockMap.Builder(size: count * DiskPiecesTests.blockSize, blockSize: DiskPiecesTests.blockSize)
      for index in 0..<count {
        if let block = blocks[index] { builder.add(digest: Digest.sha256(block)) } else { builder.addZeros() }
      }
      map = builder.map
    }
  }
  private func send(_ lacking: [Range<Int>], of content: Content, to store: BackupPieces) async throws {
    for index in lacking.joined() {
      if let block = content.blocks[index] { try await store.keepBlock(block, project: "p") }
    }
  }
  private func pieces(_ folder: String) async throws -> Int {
    try await runChecked("find", ["\(folder)/p/pieces", "-type", "f"]).text.split(separator: "\n").count
  }

  @Test func onlyWhatTheStoreLacksIsAskedForAndBothComeBack() async throws {
    try await withFolder("disks") { folder in
      let store = try BackupPieces(folder: folder)
      let first = try Content(9, [0: "first", 4: "same", 8: "end"])
      let second = try Content(9, [0: "second", 3: "same", 8: "end"])

      #expect(try await store.ensureBackup(Self.one, project: "p", of: first.map) == [0..<1, 4..<5, 8..<9])
      #expect(try await store.backups() == [Self.one: "p"], "one that is half made is found")
      await #expect(throws: DriverError.self, "half made") { _ = try await store.wholeMap(of: Self.one, project: "p") }
      try await send([0..<1, 4..<5], of: first, to: store)
      // What another needs no more goes; what is on its way stays.
      try await store.removeBackup(Self.two, project: "p")
      #expect(try await store.ensureBackup(Self.one, project: "p", of: first.map) == [8..<9])
      try await send([8..<9], of: first, to: store)
      #expect(try await store.ensureBackup(Self.one, project: "p", of: first.map) == [])
      #expect(try await store.ensureBackup(Self.one, project: "p", of: first.map) == [], "repeated")

      // Wherever on the disk it is, a block is sent once.
      #expect(try await store.ensureBackup(Self.two, project: "p", of: second.map) == [0..<1])
      try await send([0..<1], of: second, to: store)
      #expect(try await store.ensureBackup(Self.two, project: "p", of: second.map) == [])
      #expect(
        try await store.ensureBackup(Self.one, project: "q", of: first.map).count == 3, "nothing is shared with others")
      for (backup, content) in [(Self.one, first), (Self.two, second)] {
        #expect(try await store.wholeMap(of: backup, project: "p") == content.map.bytes)
        for (index, block) in content.blocks {
          let digest = try #require(content.map.digest(of: index))
          #expect(try await store.block(digest, project: "p") == block)
        }
      }
      #expect(try await pieces(folder) == 4)
      try await store.removeBackup(Self.one, project: "p")
      #expect(try await pieces(folder) == 3, "what the other needs stays")
      await #expect(throws: DriverError.self) { _ = try await store.wholeMap(of: Self.one, project: "p") }
      try await store.removeBackup(Self.two, project: "p")
      try await store.removeBackup(Self.two, project: "p")
      #expect(try await pieces(folder) == 0)
      try await store.removeBackup(Self.one, project: "q")
      #expect(try await store.backups().isEmpty)
    }
  }

  @Test func whatIsLostOrDamagedIsFoundAndVolumesBackupsKeepTheirs() async throws {
    try await withFolder("disks") { folder in
      let store = try BackupPieces(folder: folder + "/store")
      let content = try Content(3, [1: "word"])
      let lacking = try await store.ensureBackup(Self.one, project: "p", of: content.map)
      try await send(lacking, of: content, to: store)
      #expect(try await store.ensureBackup(Self.one, project: "p", of: content.map) == [])
      // A volume's backup of a file that is the same block, and its removal.
      let descriptor = open(folder + "/volume", O_RDWR | O_CREAT, 0o600)
      _ = content.blocks[1]?.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
      close(descriptor)
      #expect(try await store.ensureBackup(Self.two, project: "p", of: folder + "/volume") == 0, "shared")
      try await store.removeBackup(Self.two, project: "p")
      #expect(try await store.wholeMap(of: Self.one, project: "p") == content.map.bytes)

      let piece = try await runChecked("find", [folder + "/store/p/pieces", "-type", "f"]).text.split(separator: "\n")
      unlink(String(try #require(piece.first)))
      await #expect(throws: DriverError.self) { _ = try await store.wholeMap(of: Self.one, project: "p") }
      // A list that cannot be read names who knows what: nothing is removed.
      try await send([1..<2], of: content, to: store)
      truncate(folder + "/store/p/\(Self.one).map", 10)
      await #expect(throws: DriverError.self) { try await store.removeBackup(Self.two, project: "p") }
      #expect(try await pieces(folder + "/store") == 1)
      for (backup, project) in [("../x", "p"), (Self.one, "../p"), ("", "p"), (Self.one, "P/x")] {
        await #expect(throws: DriverError.self) {
          _ = try await store.ensureBackup(backup, project: project, of: content.map)
        }
      }
    }
  }
}
