import Processes
import TestSupport
import Testing
import Wire

/// Where a secret may not be left: what is answered, the log at its most talkative, the database and its backup.
@Suite struct SecrecyTests {
  /// What is given to the server below, each in another place.
  private enum Secret {
    static let password = "pw-violet-anteater-1", changed = "pw-violet-anteater-2", wrong = "pw-violet-anteater-3"
    static let program = "ac-violet-anteater-4", blob = "bl-violet-anteater-5", controller = "bm-violet-anteater-6"
    static let volume = "ch-violet-anteater-7", another = "bm-violet-anteater-8"
  }

  @Test func abuse33_noSecretIsInAnAnswerTheLogTheDatabaseOrItsBackup() async throws {
    try await withFolder("secrecy") { folder in
      let server = Server(port: try freePorts(1)[0], data: folder + "/site")
      _ = try await runChecked(Server.program, ["init", "--data", server.data, "--port", "\(server.port)"])
      let log = folder + "/server.log"
      try await server.serve({ server in
        let tokens = try await use(server)
        _ = try await runChecked(Server.program, ["backup", "--data", server.data, folder + "/copy.db"])
        let written = try await runChecked("wc", ["-l", log]).text
        #expect(!written.hasPrefix("0 "), "nothing was logged")
        for (name, text) in [("violet-anteater", "violet-anteater")] + tokens.enumerated().map({ ("token \($0)", $1) })
        {
          let found = try await run("grep", ["-rlaF", "-e", text, folder], timeout: .seconds(20))
          #expect(found.status == 1 && found.text.isEmpty, "\(name) is in \(found.text)")
        }
      }) {
        try await run(
          "sh",
          [
            "-c", "exec \"$0\" serve --data \"$1\" --log-level trace >\"$2\" 2>&1", Server.program, server.data, log,
          ], timeout: .seconds(120))
      }
    }
  }

  /// Gives the server every kind of secret, rightly and wrongly, and reads everything back.
  /// - Returns: the tokens that it has handed out.
  private func use(_ server: Server) async throws -> [String] {
    let admin = try #require(try await server.logIn().header("X-Subject-Token"))
    func make(_ path: String, _ body: JSON, as token: String) async throws -> JSON {
      let answer = try await server.send("POST", path, token: token, body)
      #expect((200..<300).contains(answer.status), "\(path): \(answer.text)")
      return answer.json
    }
    let user = try await make(
      "/identity/v3/users", ["user": ["name": "eve", "password": .string(Secret.password)]], as: admin)["user"]
    let id = user?["id"]?.string ?? ""
    let project = try await make("/identity/v3/projects", ["project": ["name": "p"]], as: admin)["project"]
    let role = try await server.call("GET", "/identity/v3/roles?name=member", token: admin).json["roles"]?.array?.first
    let grant =
      "/identity/v3/projects/\(project?["id"]?.string ?? "")/users/\(id)/roles/\(role?["id"]?.string ?? "")"
    #expect(try await server.call("PUT", grant, token: admin).status == 204)
    func logIn(_ password: String) async throws -> Server.Answer {
      try await server.send(
        "POST", "/identity/v3/auth/tokens",
        [
          "auth": [
            "identity": [
              "methods": ["password"], "password": ["user": ["id": .string(id), "password": .string(password)]],
            ], "scope": ["project": ["id": project?["id"] ?? nil]],
          ]
        ])
    }
    #expect(try await logIn(Secret.wrong).status == 401)
    let first = try #require(try await logIn(Secret.password).header("X-Subject-Token"))
    let change = try await server.send(
      "POST", "/identity/v3/users/\(id)/password", token: first,
      ["user": ["original_password": .string(Secret.password), "password": .string(Secret.changed)]])
    #expect(change.status == 204)
    let own = try #require(try await logIn(Secret.changed).header("X-Subject-Token"))
    let credentials = "/identity/v3/users/\(id)/application_credentials"
    _ = try await make(
      credentials, ["application_credential": ["name": "ci", "secret": .string(Secret.program)]], as: own)
    _ = try await make(
      "/identity/v3/credentials", ["credential": ["type": "note", "blob": .string(Secret.blob)]], as: own)

    let node = try await make(
      "/baremetal/v1/nodes",
      [
        "driver": "ipmi", "name": "n",
        "driver_info": [
          "ipmi_address": "127.0.0.1", "ipmi_username": "root", "ipmi_password": .string(Secret.controller),
        ],
      ], as: admin)["uuid"]
    _ = try await make(
      "/baremetal/v1/volume/targets",
      [
        "node_uuid": node ?? nil, "volume_type": "iscsi", "volume_id": "v", "boot_index": 0,
        "properties": ["auth_username": "u", "auth_password": .string(Secret.volume)],
      ], as: admin)
    let patched = try await server.send(
      "PATCH", "/baremetal/v1/nodes/n", token: admin,
      [["op": "add", "path": "/driver_info/ipmi_password", "value": .string(Secret.another)]])
    #expect(patched.status == 200, "\(patched.text)")
    // A body that is refused, with a secret beside the mistake; a token where none belongs.
    let refused = try await server.send(
      "POST", "/baremetal/v1/nodes", token: admin,
      ["driver": "nothing", "driver_info": ["ipmi_password": .string(Secret.controller)]])
    #expect(refused.status == 400)
    _ = try await server.call("GET", "/identity/v3/users/\(own)", token: own)

    var texts = [refused.text, patched.text, change.text]
    for (path, token) in [
      ("/baremetal/v1/nodes/n", admin), ("/baremetal/v1/nodes/detail", admin),
      ("/baremetal/v1/nodes/n/volume/targets", admin), ("/baremetal/v1/volume/targets?detail=true", admin),
      ("/baremetal/v1/nodes/n/validate", admin), ("/identity/v3/users/\(id)", admin), (credentials, own),
      ("/identity/v3/users", admin), ("/identity/v3/projects", admin),
    ] {
      let answer = try await server.call("GET", path, token: token)
      #expect(answer.status == 200, "\(path): \(answer.text)")
      texts.append(answer.text)
    }
    for text in texts { #expect(!text.contains("violet-anteater"), "\(text)") }
    return [admin, first, own]
  }
}
