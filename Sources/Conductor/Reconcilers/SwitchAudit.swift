import DriverInterfaces
import ServiceLifecycle

/// Audits each switch on a period of its own, and at once when the switch tells that something changed: one that does not answer holds up
/// nobody else.
struct SwitchAudit: Service {
  let conductor: Conductor
  /// Between two audits of one switch that keeps being changed: whoever changes it must not keep the server busy.
  private static let shortest: Duration = .seconds(1)

  func run() async throws {
    await cancelWhenGracefulShutdown {
      await withTaskGroup(of: Void.self) { group in
        for device in conductor.parts.switches.all {
          group.addTask { await repeatAudit(of: device) }
          if device.capabilities.contains(.watch) { group.addTask { await watch(device) } }
        }
        await group.waitForAll()
      }
      // A site without switches has nothing to audit, and a service that ends would end the server.
      while !Task.isCancelled { try? await Task.sleep(for: .seconds(86_400)) }
    }
  }

  private func repeatAudit(of device: any SwitchInterface) async {
    let name = Conductor.auditName(device.name)
    while !Task.isCancelled {
      // What is signalled during an audit may be news to it.
      let seen = conductor.wakeups.count(of: name)
      let begin = ContinuousClock.now
      await conductor.audit(device)
      await conductor.wakeups.wait(for: name, limit: conductor.settings.switchAuditPeriod, since: seen)
      let left = Self.shortest - (ContinuousClock.now - begin)
      if left > .zero { try? await Task.sleep(for: left) }
    }
  }

  private func watch(_ device: any SwitchInterface) async {
    var isNew = true
    while !Task.isCancelled {
      do {
        let changes = device.watch()
        // What changed while nobody watched.
        if !isNew { conductor.wakeups.signal(Conductor.auditName(device.name)) }
        isNew = false
        for try await _ in changes { conductor.wakeups.signal(Conductor.auditName(device.name)) }
      } catch {
        conductor.logger.info("switch \(device.name): \(error)")
      }
      try? await Task.sleep(for: .seconds(2))
    }
  }
}

extension Conductor {
  /// What wakes the audit of a switch.
  static func auditName(_ switchName: String) -> String { "switch-audit/\(switchName)" }
}
