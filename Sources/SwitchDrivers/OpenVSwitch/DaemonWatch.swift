extension ControlSocket {
  /// Returns when the daemon that answers now is gone and another one answers. Looks once a second.
  func waitForRestart(limit: Duration) async throws {
    var connection = try await open(limit: limit)
    while connection.isOpen { try await Task.sleep(for: .seconds(1)) }
    connection.close()
    while true {
      do throws(OVSDBError) {
        connection = try await open(limit: limit)
        return connection.close()
      } catch { try await Task.sleep(for: .milliseconds(200)) }
    }
  }
}

extension OpenVSwitch {
  /// Tells of every filtered port when ovs-vswitchd was started again: it has forgotten their rules, and the database does not
  /// show it.
  func followDaemon(_ report: (Set<String>) -> Void) async throws {
    while true {
      guard let control else { return try await Task.sleep(for: .seconds(Int32.max)) }
      do { try await control.waitForRestart(limit: limit) } catch is OVSDBError {
        // Nobody listens there: the administrator's configuration is wrong, or the daemon is being started.
        try await Task.sleep(for: .seconds(1))
        continue
      }
      let filtered = try await filteredPortNames()
      if !filtered.isEmpty { report(filtered) }
    }
  }
}
