import Processes
import TestSupport
import Testing
import Wire

/// `steelyard import --from-ironic`, with another server of ours and with documents of upstream's reference as the source.
@Suite struct IronicImportTests {
  /// What `import` says, and what it must not say.
  private func load(_ site: Server, _ arguments: [String], _ source: [String: String] = [:]) async throws
    -> CommandResult
  {
    var environment = ["OS_CLOUD": "steelyard", "OS_CLIENT_CONFIG_FILE": "\(site.data)/clouds.yaml"]
    environment.merge(source) { $1 }
    let result = try await run(
      Server.program, ["import"] + arguments, environment: environment, timeout: .seconds(120))
    #expect(!(result.text + result.errorText).contains("s3cr3t"), "no secret is said")
    return result
  }
  private func lines(_ result: CommandResult) -> [String] { result.text.split(separator: "\n").map { String($0) } }
  private func write(_ text: String, to path: String) async throws {
    _ = try await runChecked("sh", ["-c", "cat >\"$0\"", path], input: Array(text.utf8))
  }
  private func start(
    _ server: Server, _ options: [String] = [], _ body: @escaping @Sendable (Server) async throws -> Void
  ) async throws {
    try await write(
      "listen: {port: \(server.port)}\nfake_hardware: {enabled: true}\n", to: server.data + ".yaml")
    _ = try await runChecked(
      Server.program, ["init", "--data", server.data, "--configuration", server.data + ".yaml"] + options)
    try await server.serve(body) {
      try await run(Server.program, ["serve", "--data", server.data], timeout: .seconds(240))
    }
  }

  @Test func anotherSiteIsTakenOverOnce() async throws {
    try await withFolder("ironic-import") { folder in
      let ports = try freePorts(2)
      let (old, new) = (Server(port: ports[0], data: folder + "/old"), Server(port: ports[1], data: folder + "/new"))
      try await start(old) { old in
        let token = try await fill(old)
        try await start(new) { new in try await takeOver(new, from: old, token, folder) }
      }
    }
  }

  /// Nodes of all kinds, more than a page of them.
  private func fill(_ old: Server) async throws -> String {
    let token = try #require(try await old.logIn().header("X-Subject-Token"))
    func make(_ path: String, _ body: JSON) async throws -> String {
      let answer = try await old.send("POST", "/baremetal/v1/\(path)", token: token, body)
      try #require(answer.status == 201, "\(answer.text)")
      return try #require(answer.json["uuid"]?.string)
    }
    let chassis = try await make("chassis", ["description": "row 1"])
    let first = try await make(
      "nodes",
      [
        "name": "r1u1", "driver": "ipmi", "driver_info": ["ipmi_address": "127.0.0.1", "ipmi_password": "s3cr3t"],
        "chassis_uuid": .string(chassis), "resource_class": "metal", "owner": "a-project-of-theirs",
        "properties": ["rack": 1],
      ])
    let group = try await make("portgroups", ["node_uuid": .string(first), "name": "bond0"])
    _ = try await make(
      "ports", ["node_uuid": .string(first), "address": "52:54:00:00:01:01", "portgroup_uuid": .string(group)])
    let traits = try await old.send(
      "PUT", "/baremetal/v1/nodes/r1u1/traits", token: token, ["traits": ["CUSTOM_GOLD"]])
    #expect(traits.status == 204)
    for index in 0..<202 {
      _ = try await make("nodes", ["name": .string("many-\(index)"), "driver": "fake-hardware"])
    }
    _ = try await make(
      "nodes",
      [
        "name": "works", "driver": "fake-hardware",
        "instance_info": ["image_source": "http://x/y", "image_checksum": "1"],
      ])
    for (verb, state) in [("manage", "manageable"), ("provide", "available"), ("active", "active")] {
      _ = try await old.send(
        "PUT", "/baremetal/v1/nodes/works/states/provision", token: token, ["target": .string(verb)])
      let deadline = ContinuousClock.now + .seconds(20)
      while try await old.call("GET", "/baremetal/v1/nodes/works", token: token).json["provision_state"]?.string
        != state
      {
        try #require(ContinuousClock.now < deadline, "\(verb) does not end")
        try await Task.sleep(for: .milliseconds(50))
      }
    }
    return token
  }

