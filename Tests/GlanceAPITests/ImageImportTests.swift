import Conductor
import Glibc
import HTTPTypes
import Store
import Testing
import Wire

/// Staged content, its import, and the tasks that tell of it.
@Suite struct ImageImportTests {
  private static let direct: JSON = ["method": ["name": "glance-direct"]]

  @Test func stagedContentBecomesAnImageByItsImport() async throws {
    try await Site.run { site in
      let created = try await site.call(
        .post, "/v2/images", ["name": "i", "disk_format": "raw", "container_format": "bare"])
      #expect(created.headers[.init("OpenStack-image-import-methods") ?? .date] == "glance-direct")
      let image = created.json
      let path = "/v2/images/\(image.id)"
      let content = [UInt8](repeating: 5, count: 2_500_000)

      let early = try await site.call(.post, path + "/import", Self.direct)
      #expect(early.status == 409)
      #expect(early.message.contains("staged before"))
      #expect(try await site.stage(image, content).status == 204)
      let staged = try await site.call(.get, path).json
      #expect(staged["status"] == "uploading")
      #expect(staged["size"] == 2_500_000)
      // Not given out, and not taken twice.
      #expect(try await site.call(.get, path + "/file").status == 204)
      #expect(try await site.stage(image, content).status == 409)
      #expect(try await site.upload(image, content).status == 409)

      let imported = try await site.call(.post, path + "/import", Self.direct)

      #expect(imported.status == 202)
      #expect(imported.bytes.isEmpty)
      let shown = try await site.call(.get, path).json
      #expect(shown["status"] == "active")
      #expect(shown["os_hash_value"] == .string(sha512(content)))
      #expect(try await site.call(.get, path + "/file").bytes == content)
      let tasks = try await site.call(.get, path + "/tasks").json["tasks"]?.array ?? []
      #expect(tasks.count == 1)
      let task = try #require(tasks.first)
      #expect(task["status"] == "success")
      #expect(task["input"]?["import_req"]?["method"]?["name"] == "glance-direct")
      #expect(task["request_id"]?.string == imported.headers[.init("X-Openstack-Request-Id") ?? .date])
      #expect(try await site.call(.get, "/v2/tasks/\(task.id)").json == task)
      #expect(try await site.call(.post, path + "/import", Self.direct).status == 409)
      #expect(try await site.call(.get, path + "/tasks").json["tasks"]?.array?.count == 1)
    }
  }

  @Test func anImportThatSaysSomethingElseIsRefused() async throws {
    try await Site.run { site in
      let image = try await site.make("i")
      #expect(try await site.stage(image, [1, 2, 3]).status == 204)
      let bodies: [(JSON, Int)] = [
        ([:], 400), (["method": "glance-direct"], 400), (["method": [:]], 400), (["method": ["name": 1]], 400),
        (["method": ["name": "web-download", "uri": "http://127.0.0.1:22/"]], 400),
        (["method": ["name": "copy-image"]], 400), (["method": ["name": "glance-direct"], "x": 1], 400),
        (["method": ["name": "glance-direct"], "all_stores_must_succeed": false], 400),
        (["method": ["name": "glance-direct"], "stores": ["far"]], 409),
      ]
      for (body, status) in bodies {
        let refused = try await site.call(.post, "/v2/images/\(image.id)/import", body)
        #expect(refused.status == status, "\(body): \(refused.message)")
      }
      #expect(try await site.call(.get, "/v2/images/\(image.id)").json["status"] == "uploading")
      #expect(try await site.call(.get, "/v2/tasks").json["tasks"] == [])
    }
  }

  @Test func contentIsLookedAtWhenItIsStaged() async throws {
    try await Site.run { site in
      let image = try await site.make("i")
      let refused = try await site.stage(image, try await site.qcow2([1]))
      #expect(refused.status == 400)
      #expect(refused.message.contains("declared as 'raw'"))
      #expect(try await site.call(.get, "/v2/images/\(image.id)").json["status"] == "queued")
      #expect(try await site.files("uploads") == [])
      #expect(try await site.files("images") == [])
    }
  }

  @Test func whatWasStagedGoesWithItsImageAndCountsUntilThen() async throws {
    var settings = ImageSettings()
    settings.largestPerProject = 8 << 20
    try await Site.run(settings: settings) { site in
      let (image, other) = (try await site.make("i"), try await site.make("j"))
      #expect(try await site.stage(image, [UInt8](repeating: 1, count: 6 << 20)).status == 204)
      #expect(try await site.upload(other, [UInt8](repeating: 1, count: 3 << 20)).status == 413)
      let usage = try await site.call(.get, "/v2/info/usage").json["usage"]
      #expect(usage?["image_stage_total"] == ["usage": 6, "limit": 8])
      #expect(usage?["image_size_total"] == ["usage": 6, "limit": 8])
      #expect(usage?["image_count_total"]?["usage"] == 2)

      #expect(try await site.call(.delete, "/v2/images/\(image.id)").status == 204)

      #expect(try await site.files("images") == [])
      #expect(try await site.call(.get, "/v2/info/usage").json["usage"]?["image_stage_total"]?["usage"] == 0)
      #expect(try await site.upload(other, [UInt8](repeating: 1, count: 3 << 20)).status == 204)
    }
  }

