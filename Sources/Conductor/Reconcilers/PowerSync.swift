import Domain
import DriverInterfaces
import Store
import Wire

extension Conductor {
  /// Reads every machine's power and keeps what the API shows true; never changes the machine.
  func syncPower() async throws {
    let nodes = try await database.read { session in
      try NodeStore.list(in: session) { $0.append("WHERE provision_state <> 'enroll' AND reservation IS NULL") }
    }
    await forEachConcurrently(nodes, width: 16) { node in
      do {
        let power = try await self.driver(of: node).power.observePower()
        let now = self.clock()
        try await self.database.write { session in
          // A workflow that took the node meanwhile knows better.
          guard let current = try NodeStore.get(node.uuid, in: session), current.reservation == nil else { return }
          try NodeStore.setObservedPower(power, of: node.uuid, at: now, in: session)
          if current.fault == "power failure" {
            try change(node.uuid, session) { node in
              node.fault = nil
              node.maintenance = false
              node.maintenanceReason = nil
            }
          }
          if let old = current.powerState, old != power {
            try NodeStore.addEvent(
              "Power was \(old.rawValue) and is \(power.rawValue), without us.", type: "power", of: node.uuid, at: now,
              in: session)
          }
        }
      } catch {
        self.logger.info("power of node \(node.label): \(error)")
      }
    }
  }
}
