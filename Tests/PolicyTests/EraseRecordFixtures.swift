import Domain
import Store
import Wire

/// What was erased of the machines: of the story's one after the former lessee's lease.
extension Fixtures {
  static func eraseRecords(_ now: Timestamp, in session: any Session) throws {
    for (side, owner) in [("tenant", MatrixSite.owner), ("elsewhere", MatrixSite.elsewhere)] {
      let isStory = side == "tenant"
      try EraseRecordStore.insert(
        EraseRecord(
          uuid: MatrixSite.uuid("erase_record-\(side)"), nodeUUID: MatrixSite.uuid("node-\(side)"),
          leaseUUID: isStory ? MatrixSite.uuid("lease-former") : nil,
          projectID: isStory ? MatrixSite.id("project-former") : owner, ownerID: owner,
          time: TimeRange(now - .seconds(3_600), now - .seconds(3_000)), document: "{}", signature: "", keyID: "k"),
        in: session)
    }
  }
}
