import Domain
import DriverInterfaces
import Synchronization
import TestSupport
import Testing

@testable import OutboundHTTP

/// What is fetched for tenants, and what is not. Numbers are those of the list of abuses.
@Suite struct WebContentTests {
  /// Fetches from servers of this machine by the name "mirror.test", which may lead anywhere.
  private func web(_ ports: [Int], networks: [String] = [], _ more: [String: String] = [:]) -> WebContent {
    var rules = WebContentRules()
    rules.hosts = ["mirror.test"]
    rules.networks = networks.compactMap { CIDR($0) }
    rules.ports.formUnion(ports)
    rules.connectPatience = .seconds(2)
    return WebContent(rules) { host throws(RemoteAddress.LookUpFailure) in
      try RemoteAddress.lookUp(host == "mirror.test" ? "127.0.0.1" : more[host] ?? host)
    }
  }
  private func fetch(
    _ web: WebContent, _ url: String, limit: Int = 1 << 20, patience: Duration = .seconds(10)
  ) async throws -> String {
    let got = Mutex<[UInt8]>([])
    try await web.fetch(url, limit: limit, patience: patience) { piece in got.withLock { $0 += piece } }
    return String(decoding: got.withLock { $0 }, as: UTF8.self)
  }
  private func refusal(
    _ web: WebContent, _ url: String, limit: Int = 1 << 20, patience: Duration = .seconds(10)
  ) async -> String {
    do {
      let text = try await fetch(web, url, limit: limit, patience: patience)
      return "it was fetched: \(text)"
    } catch { return "\(error)" }
  }
  private static func ok(_ text: String) -> [RawWebServer.Act] {
    [.text("HTTP/1.1 200 OK\r\nContent-Length: \(text.utf8.count)\r\n\r\n\(text)")]
  }

  @Test func contentIsFetchedToItsEnd() async throws {
    let server = try RawWebServer { path in
      switch path {
      case "/plain?a=b": Self.ok("hello")
      case "/chunked": [.text("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")]
      case "/a/moved": [.text("HTTP/1.1 302 Found\r\nLocation: again\r\nContent-Length: 0\r\n\r\n")]
      case "/a/again": [.text("HTTP/1.1 308 X\r\nLocation: /plain?a=b\r\nContent-Length: 0\r\n\r\n")]
      default: [.text("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")]
      }
    }
    defer { server.close() }
    let web = web([server.port])
    #expect(try await fetch(web, "http://mirror.test:\(server.port)/plain?a=b#x") == "hello")
    #expect(try await fetch(web, "http://MIRROR.test:\(server.port)/chunked") == "abcde")
    #expect(try await fetch(web, "http://mirror.test:\(server.port)/a/moved") == "hello")
    #expect(server.requests == ["/plain?a=b", "/chunked", "/a/moved", "/a/again", "/plain?a=b"])
    #expect(await refusal(web, "http://mirror.test:\(server.port)/none").contains("answered 404"))
  }

  @Test func abuse09_redirectsToWhatIsNotPublicAreNotFollowed() async throws {
    let secret = try RawWebServer { _ in Self.ok("secret") }
    defer { secret.close() }
    let targets = [
      "http://127.0.0.1:\(secret.port)/", "http://localhost:\(secret.port)/", "http://[::1]:\(secret.port)/",
      "http://[::ffff:127.0.0.1]:\(secret.port)/", "http://2130706433:\(secret.port)/",
      "http://0x7f000001:\(secret.port)/", "http://0177.0.0.1:\(secret.port)/",
      "http://169.254.169.254/latest/meta-data",
      "http://10.0.0.1/", "http://inside.test:\(secret.port)/", "//127.0.0.1:\(secret.port)/",
    ]
    let server = try RawWebServer { path in
      let target = targets[Int(path.dropFirst()) ?? 0]
      return [.text("HTTP/1.1 302 Found\r\nLocation: \(target)\r\nContent-Length: 0\r\n\r\n")]
    }
    defer { server.close() }
    let web = web([server.port, secret.port], ["inside.test": "127.0.0.1"])
    for index in targets.indices {
      let words = await refusal(web, "http://mirror.test:\(server.port)/\(index)")
      #expect(words.contains("not on the public Internet"), "\(targets[index]): \(words)")
    }
    // A port that is not meant, another scheme.
    let strict = self.web([server.port])
    #expect(await refusal(strict, "http://mirror.test:\(server.port)/0").contains("Port \(secret.port)"))
    #expect(secret.requests == [])
  }

  @Test func abuse09_redirectsEnd() async throws {
    let server = try RawWebServer { path in
      switch path {
      case "/file": [.text("HTTP/1.1 302 Found\r\nLocation: file:///etc/shadow\r\nContent-Length: 0\r\n\r\n")]
      case "/none": [.text("HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n")]
      default: [.text("HTTP/1.1 302 Found\r\nLocation: /round\(path)\r\nContent-Length: 0\r\n\r\n")]
      }
    }
    defer { server.close() }
    let web = web([server.port])
    #expect(await refusal(web, "http://mirror.test:\(server.port)/").contains("more than 3 times"))
    #expect(server.requests.count == 4)
    for path in ["file", "none"] {
      #expect(await refusal(web, "http://mirror.test:\(server.port)/\(path)").contains("no URL of http"))
    }
  }

