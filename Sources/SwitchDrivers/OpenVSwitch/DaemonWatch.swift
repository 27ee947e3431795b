extension OpenVSwitch {
  /// Tells of every filtered port when ovs-vswitchd was started again: it has forgotten their rules, and the database does not
  /// show it. Looks once a second.
  func followDaemon(_ report: (Set<String>) -> Void) async throws {
    guard let control else { return try await Task.sleep(for: .seconds(Int32.max)) }
    var wasGone = false
    while true {
      let connection: JSONRPCConnection
      do throws(OVSDBError) { connection = try await control.open(limit: limit) } catch {
        wasGone = true
        try await Task.sleep(for: .milliseconds(200))
        continue
      }
      defer { connection.close() }
      if wasGone {
        let filtered = try await filteredPortNames()
        if !filtered.isEmpty { report(filtered) }
      }
      while connection.isOpen { try await Task.sleep(for: .seconds(1)) }
      wasGone = true
    }
  }
}
