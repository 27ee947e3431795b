import Domain
import DriverInterfaces
import Glibc
import Logging
import Processes
import Store
import TestSupport
import Testing
import Wire

@testable import Conductor

/// Deployments of images that cannot be deployed: what is said, what is left, and how to go on.
@Suite struct ImageFailureTests {
  /// A machine that is about to be deployed, with real images in a folder that may be on a small disk.
  private struct Bench: Sendable {
    let folder: String
    let images: ImageFolder
    let parts: SiteParts

    static func run(imagesAt place: String? = nil, _ body: (Bench) async throws -> Void) async throws {
      let folder = "/tmp/steelyard-image-failure-\(Identifier.uuid())"
      mkdir(folder, 0o700)
      let images = try ImageFolder(place ?? "\(folder)/images")
      var parts = SiteParts()
      parts.images = { ImageCache(database: $0, folder: images, logger: Logger(label: "test")) }
      parts.configDrives = ConfigDrive()
      // The scene is set without an image of its own; ``use(_:_:)`` names one.
      do { try await body(Bench(folder: folder, images: images, parts: parts)) } catch {
        _ = try await Processes.run("rm", ["-rf", folder])
        throw error
      }
      _ = try await Processes.run("rm", ["-rf", folder])
    }

    func site(image: String = "new") throws -> CrashSite {
      var parts = parts
      parts.node = { $0.instanceInfo = ["image_source": .string(image)] }
      return try CrashSite(folder: folder, options: [:], parts: parts)
    }
    /// An image as an upload leaves it.
    func upload(_ bytes: [UInt8], format: String, to site: CrashSite, id: String = Identifier.uuid()) async throws
      -> String
    {
      let upload = try await images.upload(id, uploadID: Identifier.uuid(), limit: 1 << 30)
      try await upload.append(bytes)
      let facts = try await upload.publish(declared: .init(format: format), length: nil, largestDisk: 1 << 40)
      var image = Image(id: id, owner: "p", createdAt: Site.now)
      image.status = .active
      image.diskFormat = format
      image.containerFormat = "bare"
      image.size = facts.size
      image.virtualSize = facts.virtualSize
      image.md5 = facts.md5
      image.sha512 = facts.sha512
      try await site.database.write { [image] session in try ImageStore.insert(image, in: session) }
      return id
    }
    /// `openstack baremetal node set --instance-info image_source=…`, and `deploy` again, in a server started anew.
    func deployAgain(_ image: String) async throws -> JSON {
      let site = try site()
      try await site.database.write { session in
        guard var node = try NodeStore.get(CrashSite.node, in: session) else { return }
        node.instanceInfo["image_source"] = .string(image)
        try NodeStore.update(node, in: session)
      }
      let report = try await site.ask(.active)
      site.database.close()
      return report
    }
    var files: [String] {
      ["uploads", "cache"].flatMap { name in fileNames(in: "\(images.path)/\(name)").map { "\(name)/\($0)" } }
    }
  }

  private func expectFailed(_ report: JSON, says: String) {
    #expect(report["state"] == "deploy failed")
    let told = report["last_error"]?.string ?? ""
    #expect(told.contains(says), "\(told)")
    #expect(report["public_error"]?.string == told, "it is the lessee's own image")
    #expect(!told.contains("/tmp/") && !told.contains("/proc/"), "\(told)")
    #expect(report["reservation"] == .null)
    #expect(report["leftovers"] == [])
    #expect(report["world"]?["dhcp/n1"] == nil)
    #expect(report["world"]?["disk/n1"] == "old data", "the machine's disk was touched")
  }
  private func expectMended(_ report: JSON) {
    #expect(report["state"] == "active", "\(report["last_error"] ?? .null)")
    #expect(report["last_error"] == .null)
    #expect(report["leftovers"] == [])
  }
  private func qcow2(_ bytes: Int) async throws -> [UInt8] {
    let path = "/tmp/steelyard-\(Identifier.uuid())"
    defer {
      unlink(path + ".raw")
      unlink(path + ".qcow2")
    }
    _ = try await runChecked("sh", ["-c", "head -c \(bytes) /dev/zero | tr '\\0' '\\1' >\(path).raw"])
    _ = try await runChecked("qemu-img", ["convert", "-f", "raw", "-O", "qcow2", "-c", path + ".raw", path + ".qcow2"])
    return Array(try await runChecked("cat", [path + ".qcow2"]).output)
  }

