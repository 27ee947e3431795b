import Domain
import Store
import Wire
import Workflows

extension Conductor {
  /// Goes on with servers whose owner wants them gone and whose machine was held by a workflow then: as soon as it is free, it is
  /// given back. The wish is a row, so a server that is killed goes on with it.
  public func deleteServers() async throws {
    try await deleteLeavingVolumes()
    try await deleteLeavingImages()
    try await takeBackStranded()
    let waiting = try await database.read { try ServerStore.deletionsAsked(in: $0) }
    for row in waiting where row.machine?.isReserved != true {
      let id = row.server.id
      do {
        try await database.write { session in
          guard let row = try ServerStore.get(id, in: session), row.server.deletedAt == nil,
            row.server.deletionAskedAt != nil
          else { return }
          guard let uuid = row.machine?.uuid, var node = try NodeStore.get(uuid, in: session) else {
            return try self.parts.concludeServer(row.server, at: self.clock(), in: session)
          }
          guard node.reservation == nil, !node.isProtected else { return }
          var requester = Requester.system
          requester.projectID = row.server.projectID
          try self.provision(.deleted, node: &node, parameters: [:], by: requester, in: session)
        }
      } catch let error as ConductorError {
        // The state does not allow it: the server shows its error, and can be deleted again.
        logger.error("server \(id) cannot be deleted: \(error.description)")
        try await database.write { try ServerStore.withdrawDeletion(id, in: $0) }
      }
    }
  }
}
