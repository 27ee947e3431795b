import Domain
import DriverInterfaces

/// A log-in at a switch's command line, for one visit.
actor CommandLineSession: SwitchSession {
  nonisolated let isTransactional: Bool
  nonisolated var keepsDescriptions: Bool { template.keepsDescriptions }
  private nonisolated let template: CommandTemplate
  private let ssh: SSHProgram
  private let secretFile: String?
  private let leaf: EVPNLeaf?
  private var screen = CommandLineScreen()
  private var isConfiguring = false

  init(_ template: CommandTemplate, _ ssh: SSHProgram, secretFile: String?, leaf: EVPNLeaf?) {
    self.template = template
    self.ssh = ssh
    self.secretFile = secretFile
    self.leaf = leaf
    isTransactional = !template.commit.isEmpty
  }

  // MARK: The dialogue

  func logIn() async throws {
    _ = try await reply(to: nil, "the first prompt")
    if let enable = template.enable, secretFile != nil { try await ask(enable, hidesSecret: true) }
    for command in template.begin { _ = try await run(command) }
  }

  /// Types a command and gives what it printed.
  private func run(_ command: String) async throws -> String {
    ssh.write(command + "\n")
    return try await reply(to: command, "after \"\(command.prefix(40))\"")
  }
  private func ask(_ command: String, hidesSecret: Bool) async throws {
    let text = try await run(command)
    if let refusal = template.refusal(in: text) {
      throw ssh.access.failed(.refused, "\"\(command)\": \(refusal); check secret_file")
    }
  }

  private func reply(to command: String?, _ waitingFor: String) async throws -> String {
    var echo = command
    var secretsGiven = 0
    while true {
      switch screen.found(echo: echo) {
      case .reply(let text): return text
      case .page?: ssh.write(" ")
      case .question(let line)?:
        // The question has come after the echo.
        echo = nil
        if line.lowercased().hasSuffix("assword:") {
          guard let secretFile, secretsGiven == 0 else {
            throw ssh.access.failed(.refused, "it asks for a second password, or rejected it; check secret_file")
          }
          secretsGiven += 1
          ssh.write(try SwitchCredentials.secret(in: secretFile, for: ssh.access.name) + "\n")
        } else if let known = template.answers.first(where: { line.lowercased().contains($0.question.lowercased()) }) {
          ssh.write(known.answer + "\n")
        } else if command == nil {
          // A banner that asks; the prompt follows.
          continue
        } else {
          throw ssh.access.failed(.badReply, "it asks \"\(SwitchText.quoted(line))\" \(waitingFor)")
        }
      case nil:
        screen.take(try await ssh.read(waitingFor))
        guard !screen.isTooLong else { throw ssh.access.failed(.badReply, "it printed too much \(waitingFor)") }
      }
    }
  }

  /// Runs commands that change something; the first that is refused ends it.
  private func configure(_ commands: [String]) async throws {
    for command in commands {
      if let refusal = template.refusal(in: try await run(command)) {
        throw ssh.access.failed(.refused, "it refused \"\(SwitchText.quoted(command))\": \(refusal)")
      }
    }
  }
  private func enter() async throws {
    guard !isConfiguring else { return }
    try await configure(template.enterConfiguration)
    isConfiguring = true
  }
  private func leave(by commands: [String]) async throws {
    guard isConfiguring else { return }
    isConfiguring = false
    try await configure(commands)
  }

  // MARK: Verbs

  /// What each command prints.
  private func show(_ commands: [String]) async throws -> [String] {
    var replies: [String] = []
    for command in commands {
      let text = try await run(command)
      if text.utf8.count < 400, let refusal = template.refusal(in: text) {
        throw ssh.access.failed(.refused, "\"\(command)\": \(refusal)")
      }
      replies.append(text)
    }
    return replies
  }
  func ports() async throws -> [String: SwitchPortState] {
    let ports = template.read(try await show(template.show)).filter { SwitchText.isPort($0.key) }
    guard !ports.isEmpty else {
      throw ssh.access.failed(
        .badReply,
        "no ports can be read from what \"\(template.show.joined(separator: "\", \""))\" prints; is it a "
          + "\(template.device)?")
    }
    return ports
  }

  func change(_ changes: [PortChange]) async throws {
    let networks = changes.vlans.flatMap { template.network($0, nil) }
    try await inOneChange(networks + changes.flatMap { template.port($0) })
  }
  func vnis() async throws -> [VNIState] {
    guard let vnis = template.vnis, let leaf else { return [] }
    return vnis.read(try await show(vnis.show), leaf)
  }
  func changeVNIs(removing: [VNIState], joining: (vni: Int, vlan: Int)?) async throws {
    guard let vnis = template.vnis, let leaf else { return }
    var commands = removing.flatMap { vnis.part($0) }
    if let (vni, vlan) = joining { commands += template.network(vlan, nil) + vnis.join(vni, vlan, leaf) }
    try await inOneChange(commands)
  }
  private func inOneChange(_ commands: [String]) async throws {
    do {
      try await enter()
      try await configure(commands + template.commit)
      try await leave(by: template.leaveConfiguration)
    } catch let error as DriverError where error.code == .refused {
      isConfiguring = false
      for command in template.commit.isEmpty ? template.leaveConfiguration : template.discard {
        _ = try? await run(command)
      }
      throw error
    }
  }
  func confirm() async throws { try await configure(template.confirm) }
  func takeBack() async throws -> Bool {
    guard !template.takeBack.isEmpty else { return false }
    try await configure(template.takeBack)
    return true
  }
  func ensureNetwork(vlan: Int, name: String?) async throws {
    try await enter()
    try await configure(template.network(vlan, name) + template.commit)
    try await leave(by: template.leaveConfiguration)
    if !template.commit.isEmpty { try await confirm() }
  }
  func neighbours() async throws -> [SwitchNeighbour] {
    guard let neighbours = template.neighbours else { return [] }
    return neighbours.read(try await run(neighbours.command))
  }
  func macTable() async throws -> [(port: String, vlan: Int, mac: MACAddress)] {
    guard let macTable = template.macTable else { return [] }
    return macTable.read(try await run(macTable.command))
  }
  func save() async throws { try await configure(template.save) }
  func close() async { await ssh.close() }
}