  @Test func abuse09_aNameIsLookedUpOnce() async throws {
    let first = try RawWebServer { _ in Self.ok("first") }
    let second = try RawWebServer(address: "127.0.0.2", port: first.port) { _ in Self.ok("second") }
    defer {
      first.close()
      second.close()
    }
    var rules = WebContentRules()
    rules.networks = [try #require(CIDR("127.0.0.1/32"))]
    rules.ports = [first.port]
    let asked = Mutex(0)
    let web = WebContent(rules) { _ throws(RemoteAddress.LookUpFailure) in
      let count = asked.withLock { count in
        count += 1
        return count
      }
      return try RemoteAddress.lookUp(count == 1 ? "127.0.0.1" : "127.0.0.2")
    }
    #expect(try await fetch(web, "http://rebind.test:\(first.port)/") == "first")
    #expect(asked.withLock { $0 } == 1)
    // The second answer is looked at like the first.
    #expect(await refusal(web, "http://rebind.test:\(first.port)/").contains("not on the public Internet"))
    #expect(second.requests == [])
    // One address of several is enough.
    let mixed = WebContent(rules) { _ throws(RemoteAddress.LookUpFailure) in
      try RemoteAddress.lookUp("127.0.0.1") + RemoteAddress.lookUp("127.0.0.2")
    }
    #expect(await refusal(mixed, "http://mixed.test:\(first.port)/").contains("not on the public Internet"))
    #expect(first.requests.count == 1)
  }

  @Test(arguments: [
    "http://127.0.0.1/", "http://127.1/", "http://2130706433/", "http://0x7f000001/", "http://0177.0.0.1/",
    "http://017700000001/", "http://[::1]/", "http://[::ffff:127.0.0.1]/", "http://[::ffff:7f00:1]/",
    "http://[64:ff9b::7f00:1]/", "http://[2002:7f00:1::]/", "http://169.254.169.254/", "http://2852039166/",
    "http://10.0.0.1/", "http://192.168.0.1/", "http://[fd00::1]/", "http://0/", "http://[::]/",
  ])
  func abuse10_anAddressInAnySpellingIsRefusedAtOnce(url: String) async {
    let error = #expect(throws: WebContentError.self) { try WebContent().check(url) }
    #expect(error?.description.contains("not on the public Internet") == true, "\(url)")
    #expect(await refusal(WebContent(), url).contains("not on the public Internet"))
  }

  @Test func whatIsNoURLOrHasAnotherPortIsRefusedAtOnce() {
    for (url, word) in [
      ("file:///etc/passwd", "no URL"), ("http://user:secret@8.8.8.8/", "no URL"), ("http://8.8.8.8:22/", "Port 22"),
      ("https://8.8.8.8:5000/", "Port 5000"),
    ] {
      let error = #expect(throws: WebContentError.self) { try WebContent().check(url) }
      #expect(error?.description.contains(word) == true, "\(url)")
    }
    #expect(throws: Never.self) { try WebContent().check("https://8.8.8.8/") }
    #expect(throws: Never.self) { try WebContent().check("https://example.org/x.qcow2") }
  }

  @Test func whatDoesNotComeToItsEndFails() async throws {
    let server = try RawWebServer { path in
      switch path {
      case "/short": [.text("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nten bytes.")]
      case "/broken": [.text("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab")]
      case "/announced": [.text("HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n"), .stand]
      case "/nolength": [.text("HTTP/1.0 200 OK\r\n\r\nhello")]
      case "/coded": [.text("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nxx")]
      case "/more": [.text("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcdef")]
      case "/stands": [.text("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"), .stand]
      case "/silent": [.stand]
      case "/nothing": []
      default: [.text("not HTTP at all\r\n\r\n")]
      }
    }
    defer { server.close() }
    let web = web([server.port])
    for (path, word) in [
      ("short", "its end"), ("broken", "its end"), ("announced", "99999999 bytes"), ("nolength", "how long"),
      ("coded", "coding"), ("stands", "its end"), ("silent", "its end"), ("nothing", "its end"), ("noise", "HTTP"),
    ] {
      let words = await refusal(web, "http://mirror.test:\(server.port)/\(path)", patience: .milliseconds(700))
      #expect(words.contains(word), "\(path): \(words)")
    }
    // What comes after the end is not content.
    #expect(try await fetch(web, "http://mirror.test:\(server.port)/more") == "abc")
    server.close()
    #expect(await refusal(web, "http://mirror.test:\(server.port)/").contains("cannot be reached"))
    #expect(await refusal(web, "http://nowhere.invalid/").contains("cannot be found"))
  }
}
