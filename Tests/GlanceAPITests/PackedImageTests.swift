import BlockMaps
import Cryptography
import Domain
import DriverInterfaces
import Glibc
import Logging
import Processes
import Store
import Testing
import Wire

@testable import Conductor

/// The form of an image that is deployed: made once, checked, and gone when nobody needs it.
@Suite struct PackedImageTests {
  /// The raw disk that a packed form describes, every block checked as the agent does.
  private func unpacked(_ image: PackedImage, _ site: Site) throws -> [UInt8] {
    let mapBytes = try site.read(image.map)
    #expect(sha256(mapBytes) == image.mapSHA256)
    #expect(mapBytes.count == image.mapSize)
    let map = try BlockMap(parsing: mapBytes)
    let file = try site.read(image.blocks)
    let disk = try PackedDisk(header: Array(file[..<PackedDisk.headerLength]), fileSize: file.count)
    #expect(map.size == image.size && disk.size == image.size && disk.count == map.count)
    let coder = BlockCoder()
    var raw = [UInt8](repeating: 0, count: map.size)
    func position(_ index: Int) throws -> Int {
      let entry = disk.entry(of: index)
      return try #require(disk.position(Array(file[entry..<(entry + 8)])))
    }
    for index in 0..<map.count {
      let frame = Array(file[try position(index)..<(try position(index + 1))])
      #expect(map.isZero(index) == frame.isEmpty)
      guard !frame.isEmpty else { continue }
      let header = frame.withUnsafeBytes { BlockCoder.Header($0) }
      try header.check(against: map)
      #expect(header.index == index && header.storedLength == frame.count - BlockCoder.headerLength)
      var block = [UInt8](repeating: 0, count: map.range(of: index).count)
      try frame.dropFirst(BlockCoder.headerLength).withUnsafeBytes { stored in
        try block.withUnsafeMutableBytes { try coder.decode(stored, into: $0) }
      }
      #expect(map.digest(of: index).map(Array.init) == Digest.sha256(block))
      raw.replaceSubrange(map.range(of: index), with: block)
    }
    return raw
  }

  private func names(_ image: JSON, _ endings: String...) -> Set<String> { Set(endings.map { "\(image.id).\($0)" }) }

  @Test func aQcow2IsPackedOnceAndItsRawFormGoes() async throws {
    try await Site.run { site in
      // Zeros, text, zeros that are written, noise, and a rest that is no whole block.
      var content = [UInt8](repeating: 0, count: 3_500_000)
      for at in 600_000..<1_200_000 { content[at] = UInt8(at % 7) }
      for at in 3_000_000..<3_500_000 { content[at] = UInt8.random(in: 0...255) }
      let image = try await site.make("i", format: "qcow2")
      #expect(try await site.upload(image, try await site.qcow2(content)).status == 204)
      let cache = site.cache
      let heard = Heard()

      let forms = try await withThrowingTaskGroup(of: PackedImage.self) { group in
        for _ in 0..<4 {
          group.addTask {
            try await cache.ensurePacked(imageID: image.id) { heard.add($0) }
          }
        }
        return try await group.reduce(into: []) { $0.append($1) }
      }

      let packed = try #require(forms.first)
      #expect(forms.allSatisfy { $0 == packed })
      let raw = try unpacked(packed, site)
      #expect(raw.count == 4 << 20)
      #expect(Array(raw.prefix(content.count)) == content)
      #expect(heard.list.last == ImageProgress(.packing, 1))
      let fractions = heard.list.map(\.fraction)
      #expect(fractions.allSatisfy { $0 <= 1 })
      #expect(Set(try await site.files("cache")) == names(image, "blocks", "map", "packed"))
      // Known again after a restart.
      var before = stat(), after = stat()
      #expect(stat(packed.blocks, &before) == 0)
      #expect(try await site.cache.ensurePacked(imageID: image.id) { _ in Issue.record("made again") } == packed)
      #expect(stat(packed.blocks, &after) == 0)
      #expect(before.st_ino == after.st_ino)
    }
  }

  @Test(arguments: [1, 70_000, 512 << 10, (1 << 20) + 1]) func aRawImageIsPacked(_ size: Int) async throws {
    try await Site.run { site in
      let content = (0..<size).map { UInt8($0 % 251) | 1 }
      let image = try await site.make("i")
      _ = try await site.upload(image, content)

      let packed = try await site.cache.ensurePacked(imageID: image.id) { _ in }

      #expect(try unpacked(packed, site) == content)
      // The raw form is the content under a second name, and costs nothing.
      #expect(Set(try await site.files("cache")) == names(image, "raw", "blocks", "map", "packed"))
    }
  }

  @Test func aRawFormThatAVolumeUsesStays() async throws {
    try await Site.run { site in
      let image = try await site.make("i", format: "qcow2")
      _ = try await site.upload(image, try await site.qcow2([1, 2, 3]))
      _ = try await site.cache.ensureRaw(imageID: image.id)

      _ = try await site.cache.ensurePacked(imageID: image.id) { _ in }

      #expect(
        Set(try await site.files("cache")) == names(image, "raw", "json", "blocks", "map", "packed"))
    }
  }

  @Test func abuse07_contentThatWasChangedIsNeverPacked() async throws {
    try await Site.run { site in
      let image = try await site.make("i")
      _ = try await site.upload(image, [1, 2, 3])
      try site.write([1, 2, 4], to: site.folder.content(of: image.id))

      do {
        _ = try await site.cache.ensurePacked(imageID: image.id) { _ in }
        Issue.record("changed content was packed")
      } catch let error as DriverError { #expect(error.detail.contains("checksum mismatch")) }

      #expect(try await site.files("cache").filter { !$0.hasSuffix(".raw") } == [])
    }
  }

  @Test func thePackedFormGoesWithItsImageUnlessADeploymentUsesIt() async throws {
    try await Site.run { site in
      let (free, used) = (try await site.make("free", format: "qcow2"), try await site.make("used", format: "qcow2"))
      for image in [free, used] {
        #expect(try await site.upload(image, try await site.qcow2([1, 2, 3])).status == 204)
        _ = try await site.cache.ensurePacked(imageID: image.id) { _ in }
      }
      _ = try await site.deployment(of: used)

      for image in [free, used] { #expect(try await site.call(.delete, "/v2/images/\(image.id)").status == 204) }

      #expect(Set(try await site.files("cache")) == names(used, "blocks", "map", "packed"))
      #expect(try await site.cache.orphans() == [])
    }
  }

  @Test func whatIsNotUsedMakesRoomAsAWhole() async throws {
    try await Site.run { site in
      let image = try await site.make("i", format: "qcow2")
      _ = try await site.upload(image, try await site.qcow2([1, 2, 3]))
      _ = try await site.cache.ensurePacked(imageID: image.id) { _ in }
      let now = time(nil)

      #expect(try CachePaths.evict(site.folder, limit: 0, sparing: "", unusedFor: 3600, now: now) == [])
      #expect(
        try CachePaths.evict(site.folder, limit: 0, sparing: "", unusedFor: 3600, now: now + 4000)
          == ["\(image.id).blocks"])

      #expect(try await site.files("cache") == [])
    }
  }
}