  private func takeOver(_ new: Server, from old: Server, _ token: String, _ folder: String) async throws {
    let url = "http://127.0.0.1:\(old.port)/baremetal"
    let source = ["FROM_OS_CLOUD": "steelyard", "FROM_OS_CLIENT_CONFIG_FILE": "\(old.data)/clouds.yaml"]

    let nobody = try await load(new, ["--from-ironic", url])
    #expect(nobody.status != 0 && nobody.text.isEmpty, "without a token there is nothing to read")
    let dry = try await load(new, ["--from-ironic", url, "--dry-run"], source)
    #expect(dry.status == 0)
    #expect(lines(dry).contains("would be r1u1, 1 ports"))
    #expect(lines(dry).contains("left     works: it is active there; --adopt takes it as it runs"))
    #expect(lines(dry).last == "203 would be enrolled, 0 there already, 1 left, 0 with a problem")

    let real = try await load(new, ["--from-ironic", url + "/v1/", "--token", token])
    #expect(real.status == 0)
    #expect(
      lines(real).contains(
        "         driver_info.ipmi_password is masked there: give it with --passwords, or set it; until then it waits in enroll"
      ))
    #expect(lines(real).contains("         not taken over: owner a-project-of-theirs (no such project here)"))
    #expect(lines(real).last == "203 enrolled, 0 there already, 1 left, 0 with a problem", "a dry run enrols nothing")
    let again = try await load(new, ["--from-ironic", url], source)
    #expect(lines(again).last == "0 enrolled, 203 there already, 1 left, 0 with a problem")

