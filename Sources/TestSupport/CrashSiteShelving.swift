import Conductor
import Domain
import Store
import Wire

extension CrashSite {
  /// A server with a network port is shelved, or was and comes back.
  func beginShelving(_ scenario: Scenario, _ node: inout Node, at now: Timestamp, in session: any Session)
    throws
  {
    var server = Server(
      id: Self.server, projectID: "p", userID: "u", name: "s1", flavor: ["id": "f", "ram": 0, "vcpus": 0, "disk": 0],
      createdAt: now)
    server.imageID = "new"
    server.launchedAt = now
    if scenario == .shelveServer {
      server.nodeUUID = node.uuid
      node.instanceUUID = server.id
    } else {
      var image = Image(id: "kept", name: "s1-shelved", owner: "p", createdAt: now)
      image.status = .active
      try ImageStore.insert(image, in: session)
      server.shelvedAt = now
      server.shelvedImageID = image.id
      node.instanceInfo = [:]
    }
    try NodeStore.update(node, in: session)
    try ServerStore.insert(server, in: session)
    let port = ServerPort(Self.vif, isMade: true)
    try ServerStore.addPort(port, to: server.id, in: session)
    try NetworkPortStore.setDevice(server.id, owner: "compute:nova", of: port.portID, at: now, in: session)
    if scenario == .shelveServer { return try conductor.shelve(server, by: .system, in: session) }
    try conductor.unshelve(
      Conductor.ServerOrder(server, demands: MachineDemands(), ports: [port], isSiteAdmins: false), by: .system,
      in: session)
  }
}
