import Cryptography
import DriverInterfaces
import Glibc
import Processes
import Testing
import Wire

@testable import Conductor

/// Images that lead a reader somewhere else. Numbers are those of the list of abuses.
@Suite(.serialized, .enabled(if: geteuid() == 0, "programs are confined by root")) struct HostileFormatTests {
  private func isRefused(_ content: [UInt8], as format: String, because words: String, on site: Site) async throws {
    let image = try await site.make("i", format: format)
    let refused = try await site.upload(image, content)
    #expect(refused.status == 400, "\(words)")
    #expect(refused.message.contains(words), "\(words): \(refused.message)")
    #expect(try await site.call(.get, "/v2/images/\(image.id)").json["status"] == "queued")
    let (images, uploads) = (try await site.files("images"), try await site.files("uploads"))
    #expect(images.isEmpty && uploads.isEmpty)
  }
  /// The bytes with another text in the place of the first that is `old`, as long.
  private func changed(_ bytes: [UInt8], _ old: String, _ new: String) throws -> [UInt8] {
    let (old, new) = (Array(old.utf8), Array(new.utf8))
    try #require(old.count == new.count)
    let place = try #require(bytes.indices.first { bytes[$0...].starts(with: old) })
    var bytes = bytes
    bytes.replaceSubrange(place..<(place + new.count), with: new)
    return bytes
  }

  @Test func abuse02_aDiskWithAParentIsRefused() async throws {
    try await Site.run { site in
      let vmdk = try await site.disk([1], format: "vmdk", options: "subformat=monolithicSparse")
      let hint = "parentFileNameHint=\"/etc/shadow\"\n"
      let child = try changed(vmdk, "parentCID=ffffffff", "parentCID=12345678")
      try await isRefused(child, as: "vmdk", because: "has a parent", on: site)
      var hinted = vmdk
      // In the free room of the descriptor, after its text.
      let end = try #require(hinted[512...].firstIndex(of: 0))
      hinted.replaceSubrange(end..<(end + hint.utf8.count), with: Array(hint.utf8))
      try await isRefused(hinted, as: "vmdk", because: "has a parent", on: site)

      var vhd = try await site.disk([1], format: "vpc", options: "subformat=dynamic")
      for start in [0, vhd.count - 512] { vhd[start + 63] = 4 }
      try await isRefused(vhd, as: "vhd", because: "difference to another", on: site)

      // Source: [MS-VHDX] 2.6: 64 KiB into the region of the metadata, where qemu-img puts the file parameters.
      var vhdx = try await site.disk([1], format: "vhdx", options: "subformat=dynamic")
      let region = try #require(
        stride(from: 1 << 20, to: vhdx.count, by: 1 << 16).first { vhdx[$0...].starts(with: Array("metadata".utf8)) })
      vhdx[region + 0x1_0004] |= 2
      try await isRefused(vhdx, as: "vhdx", because: "cannot be read", on: site)
    }
  }

  @Test func abuse04_aVMDKThatNamesOtherFilesIsRefused() async throws {
    try await Site.run { site in
      // Two files that belong together: the descriptor names the other.
      for kind in ["monolithicFlat", "twoGbMaxExtentSparse", "twoGbMaxExtentFlat"] {
        let file = "\(site.path)/x.vmdk"
        _ = try await runChecked("qemu-img", ["create", "-q", "-f", "vmdk", "-o", "subformat=\(kind)", file, "1M"])
        try await isRefused(try site.read(file), as: "vmdk", because: "descriptor of other files", on: site)
        _ = try await runChecked("bash", ["-c", "rm \(site.path)/x*.vmdk"])
      }
      let good = try await site.disk([1], format: "vmdk", options: "subformat=monolithicSparse")
      // A sparse header over a descriptor of another kind: without a capacity a reader follows the descriptor.
      let flat = try changed(good, "createType=\"monolithicSparse\"", "createType=\"monolithicFlat\"  ")
      try await isRefused(flat, as: "vmdk", because: "not one file", on: site)
      var empty = flat
      empty.replaceSubrange(12..<20, with: [UInt8](repeating: 0, count: 8))
      try await isRefused(empty, as: "vmdk", because: "no size", on: site)
      let two = try changed(good, "# The Disk Data Base", "RW 8 FLAT \"/etc/pwd\"")
      try await isRefused(two, as: "vmdk", because: "not one file", on: site)
      var far = good
      far.replaceSubrange(28..<36, with: [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f])
      try await isRefused(far, as: "vmdk", because: "no descriptor", on: site)
      // The true header is at the end.
      var footed = good
      footed.replaceSubrange(56..<64, with: [UInt8](repeating: 0xff, count: 8))
      try await isRefused(footed, as: "vmdk", because: "header at its end", on: site)
      try await isRefused(Array("COWD".utf8) + good.dropFirst(4), as: "vmdk", because: "of an old kind", on: site)
      try await isRefused(Array(good.prefix(300)), as: "vmdk", because: "cut short", on: site)
    }
  }

  @Test func abuse05_aDiskThatIsTwoThingsIsRefused() async throws {
    try await Site.run { site in
      _ = try await runChecked("genisoimage", ["-quiet", "-o", "\(site.path)/x.iso", "-V", "x", "/etc/hostname"])
      let volume = try site.read("\(site.path)/x.iso")[0x8000..<0x8800]
      for (format, word, options) in [("vmdk", "vmdk", ""), ("vhd", "vpc", "subformat=fixed"), ("vhdx", "vhdx", "")] {
        var both = try await site.disk([1], format: word, options: options)
        both.replaceSubrange(0x8000..<0x8800, with: volume)
        try await isRefused(both, as: format, because: "is also iso", on: site)
        try await isRefused(both, as: "raw", because: "its content is \(format)", on: site)
      }
      // The beginning of one disk, the end of another.
      let dynamic = try await site.disk([1], format: "vpc", options: "subformat=dynamic")
      let fixed = try await site.disk([2], format: "vpc", options: "subformat=fixed")
      try await isRefused(
        dynamic.dropLast(512) + fixed.suffix(512), as: "vhd", because: "one thing at its beginning", on: site)
    }
  }

  /// What a reader in confinement can reach, whatever an image makes it do: neither this machine's files nor its networks.
  @Test func abuse02_aReaderThatIsLedAstrayFindsNothing() async throws {
    try await Site.run { site in
      let image = try await site.make("i")
      #expect(try await site.upload(image, [1, 2, 3]).status == 204)
      let content = site.folder.content(of: image.id)
      try site.write([], to: "\(site.path)/target")
      let look = """
        cd /; echo files: $(ls -A | sort | tr '\\n' ' ')
        for place in /etc/shadow /proc/1/root/etc/shadow \(site.path)/site.db \(content); do [ ! -e $place ] || echo sees $place; done
        (: >/dev/tcp/127.0.0.1/\(site.port)) 2>/dev/null && echo connects
        (echo x >/source) 2>/dev/null && echo writes source
        (echo x >/usr/x) 2>/dev/null && echo writes usr
        (echo x >/x) 2>/dev/null && echo writes root
        mount -t tmpfs none /usr 2>/dev/null && echo mounts
        mknod /dev/x b 8 0 2>/dev/null && echo makes devices
        echo done >/target
        """
      let result = try await site.folder.confined.run(
        "/usr/bin/bash", ["-c", look], source: content, target: "\(site.path)/target",
        limits: .init(largestFile: 1 << 20, patience: .seconds(20)))
      #expect(result.status == 0, "\(result.errorText)")
      #expect(result.text == "files: bin dev lib lib64 source target usr\n", "\(result.text)")
      #expect(try site.read("\(site.path)/target") == Array("done\n".utf8))
      #expect(try site.read(content) == [1, 2, 3])
      #expect(try await site.files("confined") == [])
    }
  }

  /// The images' own folder is the server's; what is put there by another is not followed and not waited for.
  @Test func abuse01_whatIsNoFileInTheStoreIsNotRead() async throws {
    try await Site.run { site in
      for (index, command) in ["ln -s /etc/hostname", "mkfifo", "cp -a /dev/zero", "mkdir"].enumerated() {
        for format in ["raw", "qcow2"] {
          let image = try await site.make("i\(index)", format: format)
          let bytes: [UInt8] = format == "raw" ? [1, 2, 3] : try await site.qcow2([1])
          #expect(try await site.upload(image, bytes).status == 204)
          let content = site.folder.content(of: image.id)
          unlink(content)
          _ = try await runChecked("bash", ["-c", "\(command) \(content)"])

          await #expect("\(command)") {
            try await site.cache.ensureRaw(imageID: image.id)
          } throws: {
            "\($0)".contains("gone from the server's disk")
          }
          #expect(try await site.call(.get, "/v2/images/\(image.id)/file").status == 500)
          #expect(try await site.files("cache") == [])
          _ = try await runChecked("rm", ["-rf", content])
        }
      }
    }
  }

  /// An ISO's names are nobody's business here: it reaches the machine as it is, and is never unpacked.
  @Test func abuse08_anISOWithHostileNamesIsPassedOn() async throws {
    try await Site.run { site in
      try site.write(Array("x".utf8), to: "\(site.path)/AAAAAAAAAA")
      _ = try await runChecked(
        "genisoimage", ["-quiet", "-l", "-U", "-o", "\(site.path)/x.iso", "-V", "x", "\(site.path)/AAAAAAAAAA"])
      let plain = try site.read("\(site.path)/x.iso")
      for name in ["../../etc/", "/etc/evil\u{0}"] {
        let iso = try changed(plain, "AAAAAAAAAA", String(name.prefix(10)))
        #expect(try await site.upload(try await site.make("i", format: "iso"), iso).status == 204)
        let image = try await site.make("j", format: "iso")
        #expect(try await site.upload(image, iso).status == 204)
        #expect(try site.read(try await site.cache.ensureRaw(imageID: image.id).path) == iso)
        // A config drive that its maker brings along likewise.
        let packed = try await site.packed(iso, ["gzip", "-c"])
        let drive = "\(site.path)/drives/drive.iso"
        let made = try await ConfigDrive().make(.string(Base64.text(packed)), at: drive)
        #expect(made.digest == sha256(iso))
        #expect(try await Processes.run("ls", ["-A", "\(site.path)/drives"]).text == "drive.iso\n")
        #expect(access("/etc/evil", F_OK) != 0)
      }
    }
  }
}
