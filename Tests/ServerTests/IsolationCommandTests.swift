import Cryptography
import Processes
import TestSupport
import Testing
import Wire

/// The commands around isolation reports, on the whole server: what is printed, and that others can verify it.
@Suite struct IsolationCommandTests {
  @Test func aReportIsPrintedVerifiedAndSavedForOthersToVerify() async throws {
    try await withFolder("isolation-command") { folder in
      let ports = try freePorts(2)
      let server = Server(port: ports[0], data: folder + "/site")
      let yaml = """
        listen: {port: \(ports[0])}
        console: {first_port: \(ports[1]), last_port: \(ports[1])}
        fake_hardware: {enabled: true}
        """
      _ = try await runChecked("sh", ["-c", "cat >\"$0\"", folder + "/site.yaml"], input: Array(yaml.utf8))
      _ = try await runChecked(
        Server.program, ["init", "--data", server.data, "--configuration", folder + "/site.yaml"])
      try await server.serve({ try await use($0, folder) }) {
        try await run(Server.program, ["serve", "--data", server.data], timeout: .seconds(200))
      }
    }
  }

  private func use(_ server: Server, _ folder: String) async throws {
    let logIn = try await server.logIn()
    let token = try #require(logIn.header("X-Subject-Token"))
    let project = try #require(logIn.json["token"]?["project"]?["id"]?.string)
    let node = try await server.send(
      "POST", "/baremetal/v1/nodes", token: token,
      ["name": "n1", "driver": "fake-hardware", "owner": .string(project)])
    #expect(node.status == 201, "\(node.text)")
    let lease = try await server.send(
      "POST", "/lease/v1/leases", token: token,
      ["resource_uuid": "n1", "project_id": .string(project), "name": "l1"])
    #expect(lease.status == 201, "\(lease.text)")

    func ask(_ arguments: [String]) async throws -> CommandResult {
      try await run(
        Server.program, arguments,
        environment: ["OS_CLOUD": "steelyard", "OS_CLIENT_CONFIG_FILE": "\(server.data)/clouds.yaml"])
    }
    // The site's key is the same whoever asks first.
    let key = try await ask(["isolation-key", "--data", server.data])
    #expect(key.status == 0 && VerifyingKey(pem: key.text) != nil, "\(key.text) \(key.errorText)")
    _ = try await runChecked("sh", ["-c", "cat >\"$0\"", folder + "/site.pem"], input: Array(key.text.utf8))
    let report = try await ask(["isolation-report", "l1", "--key", folder + "/site.pem", "--save", folder + "/r"])
    #expect(report.status == 0, "\(report.text) \(report.errorText)")
    #expect(
      report.text.contains("Lease \(lease.json["uuid"]?.string ?? "-") of machine \(node.json["uuid"]?.string ?? "-")"))
    #expect(report.text.contains("Signature: valid, Ed25519") && !report.text.contains("came with the report"))
    let verified = try await run(
      "openssl",
      [
        "pkeyutl", "-verify", "-pubin", "-inkey", folder + "/site.pem", "-rawin", "-in", folder + "/r/report.json",
        "-sigfile", folder + "/r/report.sig",
      ])
    #expect(verified.text.contains("Verified Successfully"), "\(verified.errorText)")

    // Another site's key, no key at all, a lease that is not there.
    let other = try #require(SigningKey(seed: randomBytes(32))).publicKey.pem
    _ = try await runChecked("sh", ["-c", "cat >\"$0\"", folder + "/other.pem"], input: Array(other.utf8))
    let foreign = try await ask(["isolation-report", "l1", "--key", folder + "/other.pem"])
    #expect(foreign.status == 1 && foreign.text.contains("NOT VALID"))
    #expect(try await ask(["isolation-report", "l1", "--key", folder + "/site.yaml"]).status != 0)
    let missing = try await ask(["isolation-report", "l9"])
    #expect(
      missing.status != 0 && missing.errorText.contains("Lease with name or uuid l9 not found."), "\(missing.errorText)"
    )
    // Without a switch there is nothing to probe, and that is said.
    let probe = try await ask(["probe-isolation", "200", "201", "--data", server.data])
    #expect(probe.status != 0 && probe.errorText.contains("no switch is configured"), "\(probe.errorText)")
  }
}
