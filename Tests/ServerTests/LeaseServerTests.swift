import Cryptography
import Glibc
import Processes
import TestSupport
import Testing
import Wire

/// What the whole server tells, shows and counts of leases, as it is configured in its file.
@Suite struct LeaseServerTests {
  private static let secret = "between us and nobody else"

  /// Waits until `look` finds something.
  private func find<T>(_ what: String, _ look: () async throws -> T?) async throws -> T {
    let deadline = ContinuousClock.now + .seconds(40)
    while ContinuousClock.now < deadline {
      if let found = try await look() { return found }
      try await Task.sleep(for: .milliseconds(50))
    }
    throw CommandError(program: what, reason: .timeout(.seconds(40)))
  }
  private func write(_ text: String, to path: String) async throws {
    _ = try await runChecked("sh", ["-c", "cat >\"$0\"", path], input: Array(text.utf8))
  }
  private func usage(_ data: String, _ arguments: [String]) async throws -> String {
    try await runChecked(
      Server.program, ["usage", "--data", data, "--from", "2020-01-01", "--to", "2100-01-01"] + arguments
    ).text
  }

  @Test func aLeaseIsToldShownOnceAndCounted() async throws {
    let receiver = WebhookReceiver()
    try await receiver.serve { hook in
      try await withFolder("lease-server") { folder in
        let ports = try freePorts(3)
        let server = Server(port: ports[0], data: folder + "/site")
        _ = try await runChecked("mkdir", [folder + "/dummies"])
        try await write(Self.secret + "\n", to: folder + "/secret")
        try await write(
          """
          listen: {port: \(ports[0])}
          console: {websocket_port: \(ports[1]), first_port: \(ports[2]), last_port: \(ports[2])}
          fake_hardware: {enabled: true}
          leases: {dummy_nodes: \(folder)/dummies, notices: [3595]}
          webhooks:
            - {url: "\(hook)", secret_file: \(folder)/secret, events: [esi_leap.lease], allow_local: true}
          """, to: folder + "/site.yaml")
        _ = try await runChecked(
          Server.program, ["init", "--data", server.data, "--configuration", folder + "/site.yaml"])
        try await server.serve({ server in
          try await live(server, folder, receiver, webSocketPort: ports[1])
        }) {
          try await run(Server.program, ["serve", "--data", server.data], timeout: .seconds(200))
        }
        try await count(server)
      }
    }
    // Each message is signed, with the time that is in its header, and told once.
    let types = try receiver.messages.map { message in
      let time = try #require(message.header("X-Steelyard-Time"))
      let code = Digest.hmacSHA256(key: Array(Self.secret.utf8), Array("\(time).\(message.body)".utf8))
      #expect(message.header("X-Steelyard-Signature") == "sha256=\(Digest.hex(code))")
      let body = try JSON(parsing: message.body)
      #expect(message.header("X-Steelyard-Event") == body["id"]?.int.map { String($0) })
      return body["event_type"]?.string ?? ""
    }
    let told = receiver.messages.compactMap { $0.header("X-Steelyard-Event") }
    #expect(Set(told).count == told.count)
    for type in ["create.end", "fulfill.end", "expire.notice", "delete.start", "delete.end"] {
      #expect(types.contains("esi_leap.lease.\(type)"), "\(types)")
    }
    #expect(types.allSatisfy { $0.hasPrefix("esi_leap.lease.") })
  }