  @Test func contentThatIsNotWhatWasUploadedIsSaid() async throws {
    try await Bench.run { bench in
      let id = Identifier.uuid()
      let site = try bench.site(image: id)
      _ = try await bench.upload(try await qcow2(4096), format: "qcow2", to: site, id: id)
      let file = open(bench.images.content(of: id), O_WRONLY)
      pwrite(file, [UInt8(7)], 1, 40)
      close(file)

      expectFailed(
        try await site.play(.deploy),
        says: "(checksum mismatch): delete the image, make it again, and deploy that one")
      #expect(bench.files == [])
      let good = try await bench.upload(try await qcow2(4096), format: "qcow2", to: site)
      site.database.close()
      expectMended(try await bench.deployAgain(good))
    }
  }

  @Test func contentThatIsNotWhatItClaimsIsSaid() async throws {
    try await Bench.run { bench in
      let id = Identifier.uuid()
      let site = try bench.site(image: id)
      // A qcow2 by its name only.
      _ = try await bench.upload([UInt8](repeating: 9, count: 5000), format: "qcow2", to: site, id: id)
      expectFailed(
        try await site.play(.deploy),
        says: "the content is not a qcow2 image: make it again with the right --disk-format")
      #expect(bench.files == [])
      let good = try await bench.upload([UInt8](repeating: 9, count: 5000), format: "raw", to: site)
      site.database.close()
      expectMended(try await bench.deployAgain(good))
    }
  }

  @Test func aDamagedImageIsSaid() async throws {
    try await Bench.run { bench in
      let id = Identifier.uuid()
      let site = try bench.site(image: id)
      var damaged = try await qcow2(4096)
      for offset in 40..<48 { damaged[offset] = 0x7f }
      _ = try await bench.upload(damaged, format: "qcow2", to: site, id: id)
      expectFailed(try await site.play(.deploy), says: "Check it with qemu-img check, and make the image again")
      #expect(bench.files == [])
      let good = try await bench.upload(try await qcow2(4096), format: "qcow2", to: site)
      site.database.close()
      expectMended(try await bench.deployAgain(good))
    }
  }

  @Test(.enabled(if: geteuid() == 0, "a small disk needs root")) func aDiskThatFillsWhileAnImageIsUnpackedIsSaid()
    async throws
  {
    try await SmallDisk.withMounted(megabytes: 4) { disk in
      try await Bench.run(imagesAt: "\(disk.path)/images") { bench in
        let id = Identifier.uuid()
        let site = try bench.site(image: id)
        // A few kilobytes that are eight megabytes when unpacked.
        _ = try await bench.upload(try await qcow2(8 << 20), format: "qcow2", to: site, id: id)

        expectFailed(
          try await site.play(.deploy),
          says: "The server's disk is full: the administrator must free space; then deploy again.")
        #expect(bench.files == [])
        let small = try await bench.upload(try await qcow2(1 << 20), format: "qcow2", to: site)
        site.database.close()
        expectMended(try await bench.deployAgain(small))
      }
    }
  }

  @Test(.enabled(if: geteuid() == 0, "a small disk needs root")) func aDiskWithoutRoomForAConfigDriveIsSaid()
    async throws
  {
    try await SmallDisk.with(megabytes: 4) { disk in
      let path = "\(disk.path)/config-drives/x.iso"
      let drive: JSON = ["meta_data": ["hostname": "n1"], "user_data": .string(String(repeating: "x", count: 300_000))]
      _ = try await ConfigDrive().make(drive, at: path)
      unlink(path)
      try disk.fill()
      let packed = try await runChecked("sh", ["-c", "head -c 100000 /dev/urandom | gzip -c | base64 -w 0"]).text
      for content in [drive, .string(packed)] {
        let error = await #expect(throws: DriverError.self) { try await ConfigDrive().make(content, at: path) }
        let isNoISO = error?.detail.contains("not of an ISO 9660 volume") == true
        #expect(
          isNoISO || error?.detail.contains("The server's disk is full: the administrator must free space") == true)
        #expect(error?.reason.sentence == error?.description)
      }
      #expect(disk.names(in: "config-drives") == [])
      disk.free()
      #expect(try await ConfigDrive().make(drive, at: path).size > 300_000)
      #expect(disk.names(in: "config-drives") == ["x.iso"])
    }
  }
}
