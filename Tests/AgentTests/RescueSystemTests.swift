import Glibc
import Testing
import Wire

@testable import Agent

/// The agent that makes way for a rescue system.
extension AgentTests {
  private static let archive = "archive"
  private static let hash = "$6$saltsalt$" + String(repeating: "h", count: 86)

  private static func rescue(_ changes: JSONObject = [:], system: JSONObject = [:]) -> JSON {
    var digest = SHA256()
    digest.update(Array(archive.utf8))
    var file: JSONObject = [
      "url": "/agent/v1/rescue/w1", "size_bytes": .int(archive.utf8.count), "sha256": .string(digest.hexDigest()),
    ]
    for member in system { file[member.key] = member.value }
    var parameters: JSONObject = [
      "password_hash": .string(hash), "network_data": ["links": []], "system": .object(file),
    ]
    for member in changes { parameters[member.key] = member.value }
    return ["id": "r", "kind": "rescue", "parameters": .object(parameters)]
  }

  @Test func aRescueLeavesItsSystemAndEndsTheAgent() async throws {
    let script = Script([Self.rescue()])
    let server = FakeServer { script.answer($0) }
    let (ending, log) = try await run(server)
    #expect(ending == .rescue, "\(log.text)")
    #expect(results(server).last?["ok"]?.bool == true)
    #expect(Machine.text(of: "\(rescueFolder)/system.tar.gz") == Self.archive)
    #expect(Machine.text(of: "\(rescueFolder)/password-hash") == Self.hash)
    #expect(Machine.text(of: "\(rescueFolder)/network_data.json")?.contains("links") == true)
    // Nobody but the system itself reads them; the disk is as it was.
    var information = stat()
    #expect(stat(rescueFolder, &information) == 0 && information.st_mode & 0o077 == 0)
    #expect(try diskBytes(0..<4096).allSatisfy { $0 == 0xee })
    #expect(!log.text.contains(Self.hash))
  }

  @Test(arguments: [
    rescue(["password_hash": "$6$salt$a:b:0:0"]), rescue(["password_hash": "root"]), rescue(["password_hash": nil]),
    rescue(["system": nil]), rescue(system: ["url": "http://198.51.100.1/x"]),
    rescue(system: ["size_bytes": 100_000_000]),
    rescue(system: ["sha256": .string(String(repeating: "0", count: 64))]),
  ])
  func whatIsNoRescueSystemIsRefused(_ command: JSON) async throws {
    let script = Script([command])
    let server = FakeServer { script.answer($0) }
    let (ending, log) = try await run(server)
    #expect(ending == .dismissed("the server asked for it"), "\(log.text)")
    #expect(results(server).first { $0["id"] == "r" }?["ok"]?.bool == false)
    #expect(Machine.text(of: "\(rescueFolder)/password-hash") == nil)
  }
}