  @Test func twoUploadsAtOnceDoNotGoBeyondTheProjectsLimit() async throws {
    var settings = ImageSettings()
    settings.largestPerProject = 3_000_000
    try await Site.run(settings: settings) { site in
      let (first, second) = (try await site.make("i"), try await site.make("j"))
      let connection = try Connection(port: site.port)
      try await connection.send(
        "PUT /image/v2/images/\(first.id)/file HTTP/1.1\r\nHost: x\r\nX-Auth-Token: alice\r\n"
          + "Content-Type: application/octet-stream\r\nContent-Length: 2000000\r\n\r\n"
          + String(repeating: "x", count: 1_999_999))
      #expect(try await eventually { try await site.files("uploads").count == 1 })
      #expect(try await site.upload(second, [UInt8](repeating: 1, count: 2_000_000)).status == 204)

      let answer = try await connection.answer("x")

      #expect(answer.hasPrefix("HTTP/1.1 413"), "\(answer.prefix(60))")
      #expect(try await site.call(.get, "/v2/images/\(first.id)").json["status"] == "queued")
      #expect(try await site.files("images") == [second.id])
      connection.close()
    }
  }

  @Test func aRestartKeepsWhatWasStagedAndNothingHalfStaged() async throws {
    try await Site.run { site in
      let (image, half) = (try await site.make("i"), try await site.make("j"))
      #expect(try await site.stage(image, [1, 2, 3]).status == 204)
      let connection = try Connection(port: site.port)
      try await connection.send(
        "PUT /image/v2/images/\(half.id)/stage HTTP/1.1\r\nHost: x\r\nX-Auth-Token: alice\r\n"
          + "Content-Type: application/octet-stream\r\nContent-Length: 7\r\n\r\nabc")
      #expect(try await eventually { try await site.files("uploads").count == 1 })
      #expect(try await site.cache.orphans() == [])

      // What a server does that begins where a killed one ended.
      try await site.folder.prepare(site.database)

      #expect(try await site.files("uploads") == [])
      #expect(try await site.files("images") == [image.id])
      #expect(try await site.call(.get, "/v2/images/\(half.id)").json["status"] == "queued")
      #expect(try await site.call(.get, "/v2/images/\(half.id)").json["size"] == .null)
      #expect(try await site.call(.post, "/v2/images/\(image.id)/import", Self.direct).status == 202)
      #expect(try await site.call(.get, "/v2/images/\(image.id)/file").bytes == [1, 2, 3])
      connection.close()
    }
  }

  @Test func tasksAreTheProjectsOwn() async throws {
    try await Site.run { site in
      let image = try await site.make("i", ["visibility": "community"])
      _ = try await site.stage(image, [1])
      // The image's project, whoever asks.
      #expect(try await site.call(.post, "/v2/images/\(image.id)/import", as: "bob", Self.direct).status == 403)
      #expect(try await site.call(.post, "/v2/images/\(image.id)/import", as: "admin", Self.direct).status == 202)
      let task = try #require(try await site.call(.get, "/v2/tasks").json["tasks"]?.array?.first)
      #expect(task["input"] == nil)

      #expect(try await site.call(.get, "/v2/tasks", as: "bob").json["tasks"] == [])
      #expect(try await site.call(.get, "/v2/tasks/\(task.id)", as: "bob").status == 404)
      #expect(try await site.call(.get, "/v2/images/\(image.id)/tasks", as: "bob").json["tasks"] == [])
      #expect(try await site.call(.get, "/v2/tasks/\(task.id)", as: "watcher").status == 200)
      #expect(try await site.call(.get, "/v2/tasks", as: "admin").json["tasks"]?.array?.count == 1)

      _ = try await site.call(.delete, "/v2/images/\(image.id)")
      #expect(try await site.call(.get, "/v2/tasks/\(task.id)").status == 404)
    }
  }

  @Test func tasksAreListedInPages() async throws {
    try await Site.run { site in
      for name in ["a", "b", "c"] {
        let image = try await site.make(name)
        _ = try await site.stage(image, [1])
        _ = try await site.call(.post, "/v2/images/\(image.id)/import", Self.direct)
      }
      func ids(_ path: String) async throws -> [String] {
        (try await site.call(.get, path).json["tasks"]?.array ?? []).map(\.id)
      }
      let all = try await ids("/v2/tasks")
      #expect(all.count == 3)
      let first = try await site.call(.get, "/v2/tasks?limit=2").json
      let next = try #require(first["next"]?.string)
      #expect(try await ids("/v2/tasks?limit=2") == Array(all.prefix(2)))
      #expect(try await ids(next) == Array(all.suffix(1)))
      #expect(try await site.call(.get, next).json["next"] == nil)
      #expect(try await ids("/v2/tasks?sort_dir=asc") == all.reversed())
      #expect(try await ids("/v2/tasks?status=failure") == [])
      #expect(try await ids("/v2/tasks?status=success&type=api_image_import") == all)
      for query in ["status=x", "type=x", "sort_key=x", "sort_dir=x", "limit=-1", "marker=x", "owner=alpha"] {
        #expect(try await site.call(.get, "/v2/tasks?\(query)").status == 400, "\(query)")
      }
    }
  }
}

extension Site {
  func stage(_ image: JSON, as user: String = "alice", _ bytes: [UInt8]) async throws -> Answer {
    try await send(.put, "/v2/images/\(image.id)/stage", as: user, bytes, type: "application/octet-stream")
  }
}
