import Domain
import Store
import TestSupport
import Testing
import Wire

extension LeaseSite {
  /// A machine that boots an agent, deployed, with "first" on its disk.
  /// - Parameter lessee: the project that has leased it; nobody when nil.
  func deployedMachine(lessee: String? = "alpha") async throws -> String {
    let uuid = Identifier.uuid(), now = clock.now
    try await database.write { [database] session in
      var node = Node(uuid: uuid, name: "n1", driver: "world", createdAt: now)
      node.driverInfo = ["address": "n1", "password": "secret"]
      node.owner = "owners"
      node.provisionState = .active
      node.powerState = .on
      node.instanceInfo = ["image_source": "new"]
      node.lessee = lessee
      node.leaseUUID = lessee.map { _ in Identifier.uuid() }
      try NodeStore.insert(node, secrets: ["password"], box: database.secrets, in: session)
      var port = Port(
        uuid: Identifier.uuid(), nodeUUID: uuid, address: try #require(LeaseSite.mac).description, createdAt: now)
      port.localLinkConnection = ["switch_info": "sw0", "port_id": "n1", "switch_id": "00:00:00:00:00:01"]
      try PortStore.insert(port, in: session)
    }
    try world.ensure([("power/n1", "power on"), ("disk/n1", "first")])
    return uuid
  }
  /// Has the machine's agent run beside `body`.
  func withAgent(_ body: () async throws -> Void) async throws {
    let agent = WorldAgent(
      world: world, conductor: conductor, machine: "n1", mac: try #require(LeaseSite.mac))
    let task = Task { await agent.run() }
    defer { task.cancel() }
    try await body()
  }
}
