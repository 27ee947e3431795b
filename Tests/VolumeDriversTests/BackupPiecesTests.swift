import DriverInterfaces
import Glibc
import Processes
import TestSupport
import Testing

@testable import VolumeDrivers

@Suite struct BackupPiecesTests {
  private static let (one, two) = ("11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222")

  /// A sparse file of so many MiB, with a word at the beginning of some.
  private func file(_ path: String, _ size: Int, _ words: [Int: String]) throws {
    let descriptor = open(path, O_RDWR | O_CREAT | O_TRUNC, 0o600)
    defer { close(descriptor) }
    #expect(ftruncate(descriptor, off_t(size << 20)) == 0)
    for (index, word) in words { pwrite(descriptor, word, word.utf8.count, off_t(index << 20)) }
  }
  private func hash(_ path: String) async throws -> Substring {
    try await runChecked("sha256sum", [path]).text.prefix(64)
  }
  private func pieces(_ folder: String) async throws -> Int {
    try await runChecked("find", ["\(folder)/p/pieces", "-type", "f"]).text.split(separator: "\n").count
  }

  @Test func aSecondBackupStoresWhatIsNewAndBothComeBack() async throws {
    try await withFolder("backups") { folder in
      let store = try BackupPieces(folder: "\(folder)/store")
      try file("\(folder)/a", 9, [0: "first", 4: "same", 8: "end"])
      try file("\(folder)/b", 9, [0: "second", 4: "same", 8: "end"])
      #expect(try await store.ensureBackup(Self.one, project: "p", of: "\(folder)/a") == 3)
      #expect(try await store.ensureBackup(Self.one, project: "p", of: "\(folder)/a") == 3, "repeated")
      #expect(try await store.ensureBackup(Self.two, project: "p", of: "\(folder)/b") == 1)
      #expect(try await pieces("\(folder)/store") == 4)
      for (backup, source) in [(Self.one, "a"), (Self.two, "b")] {
        try await store.restore(backup, project: "p", to: "\(folder)/out")
        let (restored, original) = (try await hash("\(folder)/out"), try await hash("\(folder)/\(source)"))
        #expect(restored == original)
        var information = stat()
        stat("\(folder)/out", &information)
        #expect(information.st_blocks * 512 < 5 << 20, "holes stay holes")
      }
      try await store.removeBackup(Self.one, project: "p")
      #expect(try await pieces("\(folder)/store") == 3, "what the other needs stays")
      try await store.restore(Self.two, project: "p", to: "\(folder)/out")
      #expect(try await hash("\(folder)/out") == hash("\(folder)/b"))
      try await store.removeBackup(Self.two, project: "p")
      try await store.removeBackup(Self.two, project: "p")
      #expect(try await pieces("\(folder)/store") == 0)
      #expect(try await store.backups().isEmpty)
    }
  }

  @Test func aDamagedPieceIsFoundAndAForeignNameRefused() async throws {
    try await withFolder("backups") { folder in
      let store = try BackupPieces(folder: "\(folder)/store")
      try file("\(folder)/a", 2, [0: "first"])
      _ = try await store.ensureBackup(Self.one, project: "p", of: "\(folder)/a")
      let piece = try await runChecked("find", ["\(folder)/store/p/pieces", "-type", "f"]).text.split(separator: "\n")
      let descriptor = open(String(piece[0]), O_WRONLY)
      pwrite(descriptor, "X", 1, 100)
      close(descriptor)
      await #expect(throws: DriverError.self) { try await store.restore(Self.one, project: "p", to: "\(folder)/out") }
      for (backup, project) in [("../x", "p"), (Self.one, "../p"), ("", "p"), (Self.one, "P/x")] {
        await #expect(throws: DriverError.self) {
          _ = try await store.ensureBackup(backup, project: project, of: "\(folder)/a")
        }
      }
    }
  }
}
