import Domain
import Glibc
import IPMIDriver
import Processes
import Store
import TestSupport
import Testing
import Wire

/// What an administrator sees who enrols a machine with what is wrong of its controller, and how they go on.
@Suite struct EnrolmentFailureTests {
  private func info(_ port: Int, _ change: JSONObject = [:]) -> JSONObject {
    var info: JSONObject = [
      "ipmi_address": "127.0.0.1", "ipmi_port": .int(port), "ipmi_username": "admin", "ipmi_password": "password",
    ]
    for member in change { info[member.key] = member.value }
    return info
  }

  /// Enrols with `wrong`, looks at what is said, and mends it.
  private func enrol(_ wrong: JSONObject, mended: JSONObject, says: [String], hides: [String]) async throws {
    let folder = try makeTemporaryFolder("enrol")
    var limits = IPMILimits()
    limits.answerSeconds = 1
    limits.retries = 1
    limits.command = .seconds(5)
    var parts = SiteParts()
    parts.hardware = IPMIHardwareType(limits: limits)
    parts.secrets = ["ipmi_password"]
    parts.node = { node in
      node.driver = "ipmi"
      node.driverInfo = wrong
    }
    let first = try CrashSite(folder: folder, options: [:], parts: parts)

    let failed = try await first.play(.verify)

    #expect(failed["state"] == "enroll")
    #expect(failed["reservation"] == .null)
    #expect(failed["leftovers"] == [])
    let told = failed["last_error"]?.string ?? ""
    for words in says { #expect(told.contains(words), "\(told)") }
    for words in hides { #expect(!told.contains(words), "\(told)") }
    // Who only uses the machine is told, and not where the controller is.
    let publicly = failed["public_error"]?.string ?? ""
    #expect(publicly.hasPrefix("The machine's management controller") && publicly.contains("administrator"))
    #expect(!publicly.contains("127.0.0.1") && !publicly.contains("ipmi_"))
    #expect(fileNames(in: folder).allSatisfy { $0 == "key" || $0.contains(".db") }, "\(fileNames(in: folder))")
    first.database.close()

    // Mended: `baremetal node set --driver-info …`, and `manage` again.
    let second = try CrashSite(folder: folder, options: [:], parts: parts)
    let box = second.database.secrets
    try await second.database.write { session in
      try NodeStore.setDriverInfo(mended, of: CrashSite.node, secrets: ["ipmi_password"], box: box, in: session)
    }
    let managed = try await second.ask(.manage)
    #expect(managed["state"] == "manageable", "\(managed["last_error"] ?? .null)")
    #expect(managed["last_error"] == .null)
    second.database.close()
    _ = try await run("rm", ["-rf", folder])
  }

  @Test func aWrongPasswordIsSaidAndManageLeadsOut() async throws {
    let controller = try await SimulatedController.start()
    try await enrol(
      info(controller.port, ["ipmi_password": "not-the-password"]), mended: info(controller.port),
      says: ["bmc 127.0.0.1", "wrong password; check ipmi_password"], hides: ["not-the-password"])
    try await controller.remove()
  }

  @Test func anUnknownUserIsSaidAndManageLeadsOut() async throws {
    let controller = try await SimulatedController.start()
    try await enrol(
      info(controller.port, ["ipmi_username": "nobody"]), mended: info(controller.port),
      says: ["check ipmi_username"], hides: ["wrong password"])
    try await controller.remove()
  }

  @Test func aControllerThatDoesNotAnswerIsSaidAndManageLeadsOut() async throws {
    let controller = try await SimulatedController.start()
    try await enrol(
      info(freePort(SOCK_DGRAM)), mended: info(controller.port),
      says: ["no answer", "check ipmi_address, ipmi_port and that IPMI over LAN is enabled"], hides: ["password;"])
    try await controller.remove()
  }
}
