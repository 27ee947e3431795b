import Domain
import DriverInterfaces
import Store
import Synchronization
import TestSupport
import Testing
import Wire

/// How far the unpacking of an image is can be seen in the node's deploy step, and is gone when it is over.
@Suite struct ImageProgressTests {
  /// Unpacks in steps, and goes on when the step before was seen in the database.
  private final class SlowImages: ImageStoreInterface {
    let database: Database
    let seen = Mutex<[JSONObject]>([])
    let fails: Bool
    init(_ database: Database, fails: Bool) {
      self.database = database
      self.fails = fails
    }

    func ensureRaw(imageID: String, progress: @escaping @Sendable (ImageProgress) -> Void) async throws -> RawImage {
      throw DriverError(.refused, device: .image(imageID), detail: "Nobody here wants the raw form.")
    }
    func ensurePacked(imageID: String, progress: @escaping @Sendable (ImageProgress) -> Void) async throws
      -> PackedImage
    {
      let told = [
        ImageProgress(.waiting, 0), ImageProgress(.checking, 0.1), ImageProgress(.unpacking, 0.5),
        ImageProgress(.packing, 0.9),
      ]
      for step in told {
        progress(step)
        let shown = try await eventually { () -> JSONObject? in
          let shown = try await self.database.read { try NodeStore.get(CrashSite.node, in: $0)?.deployStep } ?? [:]
          return shown["message"]?.string == step.phase.rawValue ? shown : nil
        }
        seen.withLock { $0.append(shown ?? [:]) }
      }
      if fails { throw DriverError(.refused, device: .image(imageID), detail: "It is damaged; upload it again.") }
      return PackedImage(
        map: "/nowhere.map", mapSize: 64, mapSHA256: String(repeating: "0", count: 64), blocks: "/nowhere.blocks",
        size: 1 << 20)
    }
    func take(file path: String, as imageID: String, clock: @escaping @Sendable () -> Timestamp) async throws {}
    func share(imageID: String, as path: String) async throws {}
    func orphans() async throws -> [String] { [] }
    func requireSHA256(_ wanted: String, imageID: String) async throws {}
    func forgetUploads() async throws {}
  }

  @Test(arguments: [false, true]) func isShownInTheDeployStepAndEndsWithIt(fails: Bool) async throws {
    try await withFolder("progress") { folder in
      let images = Mutex<SlowImages?>(nil)
      var parts = SiteParts()
      parts.images = { database in
        let made = SlowImages(database, fails: fails)
        images.withLock { $0 = made }
        return made
      }
      let site = try CrashSite(folder: folder, options: [:], parts: parts)

      let report = try await site.play(.deploy)

      let seen = images.withLock { $0 }?.seen.withLock { $0 } ?? []
      #expect(seen.map { $0["percent"]?.int } == [0, 10, 50, 90])
      #expect(seen.allSatisfy { $0["step"] == "prepare-image" && $0["interface"] == "deploy" })
      // An estimate when there is something to go by, and not before.
      #expect(seen.first?["remaining_seconds"] == .null)
      #expect(seen.last?["remaining_seconds"]?.int != nil)
      let node = try #require(try await site.database.read { try NodeStore.get(CrashSite.node, in: $0) })
      #expect(node.deployStep == [:])
      #expect(report["state"]?.string == (fails ? "deploy failed" : "active"))
      site.database.close()
    }
  }
}
