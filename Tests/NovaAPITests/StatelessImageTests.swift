import Domain
import Store
import Testing
import Wire

/// Servers of images that lead to a kernel and a ramdisk.
@Suite struct StatelessImageTests {
  private func image(_ site: ComputeSite, owner: String, _ properties: JSONObject = [:]) async throws -> String {
    let id = Identifier.uuid()
    try await site.database.write { session in
      var image = Image(id: id, owner: owner, visibility: .private, createdAt: Timestamp(seconds: 1))
      try ImageStore.insert(image, in: session)
      image.status = .active
      image.diskFormat = "ari"
      image.containerFormat = "ari"
      image.properties = properties
      try ImageStore.update(image, in: session)
    }
    return id
  }

  @Test func abuse_anImageOfOnesOwnDoesNotLeadToAnothersKernel() async throws {
    try await ComputeSite.run { site in
      try await site.enrol("n1")
      let (own, foreign) = (try await image(site, owner: "alpha"), try await image(site, owner: "beta"))
      for (kernel, ramdisk) in [(foreign, own), (own, foreign), (own, "../x"), (Identifier.uuid(), own)] {
        let leading = try await image(
          site, owner: "alpha", ["kernel_id": .string(kernel), "ramdisk_id": .string(ramdisk)])
        let answer = try await site.call(.post, "/v2.1/servers", site.order("s", ["imageRef": .string(leading)]))
        #expect(answer.status == 400 && answer.message.contains("could not be found"), "\(answer.shown)")
      }
      #expect(try await site.database.read { try ServerStore.usage(project: "alpha", in: $0).servers } == 0)
      let fine = try await image(site, owner: "alpha", ["kernel_id": .string(own), "ramdisk_id": .string(own)])
      let id = try await site.create("s", ["imageRef": .string(fine)])
      try await site.server(id, "ACTIVE")
      let leading = try await image(site, owner: "alpha", ["kernel_id": .string(foreign), "ramdisk_id": .string(own)])
      let rebuilt = try await site.call(
        .post, "/v2.1/servers/\(id)/action", ["rebuild": ["imageRef": .string(leading)]])
      #expect(rebuilt.status == 400)
    }
  }
}
