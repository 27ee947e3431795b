import Domain
import DriverInterfaces
import Glibc
import Store
import Testing
import Wire

@testable import Conductor

/// The bytes of kernels and ramdisks, under names of those who run them.
@Suite struct ImageSharingTests {
  private static let bytes = [UInt8](repeating: 0x5a, count: 70_000)

  private func kernel(_ site: Site, format: String = "aki", _ bytes: [UInt8] = bytes) async throws -> String {
    let image = try await site.make("kernel", format: format, ["container_format": .string(format)])
    #expect(try await site.upload(image, bytes).status == 204)
    return image.id
  }

  @Test func theBytesStayWhenTheImageGoes() async throws {
    try await Site.run { site in
      let id = try await kernel(site)
      let path = "\(site.path)/of-n1"

      try await site.cache.share(imageID: id, as: path)
      try await site.cache.share(imageID: id, as: path)
      #expect(try site.read(path) == Self.bytes)
      var information = stat()
      #expect(stat(path, &information) == 0 && information.st_nlink == 2, "it costs the disk nothing")

      #expect(try await site.call(.delete, "/v2/images/\(id)").status == 204)
      #expect(try await eventually { try await site.files("images").isEmpty })
      #expect(try site.read(path) == Self.bytes)
      await #expect(throws: DriverError.self) { try await site.cache.share(imageID: id, as: path) }
    }
  }

  @Test func whatIsNotWhatItWasIsRefused() async throws {
    try await Site.run { site in
      let path = "\(site.path)/of-n1"
      let changed = try await kernel(site)
      try site.write([1] + Self.bytes.dropFirst(), to: site.folder.content(of: changed))
      let error = await #expect(throws: DriverError.self) { try await site.cache.share(imageID: changed, as: path) }
      #expect(error?.detail.contains("checksum mismatch") == true)
      let gone = try await kernel(site)
      unlink(site.folder.content(of: gone))
      await #expect(throws: DriverError.self) { try await site.cache.share(imageID: gone, as: path) }
      // A link that somebody put there leads nowhere.
      let linked = try await kernel(site)
      unlink(site.folder.content(of: linked))
      #expect(symlink("/etc/passwd", site.folder.content(of: linked)) == 0)
      await #expect(throws: DriverError.self) { try await site.cache.share(imageID: linked, as: path) }
      let empty = try await site.make("queued", format: "aki", ["container_format": "aki"])
      await #expect(throws: DriverError.self) { try await site.cache.share(imageID: empty.id, as: path) }
      let disk = try await site.make("disk", format: "qcow2")
      #expect(try await site.upload(disk, site.qcow2([1, 2, 3])).status == 204)
      let wrong = await #expect(throws: DriverError.self) { try await site.cache.share(imageID: disk.id, as: path) }
      #expect(wrong?.detail.contains("--disk-format aki") == true)
      for id in ["../secrets.key", "", "/etc/passwd"] {
        await #expect(throws: DriverError.self, "\(id)") { try await site.cache.share(imageID: id, as: path) }
      }
    }
  }
}
