import APISupport
import Conductor
import Domain
import Store
import Wire

/// The actions `shelve`, `shelveOffload` and `unshelve`. Source: Nova API reference, "Servers - run an administrative action" and "Shelve
/// Server".
///
/// A server is shelved off its machine at once, as with `shelved_offload_time=0` upstream: the machine is its project's for another.
struct ServerShelving: Sendable {
  let nova: NovaAPI
  let row: ServerRow
  let requester: Requester

  func shelve(in session: any Session) throws {
    try ServerActionRoutes.require(row, [.active, .shutoff], "shelve")
    try conflicting { try nova.conductor.shelve(row.server, by: requester, in: session) }
  }

  /// Only of a server whose machine could not be given back.
  func offload(in session: any Session) throws {
    let condition = row.condition
    guard row.server.shelvedAt != nil, row.machine != nil, condition.taskState == nil else {
      throw APIError.conflict(
        "Cannot 'shelveOffload' instance \(row.server.id) while it is in vm_state \(condition.vmState)")
    }
    try conflicting { try nova.conductor.offload(row.server, by: requester, in: session) }
  }

  /// `{"unshelve": null}`; from 2.77 on `availability_zone`, from 2.91 on null for any zone, and `host`: for the administrator, a
  /// node by name or UUID.
  func unshelve(_ value: JSON, _ version: Microversion, _ actor: Actor, in session: any Session) throws {
    var server = row.server
    let node = try place(value, version, actor, &server, in: session)
    try ServerActionRoutes.require(row, [.shelvedOffloaded], "unshelve")
    var demands = server.demands
    demands.node = node
    if let group = try server.groupID.flatMap({ try ServerGroupStore.get($0, in: session) }) {
      demands.isSpreadStrict = group.policy == .antiAffinity
      demands.chassisInUse = try group.crowdedChassis(in: session)
    }
    let kept = Set(try ServerStore.keptPorts(ofServers: [server.id], in: session)[server.id, default: []].map(\.id))
    let ports = try ServerStore.ports(of: server.id, in: session).filter { kept.contains($0.portID) }
    let order = Conductor.ServerOrder(server, demands: demands, ports: ports, isSiteAdmins: actor.isSiteAdmin)
    try conflicting { try nova.conductor.unshelve(order, by: requester, in: session) }
  }

  /// - Returns: the node that the administrator named.
  private func place(
    _ value: JSON, _ version: Microversion, _ actor: Actor, _ server: inout Server, in session: any Session
  ) throws -> String? {
    // Before 2.77 there was nothing to say, and whatever was said did not matter.
    guard version.minor >= 77, !value.isNull else { return nil }
    guard let object = value.object, !object.isEmpty else {
      throw APIError.badRequest(
        "Invalid input for field/attribute unshelve. Value: \(value.description.prefix(120)). It is null, or an object with availability_zone\(version.minor >= 91 ? " or host" : "")."
      )
    }
    let input = ComputeInput(object)
    try input.allow(version.minor >= 91 ? ["availability_zone", "host"] : ["availability_zone"])
    if input.has("availability_zone") {
      let zone = try input.text("availability_zone", 1...255)
      guard zone != nil || version.minor >= 91 else {
        throw input.wrong("availability_zone", .null, "None is not of type 'string'")
      }
      guard zone == nil || zone == nova.conductor.zone else {
        throw APIError.badRequest(
          "The requested availability zone is not available: '\(nova.conductor.zone)' is.")
      }
      server.pinnedZone = zone
    }
    guard input.has("host") else { return nil }
    let host = try input.required("host")
    guard actor.isSiteAdmin else {
      throw APIError.forbidden("Policy doesn't allow os_compute_api:os-shelve:unshelve_to_host to be performed.")
    }
    guard try NodeStore.find(host, in: session) != nil else {
      throw APIError.badRequest("Compute host \(host) could not be found.")
    }
    return host
  }

  private func conflicting(_ body: () throws -> Void) throws {
    do { try body() } catch let error as ConductorError { throw APIError.conflict(error.description) }
  }
}
