import Domain
import DriverInterfaces
import Wire

/// The rules of a switch's filter bridge, kept as its database says.
struct PortFilters: Sendable {
  let control: ControlSocket
  let flows: FlowTable
  let limit: Duration

  /// - Parameter control: ovs-vswitchd's control socket, or its run folder.
  init(control: String, bridge: String, limit: Duration) {
    self.control = ControlSocket(path: control)
    flows = FlowTable(
      path: DoubleTagGuard.managementSocket(control: control, bridge: FilterBridge.name(of: bridge)), limit: limit)
    self.limit = limit
  }

  /// The ports, each with whether its rules are those that it should have.
  /// - Throws: ``FlowTable/Failure``, or what keeps `ovs-ofctl` from running.
  func observe(_ ports: [FilteredPort]) async throws -> [FilteredPort] {
    if ports.isEmpty { return [] }
    let wrong = try await flows.differences(from: AccessListFlows.all(ports))
    // A rule that is nobody's may let through what another port's must not.
    let areAll = !wrong.isSubset(of: ports.map(\.cookie))
    return ports.map { port in
      var port = port
      port.hasOtherRules = areAll || wrong.contains(port.cookie)
      return port
    }
  }

  /// Writes the rules of all filtered ports and reads them back; what is under way and may not pass any more is cut off.
  func ensure(_ ports: [FilteredPort], before: [FilteredPort]) async throws {
    let wanted = AccessListFlows.all(ports)
    if try await !flows.differences(from: wanted).isEmpty {
      try await flows.replace(with: wanted)
      // What the old rules let pass may go on for a moment in the datapath: let it be gone.
      _ = try? await control.call("revalidator/wait", [], limit: limit)
      guard try await flows.differences(from: wanted).isEmpty else {
        throw FlowTable.Failure(description: "the rules of filtered ports are not in force after they were set")
      }
    }
    let old = Dictionary(before.map { ($0.name, $0) }) { $1 }
    for port in ports {
      for (vlan, list) in port.accessLists {
        guard let zone = port.zones[vlan] else { continue }
        if let earlier = old[port.name], earlier.zones[vlan] == zone, let had = earlier.accessLists[vlan],
          list.includes(had)
        {
          continue
        }
        try await forget(zone)
      }
    }
  }

  /// Connections are looked at anew from here on.
  private func forget(_ zone: Int) async throws {
    do throws(OVSDBError) {
      _ = try await control.call("dpctl/flush-conntrack", ["zone=\(zone)"], limit: limit)
    } catch { throw FlowTable.Failure(description: "connections of zone \(zone) cannot be cut off: \(error)") }
  }
}

extension BridgeReplica {
  /// Why this switch cannot filter the port, as a sentence; nil when it can.
  func problemOfFiltering(_ name: String) -> String? {
    let row = ports.values.first { $0.name == name }
    guard let row, row.interfaces.count != 1 else { return nil }
    return "it is a bond of \(row.interfaces.count) interfaces, and access lists work on single ports only"
  }
}
