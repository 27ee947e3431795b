import Domain
import DriverInterfaces

/// What one vendor's command line wants to hear and how it shows its ports: a vendor is one of these, in a file of its own.
///
/// `read` is what makes it real: without it nothing is known of what the switch does, and no template can be made.
/// Texts are made of port names and numbers that ``SwitchText`` has passed, and of nothing else.
struct CommandTemplate: Sendable {
  /// As `kind` of the configuration has it.
  var kind: String
  /// As people call it: "Cisco NX-OS (Nexus)".
  var device: String
  var capabilities: SwitchCapabilities = [.trunk]
  /// Where what is here comes from, and how far it was tested, after "kind X "; nil for one that met what it
  /// drives.
  var tested: String? = "was tested with constructed dialogues only, never on hardware"

  /// Paging off, and the like.
  var begin: [String] = []
  var keepsDescriptions = true
  /// What asks for the second password (`secret_file`), before `begin`.
  var enable: String?
  var enterConfiguration: [String] = ["configure terminal"]
  var leaveConfiguration: [String] = ["end"]
  /// Takes a candidate into force, before leaving; empty where every command is in force at once.
  var commit: [String] = []
  /// Throws a candidate away and leaves.
  var discard: [String] = []
  /// Where the switch takes a commit back by itself: what makes it last, in configuration mode or not, and what undoes it.
  var confirm: [String] = []
  var takeBack: [String] = []

  /// Commands that show all ports, and how to read what they print.
  var show: [String]
  var read: @Sendable ([String]) -> [String: SwitchPortState]
  /// Makes a VLAN, in configuration mode; leaves no mode open that `port` cannot do without.
  var network: @Sendable (_ vlan: Int, _ name: String?) -> [String] = { vlan, name in
    ["vlan \(vlan)"] + (name.map { ["name \($0)"] } ?? []) + ["exit"]
  }
  /// Brings one port from its state to the wanted one, in configuration mode.
  var port: @Sendable (PortChange) -> [String]
  /// Outside of configuration mode.
  var save: [String]
  /// Of a line that says no, in any case of letters, besides those that most have.
  var errors: [String] = []
  /// Questions that commands ask, and what to type.
  var answers: [(question: String, answer: String)] = []
  var macTable: (command: String, read: @Sendable (String) -> [(port: String, vlan: Int, mac: MACAddress)])?
  var neighbours: (command: String, read: @Sendable (String) -> [SwitchNeighbour])?

  var vnis: VNICommands?

  static let commonErrors = [
    "% invalid", "%invalid", "% incomplete", "% ambiguous", "% error", "%error", "error:", "invalid input",
    "invalid command", "unrecognized command", "unknown command", "syntax error", "command rejected",
    "% authorization", "permission denied", "not permitted", "command not found", "incomplete command",
    "wrong parameter", "no such command",
  ]

  /// The line of a reply with which the switch says no.
  func refusal(in reply: String) -> String? {
    for line in reply.split(separator: "\n") {
      let low = line.lowercased()
      if (Self.commonErrors + errors).contains(where: { low.contains($0) }) { return SwitchText.quoted(String(line)) }
    }
    return nil
  }
}

/// A template with the way to one switch.
struct CommandLineAccess: SwitchAccess {
  let template: CommandTemplate
  let ssh: SSHAccess
  let secretFile: String?
  /// Its place in a fabric; nil where it has none.
  let leaf: EVPNLeaf?

  var capabilities: SwitchCapabilities {
    var all = template.capabilities
    if template.macTable != nil { all.insert(.macTable) }
    if template.neighbours != nil { all.insert(.lldp) }
    if !template.confirm.isEmpty { all.insert(.confirmedCommit) }
    if template.vnis != nil, leaf != nil { all.insert(.vni) }
    return all
  }
  var caution: String? { template.tested.map { "kind \(template.kind) \($0)" } }

  func open() async throws -> any SwitchSession {
    let session = CommandLineSession(template, try await ssh.start(["-tt"]), secretFile: secretFile, leaf: leaf)
    do { try await session.logIn() } catch {
      await session.close()
      throw error
    }
    return session
  }
}
