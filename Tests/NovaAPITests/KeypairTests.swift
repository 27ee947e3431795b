import Cryptography
import Domain
import Processes
import TestSupport
import Testing
import Wire

@Suite struct KeypairTests {
  private static let line =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f alice@example"

  @Test func aKeyIsImportedShownAndDeletedByItsUserOnly() async throws {
    try await ComputeSite.run(isRunning: false) { site in
      let body: JSON = ["keypair": ["name": "k", "public_key": .string(Self.line)]]
      let made = try await site.call(.post, "/v2.1/os-keypairs", body)
      #expect(made.status == 201, "\(made.shown)")
      #expect(made.body["keypair"]?["fingerprint"]?.string?.count == 47)
      #expect(made.body["keypair"]?["private_key"] == nil)
      #expect(try await site.call(.post, "/v2.1/os-keypairs", body).status == 409)
      #expect(try await site.call(.get, "/v2.1/os-keypairs/k").body["keypair"]?["user_id"] == "alice")
      #expect(try await site.call(.get, "/v2.1/os-keypairs/k", as: "bob").status == 404)
      #expect(try await site.call(.get, "/v2.1/os-keypairs", as: "bob").body["keypairs"] == [])
      #expect(try await site.call(.get, "/v2.1/os-keypairs?user_id=alice", as: "bob").status == 403)
      let seen = try await site.call(.get, "/v2.1/os-keypairs?user_id=alice", as: "admin")
      #expect(seen.body["keypairs"]?.array?.count == 1)
      #expect(try await site.call(.delete, "/v2.1/os-keypairs/k", as: "bob").status == 404)
      #expect(try await site.call(.delete, "/v2.1/os-keypairs/k").status == 204)
      #expect(try await site.call(.delete, "/v2.1/os-keypairs/k").status == 404)
    }
  }

  @Test func aMadePairIsOneThatOpenSSHReads() async throws {
    try await ComputeSite.run(isRunning: false) { site in
      let made = try await site.call(.post, "/v2.1/os-keypairs", ["keypair": ["name": "k"]], version: "2.10")
      let privateText = try #require(made.body["keypair"]?["private_key"]?.string)
      let line = try #require(made.body["keypair"]?["public_key"]?.string)
      let bytes = try #require(Keypair.bytes(of: line, decode: Base64.bytes))
      #expect(SSHKey.fingerprint(bytes) == made.body["keypair"]?["fingerprint"]?.string)

      // The private half has the public one in it, as ssh-keygen checks.
      let file = try #require(
        Base64.bytes(
          privateText.split(separator: "\n").filter { !$0.hasPrefix("-----") }.joined()))
      #expect(file.starts(with: Array("openssh-key-v1\0".utf8)))
      #expect((file.count - bytes.count) > 0 && String(decoding: file, as: UTF8.self).contains("ssh-ed25519"))
      // The administrator cannot read a private key afterwards.
      #expect(try await site.call(.get, "/v2.1/os-keypairs/k").body["keypair"]?["private_key"] == nil)
      #expect(try await site.call(.post, "/v2.1/os-keypairs", ["keypair": ["name": "n"]]).status == 400)
    }
  }

  @Test func whatIsNoKeyIsRefused() async throws {
    try await ComputeSite.run(isRunning: false) { site in
      for (name, key, type) in [
        ("k", "ssh-rsa JUNK nova@ubuntu", nil), ("k", "", nil), ("", Self.line, nil), ("a\u{7}b", Self.line, nil),
        (String(repeating: "k", count: 256), Self.line, nil), ("k", Self.line, "x509"), ("a/b", Self.line, nil),
        ("k", "ssh-dss AAAAB3NzaC1kc3M= x", nil), ("k", Self.line + "\nssh-ed25519 AAAA command", nil),
        ("k", Self.line.replacing("ssh-ed25519", with: "ssh-rsa"), nil),
        ("k", "ssh-rsa " + String(repeating: "1", count: 70_000), nil),
      ] as [(String, String, String?)] {
        var keypair: JSONObject = ["name": .string(name), "public_key": .string(key)]
        if let type { keypair["type"] = .string(type) }
        let answer = try await site.call(.post, "/v2.1/os-keypairs", ["keypair": .object(keypair)])
        #expect(answer.status == 400, "\(name) \(key.prefix(60)): \(answer.shown)")
      }
      #expect(
        try await site.call(
          .post, "/v2.1/os-keypairs", ["keypair": ["name": "k", "public_key": .string(Self.line), "user_id": "bob"]]
        ).status == 403)
    }
  }
}
