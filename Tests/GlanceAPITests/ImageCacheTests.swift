import Domain
import DriverInterfaces
import Glibc
import Logging
import Processes
import Store
import Synchronization
import Testing
import Wire

@testable import Conductor

/// What a caller was told of the progress.
private final class Heard: Sendable {
  private let all = Mutex<[Double]>([])
  func add(_ fraction: Double) { all.withLock { $0.append(fraction) } }
  var last: Double? { all.withLock { $0.last } }
}

@Suite struct ImageCacheTests {
  private func refusal(_ body: () async throws -> RawImage) async -> String? {
    do {
      _ = try await body()
      return nil
    } catch let error as DriverError where error.code == .refused { return error.detail } catch {
      return "another error: \(error)"
    }
  }

  @Test func aQcow2IsUnpackedOnceHoweverManyAsk() async throws {
    try await Site.run { site in
      let content = Array("marker of the first tenant".utf8)
      let image = try await site.make("i", format: "qcow2")
      #expect(try await site.upload(image, try await site.qcow2(content)).status == 204)
      let cache = site.cache
      let heard = Heard()

      let raws = try await withThrowingTaskGroup(of: RawImage.self) { group in
        for _ in 0..<8 {
          group.addTask {
            try await cache.ensureRaw(imageID: image.id) { fraction in heard.add(fraction) }
          }
        }
        return try await group.reduce(into: []) { $0.append($1) }
      }

      #expect(Set(raws.map(\.sha256)).count == 1)
      let raw = try #require(raws.first)
      let bytes = try site.read(raw.path)
      #expect(raw.size == 4 << 20)
      #expect(Array(bytes.prefix(content.count)) == content)
      #expect(raw.sha256 == sha256(bytes))
      #expect(heard.last == 1)
      var information = stat()
      #expect(stat(raw.path, &information) == 0)
      #expect(information.st_blocks * 512 < 1 << 20, "the raw form is sparse")
      #expect(Set(try await site.files("cache")) == ["\(image.id).raw", "\(image.id).json"])
      // Known again after a restart, without another conversion.
      let before = information.st_ino
      #expect(try await site.cache.ensureRaw(imageID: image.id) == raw)
      #expect(stat(raw.path, &information) == 0)
      #expect(information.st_ino == before)
    }
  }

  @Test func aRawImageIsNotCopied() async throws {
    try await Site.run { site in
      let content = [UInt8](repeating: 5, count: 70_000)
      let image = try await site.make("i")
      _ = try await site.upload(image, content)
      let raw = try await site.cache.ensureRaw(imageID: image.id)

      #expect(raw.size == 70_000)
      #expect(raw.sha256 == sha256(content))
      var (original, second) = (stat(), stat())
      #expect(stat(site.folder.content(of: image.id), &original) == 0)
      #expect(stat(raw.path, &second) == 0)
      #expect(original.st_ino == second.st_ino)
      // A deployment that has begun goes on when the image is deleted.
      #expect(try await site.call(.delete, "/v2/images/\(image.id)").status == 204)
      #expect(try site.read(raw.path) == content)
      #expect(await refusal { try await site.cache.ensureRaw(imageID: image.id) }?.contains("no such image") == true)
    }
  }

