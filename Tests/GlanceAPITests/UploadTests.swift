import Conductor
import Glibc
import Processes
import Store
import TestSupport
import Testing
import Wire

/// What is uploaded and must not be kept. Numbers are those of the list of abuses.
@Suite struct UploadTests {
  /// The image is as before the upload, and nothing of the content is on disk.
  private func nothingIsLeft(of image: JSON, _ site: Site) async throws -> Bool {
    let shown = try await site.call(.get, "/v2/images/\(image.id)").json
    let uploads = try await site.files("uploads")
    let images = try await site.files("images")
    return shown["status"] == "queued" && shown["size"] == .null && uploads.isEmpty && images.isEmpty
  }

  @Test func abuse02_aQcow2WithABackingFileIsRefused() async throws {
    try await Site.run { site in
      let backed = "\(site.path)/backed.qcow2"
      _ = try await runChecked(
        "qemu-img", ["create", "-f", "qcow2", "-u", "-F", "raw", "-b", "/etc/shadow", backed, "1M"])
      let image = try await site.make("i", format: "qcow2")
      let refused = try await site.upload(image, try site.read(backed))

      #expect(refused.status == 400)
      #expect(refused.message.contains("backing file"))
      #expect(refused.message.contains("qemu-img convert"))
      #expect(try await nothingIsLeft(of: image, site))
      // The normal verbs lead out.
      #expect(try await site.upload(image, try await site.qcow2([1, 2, 3])).status == 204)
      #expect(try await site.call(.get, "/v2/images/\(image.id)").json["virtual_size"] == 4_194_304)
    }
  }

  @Test func abuse03_aQcow2WithExternalDataIsRefused() async throws {
    try await Site.run { site in
      let file = "\(site.path)/external.qcow2"
      _ = try await runChecked(
        "qemu-img", ["create", "-f", "qcow2", "-o", "data_file=\(site.path)/data,data_file_raw=on", file, "1M"])
      let image = try await site.make("i", format: "qcow2")
      let refused = try await site.upload(image, try site.read(file))
      #expect(refused.status == 400)
      #expect(refused.message.contains("another file"))
      #expect(try await nothingIsLeft(of: image, site))
    }
  }

  @Test func abuse04_aTextThatNamesFilesOfTheHostIsRefused() async throws {
    try await Site.run { site in
      let text =
        "# Disk DescriptorFile\nversion=1\nCID=fffffffe\ncreateType=\"monolithicFlat\"\nRW 2048 FLAT \"/etc/shadow\" 0\n"
      for format in ["raw", "qcow2", "iso"] {
        for prefix in ["", "\n\n  \n", "# hello\n"] {
          let image = try await site.make("i", format: format)
          let refused = try await site.upload(image, Array((prefix + text).utf8))
          #expect(refused.status == 400, "\(format)")
          #expect(refused.message.contains("vmdk"))
          _ = try await site.call(.delete, "/v2/images/\(image.id)")
        }
      }
    }
  }

  @Test func abuse05_contentOfAnotherFormatIsRefused() async throws {
    try await Site.run { site in
      let qcow2 = try await site.qcow2([1])
      var others: [String: [UInt8]] = ["qcow2": qcow2]
      for format in ["vdi", "vmdk", "vpc", "vhdx", "qed"] {
        let file = "\(site.path)/x.\(format)"
        _ = try await runChecked("qemu-img", ["create", "-f", format, file, "1M"])
        // Its mark is enough; a vhdx is 8 MiB of nothing.
        others[format] = Array(try site.read(file).prefix(1 << 20))
      }
      others["gzip"] = try await runChecked("gzip", ["-c"], input: [1, 2, 3]).output
      for (name, content) in others {
        let image = try await site.make(name)
        let refused = try await site.upload(image, content)
        #expect(refused.status == 400, "\(name)")
        #expect(refused.message.contains("declared as 'raw'"), "\(name): \(refused.message)")
        #expect(try await nothingIsLeft(of: image, site), "\(name)")
      }
    }
  }

  @Test func abuse06_anEnormousDiskIsRefused() async throws {
    try await Site.run { site in
      let file = "\(site.path)/big.qcow2"
      _ = try await runChecked("qemu-img", ["create", "-f", "qcow2", file, "1T"])
      let image = try await site.make("i", format: "qcow2")
      let refused = try await site.upload(image, try site.read(file))
      #expect(refused.status == 400)
      #expect(refused.message.contains("at most"))
      #expect(try await nothingIsLeft(of: image, site))
    }
  }

