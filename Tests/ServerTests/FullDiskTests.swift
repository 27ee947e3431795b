import Glibc
import TestSupport
import Testing
import Wire

/// The whole server, as it is installed, with its data folder on a disk that fills up.
@Suite(.serialized, .enabled(if: geteuid() == 0, "a small disk needs root")) struct FullDiskTests {
  private static let data = "\(SmallDisk.inside)/site"

  /// Runs the server while `body` runs.
  private func serve(_ disk: SmallDisk, port: Int, _ body: @escaping @Sendable (Server) async throws -> Void)
    async throws
  {
    try await Server(port: port, data: "\(disk.path)/site").serve(body) {
      try await disk.run(
        Server.program, ["serve", "--data", Self.data, "--log-level", "info"], timeout: .seconds(120))
    }
  }

  @Test func everyWriteIsRefusedInWordsAndNothingOfItIsKept() async throws {
    try await SmallDisk.with(megabytes: 12) { disk in
      let port = 20_000 + Int(getpid()) % 20_000
      let made = try await disk.run(Server.program, ["init", "--data", Self.data, "--port", "\(port)"])
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
        var refused: Server.Answer?
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
      let made = try await disk.run(Server.program, ["init", "--data", Self.data, "--port", "\(port)"])
      try #require(made.status == 0, "\(made.errorText)")
      try disk.fill()
      let started = try await disk.run(
        "timeout", ["8", Server.program, "serve", "--data", Self.data], timeout: .seconds(30))
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

extension Server {
  fileprivate func network(_ name: String, _ token: String?) async throws -> Answer {
    try await send("POST", "/network/v2.0/networks", token: token, ["network": ["name": .string(name)]])
  }
  fileprivate func networks(_ token: String?) async throws -> Set<String> {
    let list = try await call("GET", "/network/v2.0/networks", token: token).json["networks"]?.array ?? []
    return Set(list.compactMap { $0["name"]?.string })
  }
}
