import Domain
import Store

extension Conductor {
  /// Opens or closes the TCP port that carries a node's console, read-only.
  /// - Throws: ``ConductorError`` `.badRequest` when the hardware has no console.
  public func setConsole(enabled: Bool, node: Node) async throws {
    let consoles = try await consoles(of: node)
    let driver = try await driver(of: node)
    if enabled {
      await consoles.start(node: node.uuid, driver: driver)
      _ = try await consoles.openPort(node: node.uuid)
    } else if driver.console?.isAlwaysRead ?? true {
      await consoles.closePort(node: node.uuid)
    } else {
      await consoles.stop(node: node.uuid)
    }
    let uuid = node.uuid, now = clock()
    try await database.write { session in
      try change(uuid, session) { node in
        node.consoleEnabled = enabled
        node.updatedAt = now
      }
    }
  }
  /// Where a node's console is kept.
  /// - Throws: ``ConductorError`` `.badRequest` when the hardware has no console.
  public func consoles(of node: Node) async throws -> any NodeConsoles {
    guard has(.console, node), try await driver(of: node).console != nil else {
      throw ConductorError(.badRequest, "\(Self.lacksConsole(node)) There is nothing to read from node \(node.uuid).")
    }
    guard let consoles else { throw ConductorError(.notFound, "This server keeps no consoles.") }
    return consoles
  }
  static func lacksConsole(_ node: Node) -> String { unsupported("console", by: node).description }
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
