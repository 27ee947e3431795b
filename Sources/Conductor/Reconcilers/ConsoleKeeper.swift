import Domain
import Store

extension Conductor {
  static let consolesName = "consoles"

  /// Has the consoles read by what the controllers are after this transaction.
  public func controllersChanged(in session: any Session) {
    session.afterCommit { [wakeups] in wakeups.signal(Self.consolesName) }
  }

  /// Every enrolled machine that has a console has it read and logged, from enrolment to deletion; one that need not be is
  /// read while it is enabled.
  func keepConsoles() async throws {
    guard let consoles else { return }
    let nodes = try await database.read { session in
      try NodeStore.list(in: session) { $0.append("WHERE provision_state <> 'enroll'") }
    }
    for node in nodes {
      guard let driver = try? await driver(of: node), let console = driver.console,
        console.isAlwaysRead || node.consoleEnabled
      else { continue }
      await consoles.start(node: node.uuid, driver: driver)
      if node.consoleEnabled, await consoles.url(node: node.uuid) == nil {
        _ = try? await consoles.openPort(node: node.uuid)
      }
    }
  }
}
