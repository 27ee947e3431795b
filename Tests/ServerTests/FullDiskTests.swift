import AsyncHTTPClient
import Glibc
import NIOCore
import Processes
import TestSupport
import Testing
import Wire

/// The whole server, as it is installed, with its data folder on a disk that fills up.
@Suite(.serialized, .enabled(if: geteuid() == 0, "a small disk needs root")) struct FullDiskTests {
  private static let program: String = {
    var buffer = [CChar](repeating: 0, count: 4096)
    let count = readlink("/proc/self/exe", &buffer, buffer.count)
    let path = String(decoding: buffer.prefix(max(count, 0)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
    return path.split(separator: "/").dropLast().reduce("") { $0 + "/" + $1 } + "/steelyard"
  }()
  private static let data = "\(SmallDisk.inside)/site"

  private struct Answer {
    var status: Int
    var text: String
    var headers: [(String, String)]
    var json: JSON { (try? JSON(parsing: text)) ?? .null }
    func header(_ name: String) -> String? { headers.first { $0.0.lowercased() == name.lowercased() }?.1 }
  }
  private struct Server: Sendable {
    let disk: SmallDisk
    let port: Int

    func call(
      _ method: String, _ path: String, token: String? = nil, _ body: [UInt8]? = nil, type: String = "application/json"
    ) async throws -> Answer {
      var request = HTTPClientRequest(url: "http://127.0.0.1:\(port)\(path)")
      request.method = .init(rawValue: method)
      if let token { request.headers.add(name: "X-Auth-Token", value: token) }
      if let body {
        request.headers.add(name: "Content-Type", value: type)
        request.body = .bytes(body)
      }
      let response = try await HTTPClient.shared.execute(request, timeout: .seconds(20))
      let bytes = try await response.body.collect(upTo: 4 << 20)
      return Answer(
        status: Int(response.status.code), text: String(buffer: bytes),
        headers: response.headers.map { ($0.name, $0.value) })
    }
    func send(_ method: String, _ path: String, token: String? = nil, _ json: JSON) async throws -> Answer {
      try await call(method, path, token: token, Array(json.description.utf8))
    }
    /// A token of the administrator that `init` has made.
    func logIn() async throws -> Answer {
      let clouds = try await runChecked("cat", ["\(disk.path)/site/clouds.yaml"]).text
      let line = clouds.split(separator: "\n").first { $0.contains("password:") } ?? ""
      let password = line.drop { $0 != ":" }.dropFirst().filter { !"\" '".contains($0) }
      return try await send(
        "POST", "/identity/v3/auth/tokens",
        [
          "auth": [
            "identity": [
              "methods": ["password"],
              "password": [
                "user": ["name": "admin", "domain": ["id": "default"], "password": .string(String(password))]
              ],
            ],
            "scope": ["project": ["name": "admin", "domain": ["id": "default"]]],
          ]
        ])
    }
    func network(_ name: String, _ token: String?) async throws -> Answer {
      try await send("POST", "/network/v2.0/networks", token: token, ["network": ["name": .string(name)]])
    }
    func networks(_ token: String?) async throws -> Set<String> {
      let list = try await call("GET", "/network/v2.0/networks", token: token).json["networks"]?.array ?? []
      return Set(list.compactMap { $0["name"]?.string })
    }
  }

  /// Runs the server while `body` runs.
  private func serve(_ disk: SmallDisk, port: Int, _ body: @escaping @Sendable (Server) async throws -> Void)
    async throws
  {
    try await withThrowingTaskGroup(of: Void.self) { group in
      defer { group.cancelAll() }
      group.addTask {
        let result = try await disk.run(
          Self.program, ["serve", "--data", Self.data, "--log-level", "info"], timeout: .seconds(120))
        throw CommandError(
          program: "steelyard", reason: .failed(status: result.status, detail: result.errorText + result.text))
      }
      group.addTask {
        let server = Server(disk: disk, port: port)
        let deadline = ContinuousClock.now + .seconds(20)
        while (try? await server.call("GET", "/identity/v3").status) != 200 {
          try #require(ContinuousClock.now < deadline, "the server does not answer")
          try await Task.sleep(for: .milliseconds(50))
        }
        try await body(server)
      }
      try await group.next()
    }
  }

  @Test func everyWriteIsRefusedInWordsAndNothingOfItIsKept() async throws {
    try await SmallDisk.with(megabytes: 12) { disk in
      let port = 20_000 + Int(getpid()) % 20_000
      let made = try await disk.run(Self.program, ["init", "--data", Self.data, "--port", "\(port)"])
      try #require(made.status == 0, "\(made.errorText)")
      try await serve(disk, port: port) { server in
        let token = try #require(try await server.logIn().header("X-Subject-Token"))
        #expect(try await server.network("before", token).status == 201)
        let image = try await server.send(
          "POST", "/image/v2/images", token: token,
          ["name": "i", "disk_format": "raw", "container_format": "bare"])
        let file = "/image/v2/images/\(image.json["id"]?.string ?? "")"

        try disk.fill()

        // What the database's log still has room for may be kept; then it is said.
        var kept: Set<String> = ["before"]
        var refused: Answer?
        for number in 0..<500 where refused == nil {
          let answer = try await server.network("n\(number)", token)
          if answer.status == 201 { kept.insert("n\(number)") } else { refused = answer }
        }
        #expect(refused?.status == 507)
        #expect(
          refused?.json["NeutronError"]?["message"]
            == "The server's disk is full; the administrator must free space. Nothing was changed.")
        // What was there can be read, and what was refused is not there.
        #expect(try await server.networks(token) == kept)
        let upload = try await server.call(
          "PUT", "\(file)/file", token: token, [UInt8](repeating: 7, count: 1 << 20), type: "application/octet-stream")
        #expect([413, 507].contains(upload.status))
        #expect(upload.json["error"]?["message"]?.string?.contains("the administrator must free space") == true)
        #expect(disk.names(in: "site/images/images/uploads") == [])
        #expect(try await server.call("GET", file, token: token).status == 200)

        disk.free()

        #expect(try await server.network("after", token).status == 201)
        #expect(try await server.networks(token) == kept.union(["after"]))
        let again = try await server.call(
          "PUT", "\(file)/file", token: token, [UInt8](repeating: 7, count: 1 << 20), type: "application/octet-stream")
        #expect(again.status == 204, "\(again.text)")
        #expect(try await server.call("GET", file, token: token).json["status"] == "active")
      }
    }
  }

  @Test func aServerThatIsStartedWithoutRoomAnswersOrSaysWhy() async throws {
    try await SmallDisk.with(megabytes: 12) { disk in
      let port = 20_000 + (Int(getpid()) + 7) % 20_000
      let made = try await disk.run(Self.program, ["init", "--data", Self.data, "--port", "\(port)"])
      try #require(made.status == 0, "\(made.errorText)")
      try disk.fill()
      let started = try await disk.run(
        "timeout", ["8", Self.program, "serve", "--data", Self.data], timeout: .seconds(30))
      // It may find the room that it needs, and then it serves; else it ends with a sentence.
      #expect(
        started.status == 124 || started.errorText.contains("is full: free space there and start again"), "\(started)")
      #expect(disk.names(in: "site/images/images/uploads") == [])
      disk.free()
      try await serve(disk, port: port) { server in
        let answer = try await server.logIn()
        #expect(answer.status == 201)
      }
    }
  }
}