  @Test func abuse07_contentThatWasChangedIsNeverUnpacked() async throws {
    try await Site.run { site in
      let image = try await site.make("i", format: "qcow2")
      _ = try await site.upload(image, try await site.qcow2([1]))
      let evil = "\(site.path)/evil.qcow2"
      _ = try await runChecked(
        "qemu-img", ["create", "-f", "qcow2", "-u", "-F", "raw", "-b", "/etc/hostname", evil, "1M"])
      try site.write(try site.read(evil), to: site.folder.content(of: image.id))

      #expect(
        await refusal { try await site.cache.ensureRaw(imageID: image.id) }?.contains("checksum mismatch") == true)
      #expect(try await site.files("cache") == [])
    }
  }

  @Test func aDatabaseThatAgreesWithBadContentDoesNotHelpIt() async throws {
    try await Site.run { site in
      let evil = "\(site.path)/evil.qcow2"
      _ = try await runChecked(
        "qemu-img", ["create", "-f", "qcow2", "-u", "-F", "raw", "-b", "/etc/hostname", evil, "1M"])
      let bytes = try site.read(evil)
      let image = try await site.make("i", format: "qcow2")
      try site.write(bytes, to: site.folder.content(of: image.id))
      try await site.database.write { session in
        guard var stored = try ImageStore.get(image.id, in: session) else { return }
        stored.status = .active
        stored.size = bytes.count
        stored.sha256 = sha256(bytes)
        try ImageStore.update(stored, in: session)
      }
      #expect(await refusal { try await site.cache.ensureRaw(imageID: image.id) }?.contains("backing file") == true)
      #expect(try await site.files("cache") == [])
    }
  }

  @Test func whatCannotBeUnpackedIsRefusedInWords() async throws {
    try await Site.run { site in
      let wrong = try await site.make("wrong", format: "qcow2")
      #expect(try await site.upload(wrong, [UInt8](repeating: 9, count: 5000)).status == 204)
      #expect(await refusal { try await site.cache.ensureRaw(imageID: wrong.id) }?.contains("not a qcow2") == true)

      // The L1 table points outside of the file.
      var damaged = try await site.qcow2([1])
      for offset in 40..<48 { damaged[offset] = 0x7f }
      let broken = try await site.make("broken", format: "qcow2")
      #expect(try await site.upload(broken, damaged).status == 204)
      #expect(await refusal { try await site.cache.ensureRaw(imageID: broken.id) }?.contains("damaged") == true)

      let queued = try await site.make("queued")
      #expect(await refusal { try await site.cache.ensureRaw(imageID: queued.id) }?.contains("no content yet") == true)
      for id in ["../../etc/passwd", "", "nothing", "00000000-0000-4000-8000-000000000000"] {
        #expect(
          await refusal { try await site.cache.ensureRaw(imageID: id) }?.contains("no such image") == true, "\(id)")
      }
      #expect(try await site.files("cache") == [])
    }
  }

  @Test func aHalfMadeRawFormIsNeverUsed() async throws {
    try await Site.run { site in
      let image = try await site.make("i", format: "qcow2")
      _ = try await site.upload(image, try await site.qcow2([7, 7]))
      let raw = "\(site.folder.path)/cache/\(image.id).raw"
      // As a server leaves it that was killed between the two files.
      try site.write([0, 0, 0], to: raw)
      let made = try await site.cache.ensureRaw(imageID: image.id)
      #expect(made.size == 4 << 20)
      #expect(Array(try site.read(raw).prefix(2)) == [7, 7])
      // Cut short on the disk: made again.
      #expect(truncate(raw, 1000) == 0)
      #expect(try await site.cache.ensureRaw(imageID: image.id) == made)
      #expect(try site.read(raw).count == 4 << 20)
    }
  }

  @Test func theCacheForgetsWhatWasNotUsedForLongest() async throws {
    try await Site.run { site in
      let folder = site.folder.path + "/cache"
      let now = 1_800_000_000
      for (name, age) in [("old", 9000), ("older", 9500), ("fresh", 10)] {
        try site.write([UInt8](repeating: 1, count: 100_000), to: "\(folder)/\(name).raw")
        try site.write([1], to: "\(folder)/\(name).json")
        var times = [timespec(tv_sec: now - age, tv_nsec: 0), timespec(tv_sec: now - age, tv_nsec: 0)]
        utimensat(AT_FDCWD, "\(folder)/\(name).raw", &times, 0)
      }
      func evict(_ limit: Int) throws -> [String] {
        try CachePaths.evict(site.folder, limit: limit, sparing: "", unusedFor: 3600, now: now)
      }
      #expect(try evict(1_000_000) == [])
      #expect(try evict(250_000) == ["older"])
      #expect(try evict(0) == ["old"])
      #expect(Set(try await site.files("cache")) == ["fresh.raw", "fresh.json"])
    }
  }
}

