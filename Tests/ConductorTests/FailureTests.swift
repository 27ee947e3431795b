import Domain
import Glibc
import TestSupport
import Testing
import Wire

/// What goes wrong outside: each ends in a sentence that says what it was, in a state from which the normal verbs lead out,
/// and leaves nothing behind.
@Suite struct FailureTests {
  struct Fault: Sendable, CustomTestStringConvertible {
    var scenario: Scenario
    /// What fails, and with which words ("fault/<verb>" of the world).
    var verb: String
    var words: String
    /// The state that the API shows then.
    var state: String
    /// What the node's `last_error` must say.
    var says: String
    /// Short only where nothing else ends the wait: a busy machine must not take an agent that works for a silent one.
    var waits: [String: String] {
      if verb == "no-agent" { return ["patience": "600"] }
      return words == "silent" ? ["silence": "600"] : [:]
    }
    var testDescription: String { "\(scenario.rawValue): \(verb)" }
  }

  static let faults: [Fault] = [
    Fault(scenario: .verify, verb: "verify", words: "refused: wrong password", state: "enroll", says: "wrong password"),
    Fault(scenario: .verify, verb: "verify", words: "unreachable: no answer", state: "enroll", says: "no answer"),
    Fault(
      scenario: .deploy, verb: "image", words: "refused: the checksum is wrong", state: "deploy failed",
      says: "checksum"),
    Fault(
      scenario: .deploy, verb: "switch", words: "misconfigured: there is no port n1", state: "deploy failed",
      says: "no port n1"),
    Fault(
      scenario: .provide, verb: "switch", words: "misconfigured: there is no port n1", state: "clean failed",
      says: "no port n1"),
    Fault(
      scenario: .deploy, verb: "admit", words: "refused: no space left", state: "deploy failed", says: "no space left"),
    Fault(
      scenario: .deploy, verb: "power-on", words: "refused: power supply", state: "deploy failed", says: "power supply"),
    Fault(
      scenario: .deploy, verb: "agent-write-image", words: "the image needs 4096 MiB, the disk has 2048 MiB",
      state: "deploy failed",
      says: "the disk has 2048 MiB"),
    Fault(
      scenario: .deploy, verb: "agent-write-image", words: "silent", state: "deploy failed",
      says: "the machine may have crashed or lost power; look at its console"),
    Fault(
      scenario: .provide, verb: "agent-erase", words: "silent", state: "clean failed",
      says: "the machine may have crashed or lost power; look at its console"),
    Fault(
      scenario: .inspect, verb: "agent-inspect", words: "silent", state: "inspect failed",
      says: "the machine may have crashed or lost power; look at its console"),
    Fault(scenario: .deploy, verb: "no-agent", words: "DHCP never answers", state: "deploy failed", says: Self.absent),
    Fault(scenario: .provide, verb: "no-agent", words: "DHCP never answers", state: "clean failed", says: Self.absent),
    Fault(
      scenario: .provide, verb: "agent-erase", words: "/dev/vda: input/output error", state: "clean failed",
      says: "input/output"),
    Fault(
      scenario: .inspect, verb: "no-agent", words: "DHCP never answers", state: "inspect failed", says: Self.absent),
  ]
  /// What is said of a machine that never asks for an address, or never gets one.
  static let absent =
    "look at the console for what the firmware did; is the port's MAC address right, is its switch port on the provisioning network, does it boot over the network first?"

  @Test(arguments: faults) func isToldInWordsAndTheNormalVerbsLeadOut(fault: Fault) async throws {
    try await withFolder("failure") { folder in
      let site = try CrashSite(folder: folder, options: fault.waits)
      try site.world.ensure("fault/\(fault.verb)", fault.words)

      let failed = try await site.play(fault.scenario)
      site.database.close()
      #expect(failed["state"]?.string == fault.state)
      #expect(
        failed["last_error"]?.string?.contains(fault.says) == true, "last_error: \(failed["last_error"]?.string ?? "")")
      // What a device of the site said is not for the lessee; what is theirs is.
      let told = failed["public_error"]?.string ?? ""
      let isSites = ["verify", "switch", "admit", "power-on"].contains(fault.verb)
      #expect(told.contains(fault.says) != isSites && !told.isEmpty && !told.contains("bmc"), "told: \(told)")
      #expect(failed["reservation"] == .null)
      #expect(failed["leftovers"] == [])
      #expect(failed["world"]?["dhcp/n1"] == nil)
      #expect(failed["world"]?["switch/n1"] == nil, "the switch port is not in quarantine")

      // Mended, the same can be asked again.
      try site.world.ensure("fault/\(fault.verb)", nil)
      let mended: JSON
      switch fault.scenario {
      case .verify: mended = try await ask(.manage, folder)
      case .deploy: mended = try await ask(.active, folder)
      case .inspect: mended = try await ask(.inspect, folder)
      default:
        #expect(try await ask(.manage, folder)["state"]?.string == "manageable")
        mended = try await ask(.provide, folder)
      }
      #expect(mended["state"]?.string == fault.scenario.whole.rawValue)
      #expect(mended["last_error"] == .null)
      #expect(mended["leftovers"] == [])
    }
  }

  /// In a server started anew.
  private func ask(_ verb: ProvisionVerb, _ folder: String) async throws -> JSON {
    let site = try CrashSite(folder: folder, options: [:])
    let report = try await site.ask(verb)
    site.database.close()
    return report
  }
}
