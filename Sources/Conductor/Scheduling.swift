import Domain
import Wire

/// A machine that a server might get, with what the choice needs to know of it.
struct MachineCandidate: Sendable {
  var node: Node
  /// NICs and bonds that have no network port.
  var freePorts: Int
  /// When the project has it no more, as far as it is asked for that long: its lease ends, or somebody else's begins.
  var endsBefore: Timestamp?
  /// Its agent is up and waits (decision 0027): a deployment of it begins without a boot.
  var standsBy = false
}

/// Which machine a server gets. No I/O: the same for the same machines.
enum Scheduling {
  /// A machine that was looked at, and why it was not taken: a sentence without a subject ("is in maintenance").
  typealias Rejection = (machine: String, reason: String)

  /// The machines that fit, best first, and the others with the reason.
  static func sort(
    _ candidates: [MachineCandidate], for demands: MachineDemands
  ) -> (fitting: [Node], rejected: [Rejection]) {
    var fitting: [MachineCandidate] = []
    var rejected: [Rejection] = []
    for candidate in candidates {
      if let reason = reason(against: candidate, demands) {
        rejected.append((candidate.node.label, reason))
      } else {
        fitting.append(candidate)
      }
    }
    // The least machine that does: larger ones are for those who need them. Of equals those that are up, then in the order they were made.
    func rank(_ candidate: MachineCandidate) -> [Int] {
      let node = candidate.node
      let isBeside = node.chassisUUID.map { demands.chassisInUse.contains($0) } ?? false
      return [
        isBeside ? 1 : 0, amount(node, "memory_mb") ?? 0, amount(node, "cpus") ?? 0, amount(node, "local_gb") ?? 0,
        candidate.standsBy ? 0 : 1,
      ]
    }
    let ranked = fitting.enumerated().map { (rank($1) + [$0], $1.node) }.sorted { $0.0.lexicographicallyPrecedes($1.0) }
    return (ranked.map(\.1), rejected)
  }

  /// Why a machine is not for this server; nil when it is.
  static func reason(against candidate: MachineCandidate, _ demands: MachineDemands) -> String? {
    let node = candidate.node
    if let wanted = demands.node, wanted != node.uuid && wanted != node.name {
      return "is not the machine that was named (\(wanted))"
    }
    return stateReason(node) ?? kindReason(node, demands) ?? sizeReason(node, demands)
      ?? usageReason(candidate, demands)
  }

  private static func stateReason(_ node: Node) -> String? {
    if node.instanceUUID != nil || node.allocationUUID != nil {
      return "is in use (\(node.provisionState.rawValue))"
    }
    if node.provisionState != .available { return "is not available but \(node.provisionState.rawValue)" }
    if node.maintenance {
      return "is in maintenance" + (node.maintenanceReason.map { " (\($0.sentence))" } ?? "")
    }
    if node.isRetired { return "is retired" }
    if node.reservation != nil { return "is being worked on" }
    return nil
  }
  private static func kindReason(_ node: Node, _ demands: MachineDemands) -> String? {
    let own = node.resourceClass.map { MachineDemands.placementName($0) }
    if let wanted = demands.resourceClasses.first(where: { $0 != own }) {
      return "is of resource class \(node.resourceClass ?? "none"), not \(wanted)"
    }
    if let missing = demands.required.first(where: { !node.traits.contains($0) }) { return "lacks trait \(missing)" }
    if let found = demands.forbidden.first(where: { node.traits.contains($0) }) { return "has trait \(found)" }
    return nil
  }
  /// What a machine's properties do not say is not held against it.
  private static func sizeReason(_ node: Node, _ demands: MachineDemands) -> String? {
    if let has = amount(node, "memory_mb"), has < demands.memory {
      return "has \(has) MiB of memory, not \(demands.memory)"
    }
    if let has = amount(node, "cpus"), has < demands.vcpus { return "has \(has) CPUs, not \(demands.vcpus)" }
    if let has = amount(node, "local_gb"), has < demands.disk { return "has a disk of \(has) GiB, not \(demands.disk)" }
    return nil
  }
  private static func usageReason(_ candidate: MachineCandidate, _ demands: MachineDemands) -> String? {
    if candidate.freePorts < demands.ports {
      return "has \(candidate.freePorts) free NICs, not \(demands.ports)"
    }
    if let end = candidate.endsBefore {
      return "is the project's until \(end.iso8601Zulu) only"
    }
    if demands.isSpreadStrict, let chassis = candidate.node.chassisUUID, demands.chassisInUse.contains(chassis) {
      return "stands on a chassis that has enough servers of the group"
    }
    return nil
  }
  private static func amount(_ node: Node, _ property: String) -> Int? { node.properties[property]?.lenientInt }

  /// What a server is told that got no machine.
  /// - Parameter foreign: machines that the project neither owns nor leases.
  static func explanation(_ rejected: [Rejection], foreign: Int) -> String {
    let others =
      foreign == 0
      ? ""
      : " \(foreign) machine\(foreign == 1 ? "" : "s") of others \(foreign == 1 ? "was" : "were") not considered: the project neither owns nor leases \(foreign == 1 ? "it" : "them")."
    guard !rejected.isEmpty else {
      return "The project has no machine: lease one, then create the server again." + others
    }
    let most = 20
    var list = rejected.prefix(most).map { "\($0.machine) \($0.reason)" }.joined(separator: "; ")
    if rejected.count > most { list += "; and \(rejected.count - most) more" }
    return "None of the project's \(rejected.count) machine\(rejected.count == 1 ? "" : "s") can be used: \(list)."
      + others
  }
}
