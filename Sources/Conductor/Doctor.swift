import Domain
import DriverInterfaces
import Store
import Synchronization
import Wire
import Workflows

extension Conductor {
  /// Compares what the database says with what is outside, and changes nothing.
  /// - Returns: sentences, each naming a thing that is not as it should be and what to do; empty when all is well.
  public func examine() async throws -> [String] {
    var findings = try await examineDatabase()
    findings += try await leftovers().map { "\($0.description): the server removes it within five minutes" }
    findings += try await examineSwitches()
    findings += try await examineControllers()
    findings += try await examineRouting()
    findings += try await examineVolumes()
    return findings
  }

  /// What an administrator should know although nothing is wrong: drivers that never met what they drive.
  public var cautions: [String] {
    parts.switches.all.compactMap { device in device.caution.map { "switch \(device.name): \($0)" } }
  }

  private func examineDatabase() async throws -> [String] {
    try await database.read { session in
      var findings: [String] = []
      let open = try WorkflowStore.open(in: session)
      let running = Set(open.map(\.id))
      for workflow in open where workflow.state == .stuck {
        findings.append(
          "workflow \(workflow.id) (\(workflow.kind) of \(workflow.subject)) is stuck: \(workflow.reason?.whole ?? ""); `steelyard workflow retry \(workflow.id)`"
        )
      }
      for node in try NodeStore.list(in: session) {
        if let holder = node.reservation, !running.contains(holder) {
          findings.append("node \(node.label) is reserved by workflow \(holder), which has ended")
        }
        if node.provisionState.isTransient, node.reservation == nil {
          findings.append("node \(node.label) is \(node.provisionState.rawValue) and no workflow works on it")
        }
        if let lease = node.leaseUUID, try LeaseStore.get(lease, in: session)?.status != .active {
          findings.append("node \(node.label) is held by lease \(lease), which is not active")
        }
        for port in try PortStore.list(node: node.uuid, in: session) {
          if let problem = port.wiringProblem {
            findings.append("node \(node.label): wrong cabling: \(problem). \(Parts.wiringAdvice)")
          }
          guard let vif = port.carriedVIF, try NetworkPortStore.get(vif, in: session) == nil else { continue }
          findings.append("port \(port.address) of node \(node.label) holds network port \(vif), which does not exist")
        }
      }
      return findings
    }
  }

  private func examineControllers() async throws -> [String] {
    let nodes = try await database.read { session in
      try NodeStore.list(in: session) { $0.append("WHERE provision_state <> 'enroll' ORDER BY name") }
    }
    let found = Findings()
    await forEachConcurrently(nodes, width: 16) { node in
      do {
        let power = try await self.driver(of: node).power.observePower()
        if let shown = node.powerState, shown != power, node.reservation == nil {
          found.append("node \(node.label) is \(power.rawValue) and the database says \(shown.rawValue)")
        }
      } catch {
        found.append("controller of node \(node.label): \(error)")
      }
    }
    return found.sorted
  }
}

/// Sentences that several tasks add to.
private final class Findings: Sendable {
  private let all = Mutex<[String]>([])
  func append(_ sentence: String) { all.withLock { $0.append(sentence) } }
  var sorted: [String] { all.withLock { $0.sorted() } }
}
