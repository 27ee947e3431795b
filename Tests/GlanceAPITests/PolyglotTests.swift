import Processes
import Testing
import Wire

/// Content that is two things at once: refused whatever it is declared to be.
@Suite struct PolyglotTests {
  private func isRefused(_ content: [UInt8], as format: String, because word: String, _ site: Site) async throws {
    let image = try await site.make("i", format: format)
    let refused = try await site.upload(image, content)
    #expect(refused.status == 400, "\(format)")
    #expect(refused.message.contains(word), "\(format): \(refused.message)")
    #expect(try await site.call(.get, "/v2/images/\(image.id)").json["status"] == "queued")
    #expect(try await site.files("images") == [])
    #expect(try await site.files("uploads") == [])
  }

  @Test func abuse05_anISOWithTheHeadOfAQcow2IsRefused() async throws {
    try await Site.run { site in
      _ = try await runChecked("genisoimage", ["-quiet", "-o", "\(site.path)/x.iso", "-V", "x", "/etc/hostname"])
      var both = try site.read("\(site.path)/x.iso")
      // The system area in front of the volume is anybody's.
      both.replaceSubrange(0..<512, with: try await site.qcow2([1]).prefix(512))
      try await isRefused(both, as: "iso", because: "its content is qcow2", site)
      try await isRefused(both, as: "raw", because: "its content is qcow2", site)
      try await isRefused(both, as: "qcow2", because: "is also iso", site)
    }
  }

  @Test func abuse05_aQcow2WithTheEndOfAVHDIsRefused() async throws {
    try await Site.run { site in
      _ = try await runChecked(
        "qemu-img", ["create", "-f", "vpc", "-o", "subformat=fixed", "\(site.path)/x.vhd", "1M"])
      let both = try await site.qcow2([1]) + (try site.read("\(site.path)/x.vhd").suffix(512))
      try await isRefused(both, as: "qcow2", because: "is also vhd", site)
      try await isRefused(both, as: "raw", because: "its content is qcow2", site)
    }
  }
}
