import DriverInterfaces
import Glibc
import Processes

/// The life of tgtd itself.
extension TargetDaemon {
  private static var logLimit: Int { 4 << 20 }

  /// Starts it when it does not run, and sees to its portals.
  func start() async throws {
    try await turns.take("daemon") {
      for attempt in 0... {
        do {
          return try await ensurePortals()
        } catch ControlError.notRunning {
          break
        } catch ControlError.lost where attempt < 10 {
          // It is about to be gone: a moment later nobody listens.
          try await Task.sleep(for: .milliseconds(20))
        }
      }
      guard mkdir(settings.folder, 0o700) == 0 || errno == EEXIST else {
        throw FileFailure("make \(settings.folder)")
      }
      let log = "\(settings.folder)/tgtd.log"
      rotate(log)
      // In the foreground it writes to its output instead of to a system log that may not be there.
      let portals = settings.portals.map { "portal=\($0)" }.joined(separator: ",")
      try await runChecked(
        "sh", ["-c", "exec setsid --fork tgtd -f --iscsi \"$1\" </dev/null >>\"$0\" 2>&1", log, portals],
        environment: ["TGT_IPC_SOCKET": control.path], namespace: settings.namespace)
      for _ in 0..<500 {
        do {
          return try await ensurePortals()
        } catch ControlError.notRunning {}
        try await Task.sleep(for: .milliseconds(10))
      }
      throw DriverError(
        .misconfigured, device: Self.device,
        detail: "tgtd does not start; \(log) says why. Are \(settings.portals) addresses of this machine?")
    }
  }

  /// It listens where it shall and nowhere else; without a portal it would listen on every address.
  private func ensurePortals() async throws {
    let text = try await call(.init(mode: .portal, operation: .show))
    let found = Set(
      text.split(separator: "\n").compactMap { line -> String? in
        guard line.hasPrefix("Portal: "), let comma = line.lastIndex(of: ",") else { return nil }
        return String(line[..<comma].dropFirst(8))
      })
    // First, so that another daemon can have them: portals may have changed places in the configuration.
    for portal in found.subtracting(settings.portals) {
      try await call(.init(mode: .portal, operation: .delete, parameters: "portal=\(portal)"))
    }
    for portal in settings.portals where !found.contains(portal) {
      do {
        try await call(.init(mode: .portal, operation: .new, parameters: "portal=\(portal)"))
      } catch let error as ControlError {
        throw DriverError(
          .misconfigured, device: Self.device,
          detail: "tgtd cannot listen at \(portal): \(error). Is it an address of this machine?")
      }
    }
  }

  private func rotate(_ log: String) {
    var information = stat()
    if stat(log, &information) == 0, information.st_size > Self.logLimit { rename(log, "\(log).1") }
  }

  /// Removes a backend's targets, and ends the daemon when no other backend has one. For the end of the whole site, not of this
  /// server.
  func stop(where isOurs: (TargetTable.Unit) -> Bool = { _ in true }) async throws {
    try await turns.take("daemon") { try await reporting(Self.device, daemon: words) { try await end(isOurs) } }
  }
  private func end(_ isOurs: (TargetTable.Unit) -> Bool) async throws {
    for attachment in try await attachments(where: isOurs) { try await remove(attachment) }
    guard let left = try await tableIfRunning(), left.targets.isEmpty else { return }
    let control = control
    try await onThread("tgt") {
      let process = try ControlSocket(control.socketPath, limit: .seconds(5)).peer
      _ = try? control.call(.init(mode: .system, operation: .delete))
      // It looks up from its sockets only when somebody comes.
      for attempt in 0..<500 {
        do throws(ControlError) {
          _ = try ControlSocket(control.socketPath, limit: .seconds(1))
        } catch {
          if error == .notRunning { break }
        }
        if attempt == 300, process > 1 { kill(process, SIGKILL) }
        usleep(10_000)
      }
      unlink(control.socketPath)
      unlink("\(control.socketPath).lock")
    }
  }
}
