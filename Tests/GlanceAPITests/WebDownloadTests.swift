import Conductor
import OutboundHTTP
import Store
import Synchronization
import TestSupport
import Testing
import Wire

/// Images from the web: `web-download`.
@Suite struct WebDownloadTests {
  /// Servers of this machine by the name "mirror.test".
  private func web(_ ports: Int...) -> WebContent {
    var rules = WebContentRules()
    rules.hosts = ["mirror.test"]
    rules.ports = Set(ports)
    return WebContent(rules) { host throws(RemoteAddress.LookUpFailure) in
      try RemoteAddress.lookUp(host == "mirror.test" ? "127.0.0.1" : host)
    }
  }
  private static func ok(_ content: [UInt8]) -> [RawWebServer.Act] {
    [.text("HTTP/1.1 200 OK\r\nContent-Length: \(content.count)\r\n\r\n"), .send(content)]
  }
  private func begin(_ image: JSON, _ url: String, _ site: Site, as user: String = "alice") async throws -> Site.Answer
  {
    try await site.call(
      .post, "/v2/images/\(image.id)/import", as: user, ["method": ["name": "web-download", "uri": .string(url)]])
  }
  /// The task of an import that is over.
  private func ended(_ image: JSON, _ site: Site) async throws -> JSON {
    var task: JSON = .null
    #expect(
      try await eventually {
        task = try await site.call(.get, "/v2/images/\(image.id)/tasks").json["tasks"]?.array?.first ?? .null
        return task["status"] == "success" || task["status"] == "failure"
      })
    return task
  }
  private func isClean(_ image: JSON, _ site: Site) async throws -> Bool {
    let shown = try await site.call(.get, "/v2/images/\(image.id)").json
    let uploads = try await site.files("uploads")
    let images = try await site.files("images")
    return shown["status"] == "queued" && shown["size"] == .null && uploads.isEmpty && images.isEmpty
  }

  @Test func whatAURLNamesBecomesAnImage() async throws {
    let content = (0..<3_000_000).map { UInt8(truncatingIfNeeded: $0 &* 7) }
    let server = try RawWebServer { _ in Self.ok(content) }
    defer { server.close() }
    try await Site.run(web: web(server.port)) { site in
      let offered: JSON = ["glance-direct", "web-download"]
      #expect(try await site.call(.get, "/v2/info/import").json["import-methods"]?["value"] == offered)
      let image = try await site.make("i")
      let url = "http://mirror.test:\(server.port)/debian.raw?x=y"

      #expect(try await begin(image, url, site).status == 202)
      let task = try await ended(image, site)

      #expect(task["status"] == "success", "\(task)")
      #expect(task["input"]?["import_req"]?["method"] == ["name": "web-download", "uri": .string(url)])
      let shown = try await site.call(.get, "/v2/images/\(image.id)").json
      #expect(shown["status"] == "active")
      #expect(shown["os_hash_value"] == .string(sha512(content)))
      #expect(try await site.call(.get, "/v2/images/\(image.id)/file").bytes == content)
      #expect(server.requests == ["/debian.raw?x=y"])
      #expect(try await begin(image, url, site).status == 409)
      #expect(try await site.call(.get, "/v2/info/usage").json["usage"]?["image_count_uploading"]?["usage"] == 0)
    }
  }

  @Test func aRequestThatCannotBeMeantIsRefusedAtOnce() async throws {
    try await Site.run(web: WebContent()) { site in
      let image = try await site.make("i")
      for url in ["file:///etc/shadow", "http://127.0.0.1/", "http://0x7f000001/", "http://8.8.8.8:22/", ""] {
        let refused = try await begin(image, url, site)
        #expect(refused.status == 400, "\(url)")
        #expect(refused.message.contains("does not pass filtering"), "\(refused.message)")
      }
      let body: JSON = ["method": ["name": "web-download"]]
      #expect(try await site.call(.post, "/v2/images/\(image.id)/import", body).message.contains("'uri'"))
      #expect(try await begin(image, "http://8.8.8.8/", site, as: "bob").status == 404)
      let bare = try await site.call(.post, "/v2/images", ["name": "b"]).json
      #expect(try await begin(bare, "http://8.8.8.8/", site).status == 409)
      #expect(try await site.stage(image, [1]).status == 204)
      #expect(try await begin(image, "http://8.8.8.8/", site).message.contains("'queued' state"))
      #expect(try await site.call(.get, "/v2/tasks").json["tasks"] == [])
    }
  }

  /// Abuse 9 from the outside: redirects to this machine, its links, and the API's own port.
  @Test func abuse09_redirectsToOurselvesFailAndLeaveNothing() async throws {
    let targets = Targets()
    let server = try RawWebServer { path in
      [.text("HTTP/1.1 302 Found\r\nLocation: \(targets.all[Int(path.dropFirst()) ?? 0])\r\nContent-Length: 0\r\n\r\n")]
    }
    defer { server.close() }
    // Even where the API's own port were one that is fetched from.
    var rules = WebContentRules()
    rules.hosts = ["mirror.test"]
    rules.ports = Set(1...65_535)
    let web = WebContent(rules) { host throws(RemoteAddress.LookUpFailure) in
      try RemoteAddress.lookUp(host == "mirror.test" ? "127.0.0.1" : host)
    }
    try await Site.run(web: web) { site in
      for index in targets.all.indices {
        let image = try await site.make("i")
        #expect(try await begin(image, "http://mirror.test:\(server.port)/\(index)", site).status == 202)
        let task = try await ended(image, site)
        #expect(task["status"] == "failure")
        #expect(
          task["message"]?.string?.contains("not on the public Internet") == true, "\(targets.all[index]): \(task)")
        #expect(try await isClean(image, site))
        _ = try await site.call(.delete, "/v2/images/\(image.id)")
      }
      let image = try await site.make("i")
      targets.port = site.port
      _ = try await begin(image, "http://mirror.test:\(server.port)/0", site)
      #expect(try await ended(image, site)["message"]?.string?.contains("not on the public Internet") == true)
    }
  }

  @Test func whatIsWrongWithTheContentIsToldByTheTask() async throws {
    var settings = ImageSettings()
    settings.largestImage = 100_000
    settings.uploadPatience = .seconds(2)
    let server = try RawWebServer { path in
      switch path {
      case "/short": [.text("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nabc")]
      case "/announced": [.text("HTTP/1.1 200 OK\r\nContent-Length: 100001\r\n\r\n"), .stand]
      case "/endless":
        [
          .text("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
          .sendForEver(Array("1000\r\n".utf8) + [UInt8](repeating: 1, count: 4096) + [13, 10]),
        ]
      case "/slow": [.text("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nabc"), .stand]
      case "/qcow2": Self.ok(Array("QFI".utf8) + [0xfb] + [UInt8](repeating: 0, count: 1000))
      default: [.text("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n")]
      }
    }
    defer { server.close() }
    try await Site.run(settings: settings, web: web(server.port)) { site in
      for (path, word) in [
        ("short", "its end"), ("announced", "100001 bytes"), ("endless", "larger than the 100000"), ("slow", ""),
        ("qcow2", "declared as 'raw'"), ("fails", "answered 500"),
      ] {
        let image = try await site.make(path)
        #expect(try await begin(image, "http://mirror.test:\(server.port)/\(path)", site).status == 202)
        let task = try await ended(image, site)
        #expect(task["status"] == "failure")
        let message = task["message"]?.string ?? ""
        #expect(!message.isEmpty && (word.isEmpty || message.contains(word)), "\(path): \(message)")
        #expect(try await isClean(image, site), "\(path)")
        // Its owner begins again.
        #expect(try await site.upload(image, [1, 2, 3]).status == 204)
        #expect(try await site.call(.delete, "/v2/images/\(image.id)").status == 204)
      }
    }
  }

  @Test func aServerThatBeginsAgainSaysThatTheDownloadBrokeOff() async throws {
    let server = try RawWebServer { _ in [.text("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nabc"), .stand] }
    defer { server.close() }
    try await Site.run(web: web(server.port)) { site in
      let image = try await site.make("i")
      #expect(try await begin(image, "http://mirror.test:\(server.port)/", site).status == 202)
      #expect(try await eventually { try await site.files("uploads").count == 1 })
      #expect(try await site.call(.get, "/v2/images/\(image.id)").json["status"] == "importing")
      #expect(try await site.call(.get, "/v2/tasks?status=processing").json["tasks"]?.array?.count == 1)
      #expect(try await site.upload(image, [1]).status == 409)
      #expect(try await site.call(.get, "/v2/images/\(image.id)/file").status == 204)
      // One that goes on is no orphan, and not forgotten.
      try await site.cache.forgetUploads()
      #expect(try await site.cache.orphans() == [])
      #expect(try await site.call(.get, "/v2/images/\(image.id)").json["status"] == "importing")

      // What a server does that begins where a killed one ended.
      try await site.folder.prepare(site.database)

      #expect(try await isClean(image, site))
      let task = try await ended(image, site)
      #expect(task["status"] == "failure")
      #expect(task["message"]?.string?.contains("broke off") == true)
      #expect(try await site.upload(image, [1]).status == 204)
    }
    // The download of before ended with the service, and took nothing away from the image.
  }

  @Test func aDownloadWhoseImageIsDeletedEnds() async throws {
    var settings = ImageSettings()
    settings.uploadPatience = .seconds(2)
    settings.mostUploadsAtOnce = 1
    let server = try RawWebServer { _ in
      [
        .text("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
        .sendForEver(Array("1\r\na\r\n".utf8)),
      ]
    }
    defer { server.close() }
    try await Site.run(settings: settings, web: web(server.port)) { site in
      let (image, other) = (try await site.make("i"), try await site.make("j"))
      #expect(try await begin(image, "http://mirror.test:\(server.port)/", site).status == 202)
      #expect(try await eventually { try await site.files("uploads").count == 1 })
      #expect(try await begin(other, "http://mirror.test:\(server.port)/", site).message.contains("uploads going on"))
      #expect(try await site.call(.delete, "/v2/images/\(image.id)").status == 204)
      #expect(try await eventually { try await site.files("uploads").isEmpty })
      #expect(try await site.files("images") == [])
      #expect(try await site.upload(other, [1]).status == 204)
    }
  }
}

/// Where a test's server redirects to; the first two lead to the API's own port.
private final class Targets: Sendable {
  private let own = Atomic<Int>(5000)
  var port: Int {
    get { own.load(ordering: .relaxed) }
    set { own.store(newValue, ordering: .relaxed) }
  }
  var all: [String] {
    [
      "http://127.0.0.1:\(port)/image/v2/images", "http://localhost:\(port)/", "http://[::1]:\(port)/",
      "http://169.254.169.254/", "http://2130706433/", "http://[::ffff:127.0.0.1]/",
    ]
  }
}