  /// A machine and a dummy are leased; the machine's console is shown; the lease's end is told; the leases end.
  private func live(_ server: Server, _ folder: String, _ receiver: WebhookReceiver, webSocketPort: Int) async throws {
    let logIn = try await server.logIn()
    let token = try #require(logIn.header("X-Subject-Token"))
    let project = try #require(logIn.json["token"]?["project"]?["id"]?.string)
    func send(_ method: String, _ path: String, _ json: JSON, _ status: Int) async throws -> JSON {
      let answer = try await server.send(method, path, token: token, json)
      #expect(answer.status == status, "\(method) \(path): \(answer.text)")
      return answer.json
    }
    func read(_ path: String) async throws -> JSON { try await server.call("GET", path, token: token).json }
    let node = "/baremetal/v1/nodes/n1"
    _ = try await send(
      "POST", "/baremetal/v1/nodes",
      ["name": "n1", "driver": "fake-hardware", "resource_class": "metal", "owner": .string(project)], 201)
    for (verb, state) in [("manage", "manageable"), ("provide", "available")] {
      _ = try await send("PUT", "\(node)/states/provision", ["target": .string(verb)], 202)
      _ = try await find(state) { try await read(node)["provision_state"]?.string == state ? true : nil }
    }

    // A machine, and something that is none.
    let end = try await runChecked("date", ["-u", "-d", "+1 hour", "+%Y-%m-%dT%H:%M:%S"]).text.prefix(19)
    let lease = try await send(
      "POST", "/lease/v1/leases",
      ["resource_uuid": "n1", "project_id": .string(project), "name": "l1", "end_time": .string(String(end))], 201)
    let uuid = try #require(lease["uuid"]?.string)
    _ = try await find("active") {
      try await read("/lease/v1/leases/\(uuid)")["status"] == "active" ? true : nil
    }
    try await write(#"{"project_owner_id": "\#(project)", "properties": {"k": 1}}"#, to: folder + "/dummies/d1")
    let dummy = try await send(
      "POST", "/lease/v1/leases",
      ["resource_uuid": "d1", "resource_type": "dummy_node", "project_id": .string(project), "name": "l2"], 201)
    #expect(dummy["resource"] == "dummy-node-d1" && dummy["resource_properties"] == ["k": 1])
    _ = try await find("active dummy") {
      try await read("/lease/v1/leases/l2")["status"] == "active" ? true : nil
    }

    // The console's token opens it once.
    _ = try await send("PUT", "\(node)/states/console", ["enabled": true], 202)
    _ = try await find("console") {
      try await read("\(node)/states/console")["console_enabled"]?.bool == true ? true : nil
    }
    let given = try await send("POST", "/lease/v1/console_auth_tokens", ["node_uuid_or_name": "n1"], 201)
    let secret = try #require(given["token"]?.string)
    #expect(given["access_url"]?.string == "ws://127.0.0.1:\(webSocketPort)/?token=\(secret)")
    let reader = try WebSocketClient(port: webSocketPort)
    reader.handshake("?token=\(secret)")
    #expect(reader.receive(until: "power off").contains("\(given["node_uuid"]?.string ?? ""): power off"))
    let second = try WebSocketClient(port: webSocketPort)
    second.handshake("?token=\(secret)")
    #expect(!second.receive().contains("power"))
    #expect(second.bytes.suffix(4) == [0x88, 2, 0x03, 0xf0], "policy violation")
    _ = try await send("PUT", "\(node)/states/power", ["target": "power on"], 202)
    #expect(reader.receive(until: "power on").contains("power on"))

    // Its notice comes five seconds after its beginning.
    _ = try await find("the notice") {
      try await read("/lease/v1/events?event_type=esi_leap.lease.expire.notice")["events"]?.array?.first
    }
    for name in ["l1", "l2"] {
      #expect(try await server.call("DELETE", "/lease/v1/leases/\(name)", token: token).status == 200)
    }
    #expect(reader.receive().hasSuffix("<end>"), "the console ends with the lease")
    _ = try await find("taken back") {
      try await read("/lease/v1/leases/\(uuid)")["status"] == "deleted" ? true : nil
    }
    let last = try #require(try await read("/lease/v1/events")["events"]?.array?.last?["id"]?.int)
    _ = try await find("the last message") {
      receiver.messages.contains { $0.header("X-Steelyard-Event") == "\(last)" } ? true : nil
    }
  }

  /// The command counts the same from leases and from events, in every form.
  private func count(_ server: Server) async throws {
    for format in ["csv", "json", "table"] {
      let leases = try await usage(server.data, ["--format", format])
      #expect(try await usage(server.data, ["--format", format, "--from-events"]) == leases)
    }
    let lines = try await usage(server.data, ["--format", "csv"]).split(separator: "\r\n")
    #expect(lines.first == "project,project_id,owner,owner_id,class,leases,node_hours,sub_leased_hours")
    let row = lines.last?.split(separator: ",") ?? []
    #expect(lines.count == 2 && row.count == 8 && row[0] == "admin" && row[4] == "metal" && row[5] == "1")
    #expect(row.last == "0.0000")
    let json = try JSON(parsing: try await usage(server.data, ["--format", "json"]))
    let used = try #require(json["usage"]?.array?.first?["node_microseconds"]?.int)
    #expect(json["machine_microseconds"]?.int == used && json["leases"] == 1)
    let hours = try #require(row.dropLast().last.flatMap { Double(String($0)) })
    #expect(abs(hours * 3600 - Double(used) / 1e6) < 0.2 && used > 1_000_000 && used < 120_000_000)
  }
}
