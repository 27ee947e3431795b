import Domain
import DriverInterfaces
import Store
import Synchronization
import Wire

/// Whose controller, or which switch, did not answer, and how often in a row; forgotten with the process.
final class ControllerSilence: Sendable {
  private let failures = Mutex<[String: Int]>([:])

  func isSilent(_ node: String) -> Bool { failures.withLock { $0[node] != nil } }
  func count(_ node: String) -> Int { failures.withLock { $0[node] ?? 0 } }
  /// Those that are no more, or that a workflow holds, begin anew.
  func forget(allBut nodes: Set<String>) { failures.withLock { $0 = $0.filter { nodes.contains($0.key) } } }
  func answered(_ node: String) { failures.withLock { _ = $0.removeValue(forKey: node) } }
  /// - Returns: how often it has failed now.
  func failed(_ node: String) -> Int {
    failures.withLock { failures in
      failures[node, default: 0] += 1
      return failures[node, default: 0]
    }
  }
}

/// Of which machines a round reads the power: those that do not answer have rounds of their own, in which nobody else waits for them.
enum PowerLane: String { case answering, silent }

extension Conductor {
  /// So many looks in a row that fail make a node faulty. Source: Ironic, `[conductor] power_state_sync_max_retries`.
  static let powerFailureLimit = 3
  /// As upstream calls it; the API's `fault` filter knows the word.
  static let powerFailure = "power failure"
  private static let silentWords = "The machine's power could not be read \(powerFailureLimit) times in a row: "

  /// Reads every machine's power and keeps what the API shows true; never changes the machine.
  ///
  /// Nothing is written for a machine that is as it was. One that does not answer three times goes into maintenance with the fault
  /// "power failure", and comes out of it by itself.
  func syncPower(_ lane: PowerLane) async throws {
    let secrets = database.secrets
    var last = ""
    var seen: Set<String> = []
    while true {
      let after = last
      let page = try await database.read { try NodePowerStore.watched(after: after, limit: 500, box: secrets, in: $0) }
      guard let end = page.last else { break }
      last = end.uuid
      if lane == .silent { seen.formUnion(page.map(\.uuid)) }
      let round = page.filter { silence.isSilent($0.uuid) == (lane == .silent) }
      // Drivers have so many places for all controllers: the silent ones, who keep a place until they are given up, get few.
      await forEachConcurrently(round, width: lane == .silent ? 4 : 16) { await self.syncPower(of: $0) }
      try Task.checkCancellation()
    }
    if lane == .silent { silence.forget(allBut: seen) }
  }

  private func syncPower(of node: NodePowerStore.Watched) async {
    do {
      let power = try await parts.driver(node.driver, node: node.uuid, info: node.driverInfo).power.observePower()
      silence.answered(node.uuid)
      guard power != node.power || node.fault == Self.powerFailure else { return }
      try await record(power, of: node.uuid)
    } catch is CancellationError {
    } catch let error as DriverError {
      logger.info("power of node \(node.label): \(error)")
      // What the site itself lacks is no silence: nobody was asked.
      guard error.code != .misconfigured else { return }
      guard silence.failed(node.uuid) >= Self.powerFailureLimit, node.fault == nil, !node.isInMaintenance else {
        return
      }
      do { try await recordSilence(of: node.uuid, error.reason) } catch {
        logger.error("power of node \(node.label): \(error)")
      }
    } catch {
      logger.error("power of node \(node.label): \(error)")
    }
  }

  private func record(_ power: Power, of uuid: String) async throws {
    let now = clock()
    try await database.write { session in
      // A workflow that took the node meanwhile knows better.
      guard let current = try NodeStore.get(uuid, in: session), current.reservation == nil else { return }
      try NodeStore.setObservedPower(power, of: uuid, at: now, in: session)
      if power == .off { try StandByStore.forget(node: uuid, in: session) }
      if current.fault == Self.powerFailure {
        try change(uuid, session) { node in
          node.fault = nil
          node.updatedAt = now
          // One that an administrator has given a reason of his own since then is his.
          guard node.maintenanceReason?.sentence.hasPrefix(Self.silentWords) == true else { return }
          node.maintenance = false
          node.maintenanceReason = nil
        }
        try NodeStore.addEvent("The controller answers again.", type: "power", of: uuid, at: now, in: session)
      }
      if let old = current.powerState, old != power {
        try NodeStore.addEvent(
          "Power was \(old.rawValue) and is \(power.rawValue), without us.", type: "power", of: uuid, at: now,
          in: session)
      }
    }
  }

  private func recordSilence(of uuid: String, _ reason: Reason) async throws {
    let now = clock()
    try await database.write { session in
      guard let current = try NodeStore.get(uuid, in: session), current.reservation == nil, current.fault == nil,
        !current.maintenance
      else { return }
      let why = reason.following(Self.silentWords)
      try change(uuid, session) { node in
        node.fault = Self.powerFailure
        node.maintenance = true
        node.maintenanceReason = why
        node.powerState = nil
        node.powerObservedAt = now
        node.updatedAt = now
      }
      try NodeStore.addEvent(
        why.whole, type: "power", severity: "ERROR", of: uuid, at: now, in: session)
    }
  }
}