@Suite struct ConfigDriveTests {
  private func withFolder(_ body: (String) async throws -> Void) async throws {
    let path = "/tmp/steelyard-drive-\(Identifier.uuid())"
    mkdir(path, 0o700)
    do { try await body(path) } catch {
      _ = try await run("rm", ["-rf", path])
      throw error
    }
    _ = try await run("rm", ["-rf", path])
  }
  private func file(_ name: String, on drive: String) async throws -> String {
    try await runChecked("isoinfo", ["-R", "-i", drive, "-x", name]).text
  }

  @Test func anObjectBecomesAVolumeThatCloudInitFinds() async throws {
    try await withFolder { folder in
      let path = folder + "/drive.iso"
      let drive = try await ConfigDrive().make(
        [
          "meta_data": ["hostname": "n1", "public_keys": ["k": "ssh-ed25519 AAAA"]], "network_data": ["links": []],
          "user_data": "#cloud-config\nhostname: n1\n", "vendor_data": nil,
        ], at: path)

      #expect(drive.path == path)
      #expect(try await runChecked("isoinfo", ["-d", "-i", path]).text.contains("Volume id: config-2"))
      for version in ["latest", "2012-08-10"] {
        let meta = try JSON(parsing: try await file("/openstack/\(version)/meta_data.json", on: path))
        #expect(meta["hostname"] == "n1")
        #expect(meta["public_keys"]?["k"] == "ssh-ed25519 AAAA")
        #expect(try await file("/openstack/\(version)/network_data.json", on: path) == "{\"links\":[]}")
        #expect(try await file("/openstack/\(version)/user_data", on: path) == "#cloud-config\nhostname: n1\n")
      }
      let names = try await runChecked("isoinfo", ["-R", "-f", "-i", path]).text
      #expect(!names.contains("vendor_data"))
      #expect(try await run("ls", ["-A", folder]).text == "drive.iso\n")
      let sum = try await runChecked("sha256sum", [path]).text.prefix(64)
      #expect(drive.sha256 == sum)
    }
  }

  @Test func aReadyMadeVolumeIsPassedOn() async throws {
    try await withFolder { folder in
      let first = try await ConfigDrive().make(["meta_data": ["a": 1]], at: folder + "/first.iso")
      let text = try await runChecked("sh", ["-c", "gzip -c \"$0\" | base64", first.path]).text
      let second = try await ConfigDrive().make(.string(text), at: folder + "/second.iso")
      #expect(second.sha256 == first.sha256)
      #expect(second.size == first.size)
    }
  }

  @Test func whatIsNoConfigDriveIsRefused() async throws {
    try await withFolder { folder in
      // 80 MiB of zeros in 80 KiB.
      let bomb = try await runChecked("sh", ["-c", "head -c 83886080 /dev/zero | gzip -c | base64"]).text
      let text = try await runChecked("sh", ["-c", "echo hello | gzip -c | base64"]).text
      for (content, word) in [
        (.string("not base64!"), "base64"), (.string("aGVsbG8="), "gzip"), (.string(text), "ISO 9660"),
        (.string(bomb), "64 MiB"), (5, "object"),
        (["meta_data": "x"], "meta_data"), (["../../etc/passwd": "x"], "no place"), (["user_data": 5], "user_data"),
        (["network_data": []], "network_data"),
      ] as [(JSON, String)] {
        do {
          _ = try await ConfigDrive().make(content, at: folder + "/drive.iso")
          Issue.record("\(word) was taken")
        } catch let error as DriverError {
          #expect(error.code == .refused)
          #expect(error.detail.contains(word), "\(error)")
        }
      }
      #expect(try await run("ls", ["-A", folder]).text == "")
    }
  }
}