  @Test func otherBadHeadersAreRefused() async throws {
    try await Site.run { site in
      let good = try await site.qcow2([1])
      let changes: [(Int, [UInt8], String)] = [
        (4, [0, 0, 0, 1], "version"), (4, [0, 0, 0, 9], "version"), (20, [0, 0, 0, 63], "clusters"),
        (32, [0, 0, 0, 1], "encrypted"),
        (24, [0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], "16 TiB"), (24, [0, 0, 0, 0, 0, 0, 0, 0], "no size"),
        (72, [0, 0, 0, 0, 0, 0, 0, 2], "corrupt"), (72, [0x80, 0, 0, 0, 0, 0, 0, 0], "features"),
        (100, [0, 0, 0, 1], "length"),
      ]
      for (offset, bytes, word) in changes {
        var bad = good
        bad.replaceSubrange(offset..<(offset + bytes.count), with: bytes)
        let image = try await site.make("i", format: "qcow2")
        let refused = try await site.upload(image, bad)
        #expect(refused.status == 400, "\(word)")
        #expect(refused.message.contains(word), "\(word): \(refused.message)")
      }
      let short = try await site.make("i", format: "qcow2")
      #expect(try await site.upload(short, Array(good.prefix(50))).message.contains("cut short"))
      #expect(try await site.files("uploads") == [])
      #expect(try await site.files("images") == [])
    }
  }

