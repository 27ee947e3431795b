import Domain
import Store

extension Conductor {
  /// Opens or closes the TCP port that carries a node's console, read-only.
  /// - Throws: ``ConductorError`` `.badRequest` when the hardware has no console.
  public func setConsole(enabled: Bool, node: Node) async throws {
    guard let consoles, try await driver(of: node).console != nil else {
      throw ConductorError(
        .badRequest, "Node \(node.uuid) has no serial console: its driver '\(node.driver)' does not offer one.")
    }
    if enabled { _ = try await consoles.openPort(node: node.uuid) } else { await consoles.closePort(node: node.uuid) }
    let uuid = node.uuid, now = clock()
    try await database.write { session in
      try change(uuid, session) { node in
        node.consoleEnabled = enabled
        node.updatedAt = now
      }
    }
  }
  /// "tcp://host:port" while the console is enabled.
  public func consoleURL(_ node: Node) async -> String? {
    node.consoleEnabled ? await consoles?.url(node: node.uuid) : nil
  }
  /// Ends every reader of a node's console when the transaction has committed.
  func closeConsole(_ uuid: String, in session: any Session) {
    session.afterCommit { [consoles] in
      // The commit must not wait for sockets; the readers are cut within milliseconds.
      if let consoles { Task { await consoles.closePort(node: uuid) } }
    }
  }
}
