import Logging
import ServiceLifecycle
import Wire

/// A loop with no beginning and no end: woken by a timer and by a signal, it does a bounded round of work.
///
/// After a round it rests four times as long as that took, at most ``longestRest``: signals that come one after the other, of
/// many requests, share rounds, which take a fifth of a processor at most.
struct Reconciler: Service {
  let name: String
  /// Between two rounds when nothing signals.
  let period: Duration
  let signals: Signals
  let logger: Logger
  let round: @Sendable () async throws -> Void
  static let longestRest: Duration = .seconds(1)

  func run() async throws {
    await cancelWhenGracefulShutdown {
      while !Task.isCancelled {
        // A signal that comes while a round is under way has the next one follow after the rest.
        let seen = signals.count(of: name)
        let start = ContinuousClock.now
        do { try await round() } catch is CancellationError { return } catch {
          logger.error("\(name): \(error)")
        }
        try? await Task.sleep(for: min((ContinuousClock.now - start) * 4, Self.longestRest))
        await signals.wait(for: name, limit: period, since: seen)
      }
    }
  }
}

/// Runs `body` for each item, at most `width` at a time; a failure of one does not stop the others.
func forEachConcurrently<Item: Sendable>(
  _ items: [Item], width: Int, _ body: @escaping @Sendable (Item) async -> Void
) async {
  await withTaskGroup(of: Void.self) { group in
    var rest = items[...]
    for item in rest.prefix(width) { group.addTask { await body(item) } }
    rest = rest.dropFirst(width)
    while await group.next() != nil {
      if let item = rest.popFirst() { group.addTask { await body(item) } }
    }
  }
}

extension Conductor {
  /// Every long-running part, for the program's service group: the workflow runner and the reconcilers.
  public func services() -> [any Service] {
    [
      RunnerService(conductor: self),
      LeaseTimer(conductor: self),
      reconciler("power-sync", settings.powerSyncPeriod) { try await self.syncPower(.answering) },
      reconciler("power-sync-silent", settings.powerSyncPeriod) { try await self.syncPower(.silent) },
      SwitchAudit(conductor: self),
      Rewiring(conductor: self),
      reconciler(Self.overlaysName, settings.switchAuditPeriod) { try await self.joinSites() },
      reconciler(Self.routingName, settings.routingAuditPeriod) { try await self.routingRound() },
      reconciler(Self.serversName, .seconds(5)) { try await self.deleteServers() },
      reconciler(Self.fastTrackName, .seconds(15)) { try await self.endFastTracks() },
      reconciler("sweeper", .seconds(300)) { try await self.sweep() },
      reconciler(Self.exportsName, .seconds(60)) { try await self.keepExports() },
      reconciler(Self.diskBackupsName, .seconds(30)) { try await self.keepDiskBackups() },
      reconciler(Self.consolesName, .seconds(60)) { try await self.keepConsoles() },
    ]
  }
  private func reconciler(_ name: String, _ period: Duration, _ round: @escaping @Sendable () async throws -> Void)
    -> Reconciler
  {
    Reconciler(name: name, period: period, signals: wakeups, logger: logger, round: round)
  }

  struct RunnerService: Service {
    let conductor: Conductor
    func run() async throws {
      try await cancelWhenGracefulShutdown { try await conductor.runner.run() }
    }
  }
}