  /// As clients send it whose standard input is empty; upstream takes it.
  @Test func nothingIsAnImageThatCannotBeDeployed() async throws {
    try await Site.run { site in
      for (format, container) in [("raw", "bare"), ("qcow2", "bare"), ("iso", "bare"), ("raw", "compressed")] {
        let image = try await site.make("i", format: format, ["container_format": .string(container)])
        #expect(try await site.upload(image, []).status == 204, "\(format)")
        let shown = try await site.call(.get, "/v2/images/\(image.id)").json
        #expect(shown["status"] == "active" && shown["size"] == 0 && shown["virtual_size"] == .null)
        #expect(shown["checksum"] == "d41d8cd98f00b204e9800998ecf8427e")
        #expect(try await site.call(.get, "/v2/images/\(image.id)/file").bytes == [])
        await #expect(
          performing: { try await site.cache.ensureRaw(imageID: image.id) }, throws: { "\($0)".contains("is empty") })
      }
    }
  }

  @Test func tooMuchIsRefusedBeforeAndWhileItComes() async throws {
    var settings = ImageSettings()
    settings.largestImage = 5000
    settings.largestPerProject = 8000
    try await Site.run(settings: settings) { site in
      let image = try await site.make("i")
      #expect(try await site.upload(image, [UInt8](repeating: 1, count: 5001)).status == 413)
      #expect(try await nothingIsLeft(of: image, site))
      #expect(try await site.upload(image, [UInt8](repeating: 1, count: 5000)).status == 204)
      let second = try await site.make("j")
      #expect(try await site.upload(second, [UInt8](repeating: 1, count: 3001)).status == 413)
      #expect(try await site.upload(second, [UInt8](repeating: 1, count: 3000)).status == 204)

      let third = try await site.make("k", as: "bob")
      let answer = try await Connection(port: site.port).answer(
        "PUT /image/v2/images/\(third.id)/file HTTP/1.1\r\nHost: x\r\nX-Auth-Token: bob\r\nContent-Type: application/octet-stream\r\n"
          + "Transfer-Encoding: chunked\r\n\r\n" + "1800\r\n" + String(repeating: "x", count: 0x1800) + "\r\n0\r\n\r\n")
      #expect(answer.hasPrefix("HTTP/1.1 413"), "\(answer.prefix(60))")
      #expect(try await eventually { try await site.files("uploads").isEmpty })
    }
  }

  @Test func abuse11_anUploadThatIsCutOffLeavesNothing() async throws {
    try await Site.run { site in
      let image = try await site.make("i")
      let connection = try Connection(port: site.port)
      try await connection.send(
        "PUT /image/v2/images/\(image.id)/file HTTP/1.1\r\nHost: x\r\nX-Auth-Token: alice\r\n"
          + "Content-Type: application/octet-stream\r\nContent-Length: 9000000\r\n\r\n"
          + String(repeating: "x", count: 3_000_000))
      #expect(try await eventually { try await site.files("uploads").count == 1 })
      #expect(try await site.call(.get, "/v2/images/\(image.id)").json["status"] == "saving")
      #expect(try await site.upload(image, [1]).status == 409)

      connection.close()

      #expect(try await eventually { try await nothingIsLeft(of: image, site) })
      #expect(try await site.upload(image, [1, 2]).status == 204)
    }
  }

  @Test func abuse11_anUploadThatStandsStillIsCutOff() async throws {
    var settings = ImageSettings()
    settings.uploadPatience = .seconds(6)
    settings.mostUploadsAtOnce = 1
    try await Site.run(settings: settings) { site in
      let image = try await site.make("i")
      let connection = try Connection(port: site.port)
      try await connection.send(
        "PUT /image/v2/images/\(image.id)/file HTTP/1.1\r\nHost: x\r\nX-Auth-Token: alice\r\n"
          + "Content-Type: application/octet-stream\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
      #expect(try await eventually { try await site.files("uploads").count == 1 })
      let second = try await site.make("j")
      #expect(try await site.upload(second, [1]).message.contains("uploads going on"))

      let answer = try await connection.answer("")

      #expect(answer.hasPrefix("HTTP/1.1 400"), "\(answer.prefix(60))")
      #expect(try await nothingIsLeft(of: image, site))
      #expect(try await site.upload(second, [1]).status == 204)
      connection.close()
    }
  }

  @Test func anImageDeletedDuringItsUploadLeavesNothing() async throws {
    try await Site.run { site in
      let image = try await site.make("i")
      let connection = try Connection(port: site.port)
      try await connection.send(
        "PUT /image/v2/images/\(image.id)/file HTTP/1.1\r\nHost: x\r\nX-Auth-Token: alice\r\n"
          + "Content-Type: application/octet-stream\r\nContent-Length: 2000004\r\n\r\n"
          + String(repeating: "x", count: 2_000_000))
      #expect(try await eventually { try await site.files("uploads").count == 1 })
      #expect(try await site.call(.delete, "/v2/images/\(image.id)").status == 204)
      let answer = try await connection.answer("rest")
      #expect(answer.hasPrefix("HTTP/1.1 410"), "\(answer.prefix(60))")
      #expect(try await site.files("uploads") == [])
      #expect(try await site.files("images") == [])
    }
  }

  @Test(.enabled(if: geteuid() == 0, "mounting a small disk needs root")) func aFullDiskIsSaidAndNothingIsKept()
    async throws
  {
    try await Site.run { site in
      try await SmallDisk.withMounted(megabytes: 2) { disk in
        let small = try Site.on(site, folder: try ImageFolder(disk.path))
        do {
          let upload = try await small.folder.upload("i", uploadID: "u", limit: 1 << 30)
          await #expect(throws: UploadError.diskFull) {
            for _ in 0..<4 { try await upload.append([UInt8](repeating: 1, count: 1 << 20)) }
          }
          upload.discard()
        }
        #expect(try await small.files("uploads") == [])

        // A small qcow2 of a large disk full of ones: it comes in, and does not fit unpacked.
        let image = try await site.make("i", format: "qcow2")
        let content = try await site.qcow2([UInt8](repeating: 1, count: 8 << 20), size: "8M", options: ["-c"])
        #expect(try await site.upload(image, content).status == 204)
        try small.write(content, to: small.folder.content(of: image.id))
        await #expect(
          performing: { try await small.cache.ensureRaw(imageID: image.id) },
          throws: { "\($0)".contains("disk is full") })
        #expect(try await small.files("cache") == [])
      }
    }
  }

  @Test(.enabled(if: geteuid() == 0, "a small disk needs root")) func anUploadThatFillsTheDiskIsSaidAndLeavesNothing()
    async throws
  {
    try await SmallDisk.with(megabytes: 3) { disk in
      try await Site.run(imagesAt: disk.path + "/images") { site in
        let image = try await site.make("i")
        let answer = try await site.upload(image, [UInt8](repeating: 3, count: 6 << 20))
        #expect(answer.status == 413)
        #expect(answer.message == "Image storage media is full: the administrator must free space. Nothing was kept.")
        #expect(try await nothingIsLeft(of: image, site))
        #expect(disk.space > 2 << 20)
        // Full to the last byte before it begins.
        try disk.fill()
        #expect(try await site.upload(image, [1, 2, 3]).status == 413)
        #expect(try await nothingIsLeft(of: image, site))
        // With room again the same image takes its content.
        disk.free()
        #expect(try await site.upload(image, [UInt8](repeating: 3, count: 1 << 20)).status == 204)
        #expect(try await site.call(.get, "/v2/images/\(image.id)").json["status"] == "active")
      }
    }
  }

  @Test func anUploadWhoseEndCannotBeWrittenDownLeavesNothing() async throws {
    try await Site.run { site in
      let image = try await site.make("i")
      // As when the database has no room for the last change.
      _ = try await site.database.write { session in
        try session.execute(
          "CREATE TRIGGER full BEFORE UPDATE OF status ON images WHEN NEW.status = 'active' BEGIN SELECT RAISE(ABORT, 'no room'); END",
          [])
      }
      #expect(try await site.upload(image, [1, 2, 3]).status >= 400)
      #expect(try await nothingIsLeft(of: image, site))
      _ = try await site.database.write { session in try session.execute("DROP TRIGGER full", []) }
      #expect(try await site.upload(image, [1, 2, 3]).status == 204)
    }
  }

  @Test func anUploadThatBrokeOffUnseenDoesNotKeepItsImage() async throws {
    try await Site.run { site in
      let (image, other) = (try await site.make("i"), try await site.make("j"))
      for stuck in [image, other] {
        try await site.database.write { session in
          guard var stored = try ImageStore.get(stuck.id, in: session) else { return }
          stored.status = .saving
          stored.uploadID = "gone-\(stuck.id)"
          try ImageStore.update(stored, in: session)
        }
        try site.write([1], to: site.folder.path + "/uploads/gone-\(stuck.id).part")
      }
      // One that goes on is no orphan, and not forgotten.
      let live = try await site.make("live")
      let connection = try Connection(port: site.port)
      try await connection.send(
        "PUT /image/v2/images/\(live.id)/file HTTP/1.1\r\nHost: x\r\nX-Auth-Token: alice\r\n"
          + "Content-Type: application/octet-stream\r\nContent-Length: 7\r\n\r\nabc")
      #expect(try await eventually { try await site.files("uploads").count == 3 })

      // By the owner, who uploads again …
      #expect(try await site.upload(image, [1, 2, 3]).status == 204)
      // … and by the sweeper.
      try await site.cache.forgetUploads()
      #expect(try await site.call(.get, "/v2/images/\(other.id)").json["status"] == "queued")
      #expect(try await site.call(.get, "/v2/images/\(live.id)").json["status"] == "saving")
      let orphans = try await site.cache.orphans().map { String($0.dropFirst(site.folder.path.count)) }
      #expect(Set(orphans) == ["/uploads/gone-\(image.id).part", "/uploads/gone-\(other.id).part"])

      _ = try await connection.answer("defg")
      #expect(try await site.call(.get, "/v2/images/\(live.id)").json["status"] == "active")
      connection.close()
    }
  }

  @Test func aRestartCleansUpAfterAnUpload() async throws {
    try await Site.run { site in
      let image = try await site.make("i")
      try await site.database.write { session in
        guard var stored = try ImageStore.get(image.id, in: session) else { return }
        stored.status = .saving
        stored.uploadID = "u"
        try ImageStore.update(stored, in: session)
      }
      try site.write([1], to: site.folder.path + "/uploads/u.part")
      try site.write([1], to: site.folder.content(of: image.id))
      try site.write([1], to: site.folder.path + "/cache/\(image.id).raw.part")

      try await site.folder.prepare(site.database)

      #expect(try await nothingIsLeft(of: image, site))
      #expect(try await site.files("cache") == [])
    }
  }

  @Test func aHybridISOIsADiskAndAPlainFileIsNoISO() async throws {
    try await Site.run { site in
      _ = try await runChecked("genisoimage", ["-quiet", "-o", "\(site.path)/x.iso", "-V", "x", "/etc/hostname"])
      let iso = try site.read("\(site.path)/x.iso")
      #expect(try await site.upload(try await site.make("a", format: "iso"), iso).status == 204)
      #expect(try await site.upload(try await site.make("b", format: "raw"), iso).status == 204)
      #expect(try await site.upload(try await site.make("c", format: "iso"), [1, 2, 3]).status == 400)
      #expect(try await site.upload(try await site.make("d", format: "qcow2"), iso).status == 400)
    }
  }
}

