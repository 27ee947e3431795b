import DriverInterfaces
import Domain
import Store
import Wire
import Workflows

/// What agents in the ramdisk ask of the server (docs/agent-protocol.md).
extension Conductor {
  /// The boot script's content for a NIC: the agent with its one-time token, or nil for the local disk.
  public func bootRequest(mac: MACAddress) async throws -> (node: String, token: String)? {
    try await database.read { try AgentStore.boot(mac: mac.description, in: $0) }
  }

  /// An agent's first call: the boot token is used up.
  /// - Parameter secret: at least 32 characters that the agent made up; it becomes the session token, and lets the agent
  ///   repeat a claim whose answer was lost.
  /// - Returns: nil when no node waits for this token from this NIC.
  public func agentClaim(token: String, mac: MACAddress, secret: String, inventory: JSON) async throws -> (
    node: String, session: String
  )? {
    let now = clock(), runner = runner
    return try await database.write { session in
      guard let claimed = try AgentStore.claim(token: token, mac: mac.description, secret: secret, at: now, in: session)
      else { return nil }
      try NodeStore.setInventory(inventory, of: claimed.node, at: now, in: session)
      session.afterCommit { runner.signal(agentEvent(claimed.node)) }
      return (claimed.node, secret)
    }
  }

  /// What is wrong with an agent of a version; nil when it is this server's own. The workflow that waits for it fails at once.
  ///
  /// It may be believed: only who has the token of the machine's boot stops its workflow.
  public func agentComplaint(version: Int, token: String, mac: MACAddress) async throws -> String? {
    if version == AgentProtocol.version { return nil }
    let complaint =
      "The ramdisk's agent speaks version \(version) of the protocol, and this server version \(AgentProtocol.version): the administrator must build the ramdisk of this program (ramdisk/build), and name it in ramdisk.kernel and ramdisk.initrd."
    try await database.write { session in
      guard let workflow = try AgentStore.waiting(token: token, mac: mac.description, in: session) else { return }
      try self.cancel(workflow, reason: complaint, in: session)
    }
    return complaint
  }

  /// The node and workflow of an agent's session; nil when it is over.
  public func agentHolder(session token: String) async throws -> (node: String, workflow: String)? {
    try await database.read { try AgentStore.holder(ofSession: token, in: $0) }
  }

  /// The next command, waiting for one up to `limit`.
  /// - Returns: nil when there is none yet.
  /// - Throws: ``ConductorError`` `.notFound` when the session ended meanwhile.
  public func agentCommand(node: String, workflow: String, limit: Duration) async throws -> AgentStore.Command? {
    let deadline = ContinuousClock.now + limit
    while true {
      let now = clock()
      let (holder, command) = try await database.write { session -> (String?, AgentStore.Command?) in
        if try StandByStore.called(node: node, workflow: workflow, at: now, in: session) {
          session.afterCommit { self.runner.signal(agentEvent(node)) }
        }
        guard let seen = try AgentStore.seen(node: node, workflow: workflow, in: session) else {
          // Handed over since it asked: nothing for it yet.
          return (try StandByStore.get(node: node, in: session)?.isTrusted == true ? node : nil, nil)
        }
        if now - seen.last > .seconds(5) { try AgentStore.touch(node: node, at: now, in: session) }
        return (node, try AgentStore.pending(node: node, workflow: workflow, in: session))
      }
      guard holder != nil else { throw ConductorError(.notFound, "The session is over.") }
      if let command { return command }
      let left = deadline - ContinuousClock.now
      if left <= .zero || Task.isCancelled { return nil }
      await agentCalls.wait(for: node, limit: min(left, .seconds(5)))
    }
  }

  /// Progress of a running command; shown in the node's `deploy_step` or `clean_step`.
  /// - Parameter erased: how far an erasure is on one disk, for good.
  public func agentProgress(
    id: String, node uuid: String, percent: Int, message: String?, remaining: Int?,
    erased: EraseProgressStore.Place? = nil
  ) async throws -> Bool {
    let now = clock()
    return try await database.write { session in
      try AgentStore.touch(node: uuid, at: now, in: session)
      guard
        try AgentStore.progress(
          id, node: uuid, percent: min(max(percent, 0), 100), message: message, remaining: remaining, at: now,
          in: session),
        var node = try NodeStore.get(uuid, in: session)
      else { return false }
      if let erased { try EraseProgressStore.note(erased, node: uuid, in: session) }
      var step: JSONObject = node.deployStep.isEmpty ? node.cleanStep : node.deployStep
      step["percent"] = .int(min(max(percent, 0), 100))
      step["message"] = JSON(message)
      step["remaining_seconds"] = JSON(remaining)
      if node.deployStep.isEmpty { node.cleanStep = step } else { node.deployStep = step }
      try NodeStore.update(node, in: session)
      return true
    }
  }

  /// The result of a command; only the first one counts.
  /// - Returns: false when the command is not one of this node's.
  public func agentResult(id: String, node uuid: String, error: String?, output: JSONObject) async throws -> Bool {
    let now = clock(), runner = runner
    return try await database.write { [parts] session in
      try AgentStore.touch(node: uuid, at: now, in: session)
      session.afterCommit { runner.signal(agentEvent(uuid)) }
      guard try AgentStore.result(id, node: uuid, error: error, output: output, at: now, in: session) else {
        return false
      }
      try parts.compareWiring(output["neighbors"]?.array ?? [], of: uuid, at: now, in: session)
      return true
    }
  }

  /// The path of the file with an image's map, its blocks or a config drive, that this node's running workflow wants
  /// written, or with the rescue system that it wants run; nil when it wants another, or none.
  public func agentFile(_ name: AgentFile, node uuid: String, workflow: String) async throws -> String? {
    guard let record = try await database.read({ try WorkflowStore.get(workflow, in: $0) }), record.subject == uuid,
      record.state.isOpen
    else { return nil }
    let outputs = try await database.read { try WorkflowStore.events(of: workflow, in: $0) }
    let names = ["prepare-image", "prepare-rescue"]
    guard let prepared = outputs.last(where: { names.contains($0.step) && $0.kind == .succeeded })?.data,
      let json = try? JSON(parsing: prepared)
    else { return nil }
    switch name {
    case .map(let id): return json["image_id"]?.string == id ? json["image"]?["map"]?.string : nil
    case .blocks(let id): return json["image_id"]?.string == id ? json["image"]?["blocks"]?.string : nil
    case .configDrive(let id): return id == workflow ? json["config_drive"]?["path"]?.string : nil
    case .rescueSystem(let id): return id == workflow ? json["system"]?["path"]?.string : nil
    }
  }
}

public enum AgentFile: Sendable {
  /// Of an image.
  case map(id: String)
  case blocks(id: String)
  case configDrive(workflow: String)
  case rescueSystem(workflow: String)
}

/// The event that a workflow waits for when it waits for a node's agent.
func agentEvent(_ node: String) -> String { "agent/\(node)" }
