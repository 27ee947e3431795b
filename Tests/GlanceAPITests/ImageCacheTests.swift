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
@testable import Workflows

/// What a caller was told of the progress.
final class Heard: Sendable {
  private let all = Mutex<[ImageProgress]>([])
  func add(_ progress: ImageProgress) { all.withLock { $0.append(progress) } }
  var list: [ImageProgress] { all.withLock { $0 } }
}

@Suite struct ImageCacheTests {
  private func refusal<Result>(_ body: () async throws -> Result) async -> String? {
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
            try await cache.ensureRaw(imageID: image.id) { heard.add($0) }
          }
        }
        return try await group.reduce(into: []) { $0.append($1) }
      }

      #expect(Set(raws.map(\.digest)).count == 1)
      let raw = try #require(raws.first)
      let bytes = try site.read(raw.path)
      #expect(raw.size == 4 << 20)
      #expect(Array(bytes.prefix(content.count)) == content)
      // Of the one block of 512 KiB that is not zero, after its number and before the size (DiskDigest).
      let number = [UInt8](repeating: 0, count: 8)
      #expect(raw.digest == sha256(number + bytes.prefix(512 << 10) + [0, 0, 0x40, 0, 0, 0, 0, 0]))
      #expect(heard.list.last == ImageProgress(.hashing, 1))
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

  @Test func whatWasNeverWrittenCostsNoTime() async throws {
    try await Site.run { site in
      let image = try await site.make("i", format: "qcow2")
      #expect(try await site.upload(image, try await site.qcow2([1, 2, 3], size: "100G")).status == 204)
      let begin = ContinuousClock.now
      let raw = try await site.cache.ensureRaw(imageID: image.id) { _ in }
      let packed = try await site.cache.ensurePacked(imageID: image.id) { _ in }
      #expect(raw.size == 100 << 30)
      #expect(packed.size == 100 << 30)
      // Its hash alone would take minutes, twice.
      #expect(ContinuousClock.now - begin < .seconds(30))
    }
  }

  @Test func progressGoesThroughItsPhasesAndNeverBack() async throws {
    try await Site.run { site in
      // 64 MiB of what cannot be left out: long enough to be looked at.
      let content = (0..<(64 << 20)).map { UInt8(truncatingIfNeeded: $0 &* 31 ^ $0 >> 11) | 1 }
      let image = try await site.make("i", format: "qcow2")
      #expect(try await site.upload(image, try await site.qcow2(content, size: "64M")).status == 204)
      let cache = ImageCache(
        database: site.database, folder: site.folder, interval: .milliseconds(1), logger: Logger(label: "test"))
      let heard = Heard()

      _ = try await cache.ensureRaw(imageID: image.id) { heard.add($0) }

      let fractions = heard.list.map(\.fraction)
      #expect(fractions == fractions.sorted())
      let phases = heard.list.map(\.phase).reduce(into: [ImageProgress.Phase]()) { if $0.last != $1 { $0.append($1) } }
      #expect(phases == [.checking, .unpacking, .hashing])
      // A second time there is nothing to do, and nothing to tell.
      let again = Heard()
      _ = try await cache.ensureRaw(imageID: image.id) { again.add($0) }
      #expect(again.list.isEmpty)
    }
  }

  @Test func theRawFormGoesWithItsImageUnlessADeploymentUsesIt() async throws {
    try await Site.run { site in
      let (free, used) = (try await site.make("free", format: "qcow2"), try await site.make("used", format: "qcow2"))
      let plain = try await site.make("plain")
      let kept = try await site.make("kept", format: "qcow2")
      for image in [free, used, kept] {
        #expect(try await site.upload(image, try await site.qcow2([1, 2, 3])).status == 204)
      }
      #expect(try await site.upload(plain, [5, 6, 7]).status == 204)
      for image in [free, used, plain, kept] { _ = try await site.cache.ensureRaw(imageID: image.id) }
      let workflow = try await site.deployment(of: used)

      for image in [free, used, plain] {
        #expect(try await site.call(.delete, "/v2/images/\(image.id)").status == 204)
      }

      #expect(Set(try await site.files("cache")) == Set([used, kept].flatMap { ["\($0.id).raw", "\($0.id).json"] }))
      #expect(try await site.files("images") == [kept.id])
      #expect(try await site.cache.orphans() == [], "the deployment still reads it")
      // When the deployment is over, what it used is an orphan.
      try await site.database.write { session in
        _ = try WorkflowStore.claim(workflow, owner: "o", at: Site.now, in: session)
        try WorkflowStore.set(workflow, epoch: 1, state: .done, reason: nil, at: Site.now, in: session)
      }
      #expect(
        Set(try await site.cache.orphans()) == [
          "\(site.folder.path)/cache/\(used.id).raw", "\(site.folder.path)/cache/\(used.id).json",
        ])
    }
  }

  @Test func aRawFormOfAnEarlierImageOfTheSameIdIsNotUsed() async throws {
    try await Site.run { site in
      let image = try await site.make("i")
      #expect(try await site.upload(image, [1, 1, 1]).status == 204)
      let raw = try await site.cache.ensureRaw(imageID: image.id)
      // As it is left when a deployment used it while its image was deleted and made anew.
      unlink(site.folder.content(of: image.id))
      try site.write([2, 2, 2], to: site.folder.content(of: image.id))
      #expect(try site.read(raw.path) == [1, 1, 1])
      let again = try await site.cache.ensureRaw(imageID: image.id)
      #expect(try site.read(again.path) == [2, 2, 2])
    }
  }

  @Test func aRawImageIsNotCopied() async throws {
    try await Site.run { site in
      let content = [UInt8](repeating: 5, count: 70_000)
      let image = try await site.make("i")
      _ = try await site.upload(image, content)
      let raw = try await site.cache.ensureRaw(imageID: image.id)

      #expect(raw.size == 70_000)
      #expect(raw.digest == sha512(content))
      var (original, second) = (stat(), stat())
      #expect(stat(site.folder.content(of: image.id), &original) == 0)
      #expect(stat(raw.path, &second) == 0)
      #expect(original.st_ino == second.st_ino)
      // A deployment that has begun goes on when the image is deleted.
      _ = try await site.deployment(of: image)
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
        stored.sha512 = sha512(bytes)
        try ImageStore.update(stored, in: session)
      }
      #expect(await refusal { try await site.cache.ensureRaw(imageID: image.id) }?.contains("backing file") == true)
      #expect(try await site.files("cache") == [])
    }
  }

  @Test func aSHA256IsComparedWithWhatWasUploaded() async throws {
    try await Site.run { site in
      let content = [UInt8](repeating: 5, count: 3000)
      let image = try await site.make("i", format: "raw")
      #expect(try await site.upload(image, content).status == 204)
      try await site.cache.requireSHA256(sha256(content), imageID: image.id)
      let other = String(repeating: "a", count: 64)
      let told = await refusal { try await site.cache.requireSHA256(other, imageID: image.id) }
      #expect(told?.contains("which is \(sha256(content))") == true)
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
      #expect(try evict(250_000) == ["older.raw"])
      #expect(try evict(0) == ["old.raw"])
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
      #expect(drive.digest == sum)
    }
  }

  @Test func aReadyMadeVolumeIsPassedOn() async throws {
    try await withFolder { folder in
      let first = try await ConfigDrive().make(["meta_data": ["a": 1]], at: folder + "/first.iso")
      let text = try await runChecked("sh", ["-c", "gzip -c \"$0\" | base64", first.path]).text
      let second = try await ConfigDrive().make(.string(text), at: folder + "/second.iso")
      #expect(second.digest == first.digest)
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

extension Site {
  /// A deployment of the image that is going on.
  func deployment(of image: JSON) async throws -> String {
    try await database.write { session in
      try WorkflowStore.insert(
        WorkflowDefinition(kind: "deploy-node", steps: []), subject: "n1", params: ["image": .string(image.id)],
        at: Self.now, in: session)
    }
  }
}