extension Site {
  var port: Int { client.port ?? 0 }
}

/// A connection that sends what it likes and leaves when it likes.
final class Connection: Sendable {
  private let socket: Int32

  init(port: Int) throws {
    socket = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = in_port_t(port).bigEndian
    address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    var limit = timeval(tv_sec: 10, tv_usec: 0)
    setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    let result = withUnsafePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        connect(socket, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
      }
    }
    guard result == 0 else { throw CommandError(program: "connect", reason: .notStarted(errno)) }
  }
  func send(_ text: String) async throws {
    let bytes = Array(text.utf8)
    let socket = socket
    await withCheckedContinuation { continuation in
      startThread("test client") {
        var sent = 0
        while sent < bytes.count {
          let count = bytes[sent...].withUnsafeBytes {
            Glibc.send(socket, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
          }
          if count <= 0 { break }
          sent += count
        }
        continuation.resume()
      }
    }
  }
  /// Sends, and gives the beginning of the answer.
  func answer(_ text: String) async throws -> String {
    try await send(text)
    let socket = socket
    return await withCheckedContinuation { continuation in
      startThread("test client") {
        var buffer = [UInt8](repeating: 0, count: 65536)
        let count = recv(socket, &buffer, buffer.count, 0)
        continuation.resume(returning: String(decoding: buffer.prefix(max(count, 0)), as: UTF8.self))
      }
    }
  }
  func close() { Glibc.close(socket) }
}