    // The active one goes on as it runs.
    let adopted = try await load(new, ["--from-ironic", url, "--adopt"], source)
    #expect(
      adopted.text.contains("enrolled works, 0 ports\n         manageable\n         active\n"),
      "\(adopted.text.suffix(600))")
    let mine = try #require(try await new.logIn().header("X-Subject-Token"))
    func show(_ path: String) async throws -> JSON {
      try await new.call("GET", "/baremetal/v1/\(path)", token: mine).json
    }
    let works = try await show("nodes/works")
    #expect(works["provision_state"] == "active" && works["instance_uuid"]?.string != nil)
    #expect(works["instance_info"]?["image_source"] == "http://x/y")
    let measured = try await run(
      Server.program, ["sensors", "works"],
      environment: ["OS_CLOUD": "steelyard", "OS_CLIENT_CONFIG_FILE": "\(new.data)/clouds.yaml"])
    #expect(measured.status == 0 && measured.text.contains("Temperature  inlet"), "\(measured.text)")
    let first = try await show("nodes/r1u1")
    #expect(first["uuid"] == (try await old.call("GET", "/baremetal/v1/nodes/r1u1", token: token).json["uuid"]))
    #expect(first["provision_state"] == "enroll" && first["traits"] == ["CUSTOM_GOLD"] && first["owner"] == .null)
    #expect(first["driver_info"] == ["ipmi_address": "127.0.0.1"], "the mask is no password")
    #expect(try await show("chassis/\(first["chassis_uuid"]?.string ?? "")")["description"] == "row 1")
    let port = try await show("ports?address=52:54:00:00:01:01&fields=portgroup_uuid")["ports"]?.array?.first
    #expect(try await show("portgroups/bond0")["uuid"] == port?["portgroup_uuid"])
    let verified = try await load(new, ["--from-ironic", url, "--adopt", "--manage"], source)
    #expect(verified.text.contains("exists   many-7, enroll\n         manageable\n"))
    #expect(verified.text.contains("problem  r1u1: manage: "), "its controller does not answer")
    let last = try await load(new, ["--from-ironic", url, "--adopt"], source)
    #expect(!last.text.contains("enrolled works") && last.text.contains("exists   works, active"))
  }

  @Test func upstreamsDocumentsAreTakenThroughTLSAndBasicCredentials() async throws {
    try await withFolder("ironic-import") { folder in
      let ports = try freePorts(2)
      let site = Server(port: ports[0], data: folder + "/site")
      try await start(site) { site in
        try await withThrowingTaskGroup(of: Void.self) { group in
          defer { group.cancelAll() }
          let script = #filePath.split(separator: "/").dropLast().reduce("") { $0 + "/" + $1 } + "/recorded_ironic.py"
          group.addTask { _ = try await run("python3", [script, "\(ports[1])"], timeout: .seconds(200)) }
          group.addTask { try await readRecorded(site, "http://127.0.0.1:\(ports[1])", folder) }
          try await group.next()
        }
      }
    }
  }
  private func readRecorded(_ site: Server, _ url: String, _ folder: String) async throws {
    try await write("test_node: s3cr3t\n", to: folder + "/passwords.yaml")
    let source = ["FROM_OS_USERNAME": "admin", "FROM_OS_PASSWORD": "s3cr3t"]
    let deadline = ContinuousClock.now + .seconds(20)
    var wrong = try await load(site, ["--from-ironic", url], ["FROM_OS_USERNAME": "admin", "FROM_OS_PASSWORD": "x"])
    while !wrong.errorText.contains("Incorrect"), ContinuousClock.now < deadline {
      wrong = try await load(site, ["--from-ironic", url], ["FROM_OS_USERNAME": "admin", "FROM_OS_PASSWORD": "x"])
    }
    #expect(wrong.errorText.contains("Incorrect username or password") && wrong.status != 0)

    let result = try await load(
      site, ["--from-ironic", url, "--passwords", folder + "/passwords.yaml", "--insecure"], source)
    #expect(
      lines(result) == [
        "enrolled test_node, 1 ports", "         not taken over: boot_interface pxe (here ipxe)",
        "problem  2b045129-a906-46af-bc1a-092b294b3428: there is no driver 'agent_ucs' here",
        "1 enrolled, 0 there already, 0 left, 1 with a problem",
      ])
    let mine = try #require(try await site.logIn().header("X-Subject-Token"))
    let node = try await site.call("GET", "/baremetal/v1/nodes/test_node", token: mine).json
    #expect(node["driver_info"]?["ipmi_password"] == "******" && node["network_interface"] == "flat")

    for arguments in [
      [], ["nodes.yaml", "--from-ironic", url], ["nodes.yaml", "--adopt"], ["--from-ironic", "http://127.0.0.1:1"],
    ] {
      #expect(try await load(site, arguments, source).status != 0)
    }
  }

  @Test func aCertificateIsVerifiedUnlessToldOtherwise() async throws {
    try await withFolder("ironic-import") { folder in
      let server = Server(port: try freePorts(1)[0], data: folder + "/site")
      _ = try await runChecked(
        Server.program, ["init", "--data", server.data, "--port", "\(server.port)", "--self-signed"])
      let service = Task { try await run(Server.program, ["serve", "--data", server.data], timeout: .seconds(200)) }
      defer { service.cancel() }
      let url = "https://127.0.0.1:\(server.port)/baremetal"
      let source = [
        "FROM_OS_AUTH_URL": "https://127.0.0.1:\(server.port)/identity", "FROM_OS_USERNAME": "admin",
        "FROM_OS_PASSWORD": "wrong",
      ]
      // It gets as far as the wrong password only when it trusts the certificate.
      let trusting = ["--ca-certificate", server.data + "/server.crt"]
      let deadline = ContinuousClock.now + .seconds(20)
      var trusted = try await load(server, ["--from-ironic", url] + trusting, source)
      while !trusted.errorText.contains("login at"), ContinuousClock.now < deadline {
        trusted = try await load(server, ["--from-ironic", url] + trusting, source)
      }
      #expect(trusted.errorText.contains("login at"), "\(trusted.errorText)")
      #expect(try await load(server, ["--from-ironic", url, "--insecure"], source).errorText.contains("login at"))
      let refused = try await load(server, ["--from-ironic", url], source)
      #expect(refused.status != 0 && refused.errorText.contains("does not answer"), "\(refused.errorText)")

      service.cancel()
      _ = await service.result
    }
  }
}
