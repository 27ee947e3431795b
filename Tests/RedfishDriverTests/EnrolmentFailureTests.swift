import Domain
import Glibc
import Processes
import Store
import TestSupport
import Testing
import Wire

/// What an administrator sees who enrols a machine with what is wrong of its controller, and how they go on.
@Suite struct EnrolmentFailureTests {
  private func enrol(_ controller: SimulatedController, _ wrong: JSONObject, says: [String]) async throws {
    let folder = try makeTemporaryFolder("enrol")
    var parts = SiteParts()
    parts.hardware = controller.hardware
    parts.secrets = ["redfish_password"]
    parts.node = { node in
      node.driver = "redfish"
      node.driverInfo = controller.info(wrong)
    }
    let first = try CrashSite(folder: folder, options: [:], parts: parts)

    let failed = try await first.play(.verify)

    #expect(failed["state"] == "enroll")
    #expect(failed["reservation"] == .null)
    #expect(failed["leftovers"] == [])
    let told = failed["last_error"]?.string ?? ""
    for words in says { #expect(told.contains(words), "\(told)") }
    #expect(!told.contains("pa55-w0rd") && !told.contains("not-the-password"), "\(told)")
    let publicly = failed["public_error"]?.string ?? ""
    #expect(publicly.hasPrefix("The machine's management controller") && publicly.contains("administrator"))
    #expect(!publicly.contains("127.0.0.1") && !publicly.contains("redfish_"))
    first.database.close()

    let second = try CrashSite(folder: folder, options: [:], parts: parts)
    let box = second.database.secrets
    try await second.database.write { session in
      try NodeStore.setDriverInfo(
        controller.info(), of: CrashSite.node, secrets: ["redfish_password"], box: box, in: session)
    }
    let managed = try await second.ask(.manage)
    #expect(managed["state"] == "manageable", "\(managed["last_error"] ?? .null)")
    #expect(managed["last_error"] == .null)
    second.database.close()
    _ = try await run("rm", ["-rf", folder])
    // No session is left at the controller but the one in use.
    #expect(controller.requests("POST", "/Sessions").count <= 4)
  }

  @Test func aWrongPasswordIsSaidAndManageLeadsOut() async throws {
    try await withController { controller in
      try await enrol(
        controller, ["redfish_password": "not-the-password"],
        says: ["bmc 127.0.0.1:\(controller.port)", "check redfish_username and redfish_password"])
    }
  }

  @Test func aControllerThatDoesNotAnswerIsSaidAndManageLeadsOut() async throws {
    try await withController { controller in
      try await enrol(
        controller, ["redfish_address": "http://127.0.0.1:1"],
        says: ["bmc 127.0.0.1:1", "check redfish_address and the network to it"])
    }
  }
}
