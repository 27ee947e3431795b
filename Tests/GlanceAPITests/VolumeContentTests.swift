import Domain
import Glibc
import Store
import Testing
import Wire

@testable import Conductor

/// A volume's bytes as an image's content.
@Suite struct VolumeContentTests {
  @Test func aVolumesBytesBecomeAnImagesContentOnce() async throws {
    try await Site.run { site in
      let image = try await site.make("v", format: "raw")
      let path = "\(site.folder.path)/volume.raw"
      let bytes = (0..<(3 << 20) + 512).map { UInt8(truncatingIfNeeded: $0 / 4096) }
      try put(bytes, at: path)
      let clock: @Sendable () -> Timestamp = { Timestamp(seconds: 1) }

      try await site.cache.take(file: path, as: image.id, clock: clock)
      try put([1], at: path)
      try await site.cache.take(file: path, as: image.id, clock: clock)

      let stored = try #require(try await site.database.read { try ImageStore.get(image.id, in: $0) })
      #expect(stored.status == .active && stored.size == bytes.count && stored.sha512 == sha512(bytes))
      let lost = try await site.make("w", format: "raw")
      await #expect(throws: UploadError.self) {
        try await site.cache.take(file: "/nowhere", as: lost.id, clock: clock)
      }
      #expect(try await site.database.read { try ImageStore.get(lost.id, in: $0)?.status } == .queued)
    }
  }
  private func put(_ bytes: [UInt8], at path: String) throws {
    let file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
    defer { close(file) }
    let count = write(file, bytes, bytes.count)
    try #require(file >= 0 && count == bytes.count)
  }
}
