import Domain
import Store
import TestSupport
import Testing
import Wire
import Workflows

@testable import Conductor

/// What is refused before anything is done to the machine: it stays as it is, and the right choice is taken.
@Suite struct RefusedDeploymentTests {
  /// A machine with one disk of 2 GiB that is available, and an image of 3 GiB and one of 1 GiB.
  private func with(_ body: (CrashSite) async throws -> Void) async throws {
    try await withFolder("refused") { folder in
      let site = try CrashSite(folder: folder, options: [:])
      // The scene of a machine that nothing was asked of.
      _ = try await site.play(.startLease)
      try await site.database.write { session in
        try NodeStore.setInventory(
          ["disks": [["name": "/dev/vda", "size_bytes": .int(2 << 30)]]], of: CrashSite.node, at: CrashSite.now(),
          in: session)
        for (id, size) in [("large", 3 << 30), ("small", 1 << 30)] {
          var image = Image(id: id, owner: "p", createdAt: CrashSite.now())
          image.status = .active
          image.size = 70_000
          image.virtualSize = size
          image.md5 = String(repeating: "a", count: 32)
          image.sha512 = String(repeating: "c", count: 128)
          try ImageStore.insert(image, in: session)
        }
      }
      try await body(site)
      site.database.close()
    }
  }
  /// - Returns: what is said; nil when the deployment begins.
  private func deploy(_ instance: JSONObject, _ site: CrashSite) async throws -> String? {
    let conductor = site.conductor
    do {
      try await site.database.write { session in
        guard var node = try NodeStore.get(CrashSite.node, in: session) else { return }
        node.instanceInfo = instance
        try conductor.provision(.active, node: &node, parameters: [:], by: .system, in: session)
      }
      return nil
    } catch let error as ConductorError {
      #expect(error.code == .badRequest)
      let (node, open) = try await site.database.read { session in
        (try NodeStore.get(CrashSite.node, in: session), try WorkflowStore.open(in: session))
      }
      #expect(node?.provisionState == .available && node?.reservation == nil && node?.instanceUUID == nil)
      #expect(open.isEmpty)
      return error.description
    }
  }

  @Test func anImageThatIsLargerThanEveryDisk() async throws {
    try await with { site in
      let told = try await deploy(["image_source": "large"], site)
      #expect(
        told?.hasPrefix("The image needs 3072 MiB and the largest disk of node \(CrashSite.node) has 2048 MiB") == true)
      #expect(told?.hasSuffix("choose a smaller image or another node.") == true)
      #expect(try await deploy(["image_source": "small"], site) == nil)
    }
  }

  @Test(
    arguments: [
      ["image_checksum": "0123456789abcdef0123456789abcdef"],
      ["image_os_hash_algo": "sha512", "image_os_hash_value": .string(String(repeating: "d", count: 128))],
      ["image_os_hash_value": "nonsense"],
    ] as [JSONObject])
  func anImageWithAnotherChecksumThanTheOneWrittenDown(noted: JSONObject) async throws {
    try await with { site in
      var instance: JSONObject = ["image_source": "small"]
      for member in noted { instance[member.key] = member.value }
      let told = try await deploy(instance, site)
      #expect(told?.contains("is not the checksum of image small, whose") == true, "\(told ?? "")")
      #expect(told?.hasSuffix("choose the image that you mean, or correct or remove the checksum.") == true)
      #expect(try await deploy(["image_source": "small"], site) == nil)
    }
  }

  @Test(
    arguments: [
      ["image_checksum": "http://example.org/SHA256SUMS"], ["image_checksum": "abc"],
      ["image_os_hash_algo": "crc32", "image_os_hash_value": "12345678"],
    ] as [JSONObject])
  func aChecksumThatIsNone(noted: JSONObject) async throws {
    try await with { site in
      var instance: JSONObject = ["image_source": "small"]
      for member in noted { instance[member.key] = member.value }
      let told = try await deploy(instance, site)
      #expect(told?.contains("is no checksum that can be compared") == true)
    }
  }

  @Test(
    arguments: [
      ["image_checksum": .string(String(repeating: "A", count: 32))],
      ["image_checksum": .string(String(repeating: "b", count: 64))],
      ["image_os_hash_algo": "sha256", "image_os_hash_value": .string(String(repeating: "b", count: 64))],
      ["image_os_hash_value": .string(String(repeating: "c", count: 128))],
    ] as [JSONObject])
  func theRightChecksumIsTaken(noted: JSONObject) async throws {
    try await with { site in
      var instance: JSONObject = ["image_source": "small"]
      for member in noted { instance[member.key] = member.value }
      let told = try await deploy(instance, site)
      #expect(told == nil)
    }
  }
}
