import Cryptography
import Domain
import TestSupport
import Testing

@testable import Store

@Suite struct ImageMigrationTests {
  /// The table of images was made anew for more states: nothing of an image may be lost on the way.
  @Test func imagesKeepTheirTagsAndMembersWhenTheirTableIsMadeAnew() async throws {
    try await withFolder("migration") { folder in
      let path = "\(folder)/site.db"
      let old = try SQLiteSession(path: path, durable: true)
      let before = Migration.all.prefix { $0.name != "image states" }
      try Migration.apply(Array(before), to: old, path: path)
      try old.script(
        """
        INSERT INTO images (id, name, owner, status, visibility, disk_format, container_format, min_disk, min_ram, is_protected,
            is_hidden, size, virtual_size, md5, sha256, sha512, upload_id, properties, created_at, updated_at)
          VALUES ('i', 'debian', 'p', 'active', 'shared', 'raw', 'bare', 3, 4, 1, 1, 5, 6, 'm', 's', 't', NULL, '{"a":"b"}', 7, 8);
        INSERT INTO images (id, owner, status, visibility, min_disk, min_ram, is_protected, is_hidden, properties, created_at,
            updated_at) VALUES ('j', 'q', 'queued', 'private', 0, 0, 0, 0, '{}', 7, 8);
        INSERT INTO image_tags (image_id, tag) VALUES ('i', 'blue'), ('i', 'red');
        INSERT INTO image_members (image_id, project_id, status, created_at, updated_at) VALUES ('i', 'r', 'accepted', 1, 2);
        """)

      let database = try Database(path: path, secrets: SecretBox(key: [UInt8](repeating: 7, count: 32)))

      let (image, other, member) = try await database.read { session in
        (
          try ImageStore.get("i", in: session), try ImageStore.get("j", in: session),
          try ImageStore.member("r", of: "i", in: session)
        )
      }
      let kept = try #require(image)
      #expect(kept.name == "debian" && kept.owner == "p" && kept.status == .active && kept.visibility == .shared)
      #expect(kept.diskFormat == "raw" && kept.containerFormat == "bare" && kept.minDisk == 3 && kept.minRAM == 4)
      #expect(kept.isProtected && kept.isHidden && kept.size == 5 && kept.virtualSize == 6)
      #expect(kept.md5 == "m" && kept.sha512 == "t" && kept.properties["a"] == "b")
      #expect(kept.createdAt.microseconds == 7 && kept.updatedAt.microseconds == 8)
      #expect(kept.tags == ["blue", "red"])
      #expect(other?.status == .queued && other?.size == nil)
      #expect(member?.status == .accepted)
      // What refers to an image still goes with it.
      let left = try await database.write { session -> Int in
        try ImageStore.delete("i", in: session)
        return try session.first("SELECT (SELECT COUNT(*) FROM image_tags) + (SELECT COUNT(*) FROM image_members)", [])
        {
          $0.int(0)
        } ?? -1
      }
      #expect(left == 0)
      database.close()
    }
  }
}
