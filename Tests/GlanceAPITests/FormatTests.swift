import Conductor
import Cryptography
import DriverInterfaces
import Glibc
import Processes
import Testing
import Wire

/// Formats that are unpacked and converted before a machine gets them.
@Suite(.serialized, .enabled(if: geteuid() == 0, "programs are confined by root")) struct FormatTests {
  private static let content = randomBytes(700_000)
  private static let size = 2 << 20
  /// Compared by its hash: a loop over millions of bytes in a debug build keeps other tests from their time.
  private static let disk = sha256(content + [UInt8](repeating: 0, count: size - content.count))

  /// The raw form begins with the content, is zero after it, and takes no room where it is zero.
  private func expectContent(of image: JSON, _ site: Site) async throws {
    let raw = try await site.cache.ensureRaw(imageID: image.id)
    let bytes = try site.read(raw.path)
    #expect(raw.size == Self.size && bytes.count == Self.size)
    #expect(sha256(bytes) == Self.disk)
    var information = stat()
    #expect(stat(raw.path, &information) == 0)
    #expect(information.st_blocks * 512 < 1 << 20, "the raw form is sparse")
    #expect(Set(try await site.files("cache")) == ["\(image.id).raw", "\(image.id).json"])
    #expect(try await site.files("confined") == [])
  }

  @Test(arguments: [
    ("vmdk", "vmdk", "subformat=monolithicSparse"), ("vmdk", "vmdk", "subformat=streamOptimized"),
    ("vhd", "vpc", "subformat=dynamic,force_size=on"), ("vhd", "vpc", "subformat=fixed,force_size=on"),
    ("vhdx", "vhdx", "subformat=dynamic"), ("vhdx", "vhdx", "subformat=fixed"),
  ])
  func aDiskOfAnotherKindIsConverted(format: String, word: String, options: String) async throws {
    try await Site.run { site in
      let bytes = try await site.disk(Self.content, format: word, options: options)
      let image = try await site.make("i", format: format)
      let answer = try await site.upload(image, bytes)
      #expect(answer.status == 204, "\(answer.message)")
      #expect(try await site.call(.get, "/v2/images/\(image.id)").json["virtual_size"]?.int == Self.size)
      try await expectContent(of: image, site)
    }
  }

  @Test(arguments: [["gzip", "-c"], ["xz", "-0", "-c"], ["zstd", "-q", "-c"]], ["raw", "qcow2", "vmdk"])
  func whatIsCompressedIsUnpacked(command: [String], format: String) async throws {
    try await Site.run { site in
      var bytes = Self.content + [UInt8](repeating: 0, count: Self.size - Self.content.count)
      if format != "raw" { bytes = try await site.disk(Self.content, format: format, options: "") }
      let packed = try await site.packed(bytes, command)
      let image = try await site.make("i", format: format, ["container_format": "compressed"])
      let answer = try await site.upload(image, packed)
      #expect(answer.status == 204, "\(answer.message)")
      let shown = try await site.call(.get, "/v2/images/\(image.id)").json
      #expect(shown["size"]?.int == packed.count)
      #expect(shown["virtual_size"] == (format == "qcow2" ? .int(Self.size) : .null))
      // Downloaded as it came.
      #expect(try await site.call(.get, "/v2/images/\(image.id)/file").bytes == packed)
      try await expectContent(of: image, site)
    }
  }

  @Test func anISOInAContainerIsUnpacked() async throws {
    try await Site.run { site in
      _ = try await runChecked("genisoimage", ["-quiet", "-o", "\(site.path)/x.iso", "-V", "x", "/etc/hostname"])
      let iso = try site.read("\(site.path)/x.iso")
      let image = try await site.make("i", format: "iso", ["container_format": "compressed"])
      #expect(try await site.upload(image, try await site.packed(iso, ["zstd", "-q", "-c"])).status == 204)
      #expect(try site.read(try await site.cache.ensureRaw(imageID: image.id).path) == iso)
    }
  }

  @Test func aContainerIsWhatItIsDeclaredToBe() async throws {
    try await Site.run { site in
      let qcow2 = try await site.disk([1], format: "qcow2", options: "")
      let gzip = ["gzip", "-c"]
      let cases: [(String, String, [UInt8], String)] = [
        // Declared compressed and not so, and the other way round.
        ("raw", "compressed", [1, 2, 3], "declared as compressed"),
        ("qcow2", "compressed", qcow2, "declared as compressed"),
        ("raw", "bare", try await site.packed([1], gzip), "--container-format compressed"),
        ("raw", "compressed", try await site.packed([1], ["bzip2", "-c"]), "declared as compressed"),
        // What is in it is something else.
        ("raw", "compressed", try await site.packed(qcow2, gzip), "its content is qcow2"),
        ("iso", "compressed", try await site.packed([1, 2, 3], gzip), "no ISO 9660 volume"),
        ("vmdk", "compressed", try await site.packed([1, 2, 3], gzip), "nothing of the kind"),
        ("vhd", "compressed", try await site.packed(qcow2, gzip), "is qcow2"),
        ("raw", "compressed", try await site.packed(try await site.packed([1], gzip), gzip), "gzip"),
        ("raw", "compressed", [0x1f, 0x8b, 0x08, 0, 1, 2, 3], "cannot be unpacked"),
      ]
      for (format, container, bytes, word) in cases {
        let image = try await site.make("i", format: format, ["container_format": .string(container)])
        let refused = try await site.upload(image, bytes)
        #expect(refused.status == 400, "\(format) \(container) \(word)")
        #expect(refused.message.contains(word), "\(format) \(container): \(refused.message)")
        #expect(try await site.files("images") == [])
      }
    }
  }

  @Test func whatIsDamagedInTheMiddleIsRefusedAtDeployment() async throws {
    try await Site.run { site in
      for command in [["gzip", "-c"], ["xz", "-0", "-c"], ["zstd", "-q", "-c"]] {
        var packed = try await site.packed(Self.content, command)
        // The beginning is right; the rest is cut off.
        packed.removeLast(packed.count / 4)
        let image = try await site.make("i", ["container_format": "compressed"])
        #expect(try await site.upload(image, packed).status == 204)
        await #expect(
          performing: { try await site.cache.ensureRaw(imageID: image.id) }, throws: { "\($0)".contains("damaged") })
        #expect(try await site.files("cache") == [], "\(command[0])")
      }
    }
  }

  @Test func abuse05_whatIsInAContainerIsLookedAtAsAWhole() async throws {
    try await Site.run { site in
      // A raw disk by its beginning, a VHD by its end.
      let vhd = try await site.disk(Self.content, format: "vpc", options: "subformat=fixed,force_size=on")
      let image = try await site.make("i", ["container_format": "compressed"])
      #expect(try await site.upload(image, try await site.packed(vhd, ["zstd", "-q", "-c"])).status == 204)
      await #expect(
        performing: { try await site.cache.ensureRaw(imageID: image.id) },
        throws: { "\($0)".contains("its content is vhd") })
      #expect(try await site.files("cache") == [])
    }
  }

  @Test(arguments: [["gzip", "-9", "-c"], ["xz", "-0", "-c"], ["zstd", "-q", "-c"]])
  func abuse06_aBombIsCutOff(command: [String]) async throws {
    var settings = ImageSettings()
    settings.largestDisk = 64 << 20
    try await Site.run(settings: settings) { site in
      // A gigabyte of nothing.
      let bomb = "\(site.path)/bomb"
      _ = try await runChecked(
        "bash", ["-c", "head -c 1G /dev/zero | \(command.joined(separator: " ")) >\(bomb)"], timeout: .seconds(60))
      let image = try await site.make("i", ["container_format": "compressed"])
      let bytes = try site.read(bomb)
      #expect(bytes.count < 2 << 20)
      #expect(try await site.upload(image, bytes).status == 204)
      await #expect(
        performing: { try await site.cache.ensureRaw(imageID: image.id) },
        throws: { "\($0)".contains("more than the 67108864 bytes") })
      #expect(try await site.files("cache") == [])
    }
  }

  @Test func abuse06_anEnormousDiskOfAnyKindIsRefused() async throws {
    var settings = ImageSettings()
    settings.largestDisk = 1 << 30
    try await Site.run(settings: settings) { site in
      for (format, word) in [("vmdk", "vmdk"), ("vhd", "vpc"), ("vhdx", "vhdx")] {
        let file = "\(site.path)/big.\(format)"
        _ = try await runChecked("qemu-img", ["create", "-q", "-f", word, file, "2G"])
        let image = try await site.make("i", format: format)
        let refused = try await site.upload(image, try site.read(file))
        #expect(refused.status == 400)
        #expect(refused.message.contains("at most"), "\(format): \(refused.message)")
      }
      // A terabyte in a qcow2 in a container.
      let file = "\(site.path)/big.qcow2"
      _ = try await runChecked("qemu-img", ["create", "-q", "-f", "qcow2", file, "1T"])
      let image = try await site.make("i", format: "qcow2", ["container_format": "compressed"])
      let packed = try await site.packed(try site.read(file), ["zstd", "-q", "-c"])
      #expect(try await site.upload(image, packed).message.contains("at most"))
      #expect(try await site.files("images") == [])
    }
  }
}

extension Site {
  /// A disk of 2 MiB of a format, made by qemu-img, with these bytes at its start.
  func disk(_ content: [UInt8], format: String, options: String) async throws -> [UInt8] {
    let name = "\(path)/\(Identifier.uuid())"
    try write(content, to: name + ".raw")
    _ = try await runChecked("truncate", ["-s", "2M", name + ".raw"])
    _ = try await runChecked(
      "qemu-img",
      ["convert", "-f", "raw", "-O", format] + (options.isEmpty ? [] : ["-o", options]) + [name + ".raw", name])
    return try read(name)
  }
  /// What a program makes of the bytes.
  func packed(_ content: [UInt8], _ command: [String]) async throws -> [UInt8] {
    let name = "\(path)/\(Identifier.uuid())"
    try write(content, to: name)
    _ = try await runChecked("bash", ["-c", "\(command.joined(separator: " ")) <\(name) >\(name).packed"])
    return try read(name + ".packed")
  }
}
