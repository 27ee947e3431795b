import Cryptography
import Domain
import Store
import Wire
import Workflows

/// The record of an erasure: written and signed in the transaction that ends it.
enum EraseProof {
  /// The name of the document's form; another form gets another number.
  static let format = "steelyard-erase-record-1"

  /// - Parameters:
  ///   - output: what erased the disks said of them.
  ///   - mode: "full" or "metadata".
  static func add(
    _ context: StepContext, _ output: JSON?, mode: String, _ box: SecretBox, in session: any Session
  ) throws -> EraseRecord? {
    guard let node = try NodeStore.get(context.subject, in: session) else { return nil }
    let lease = try lease(context, node, in: session)
    let began =
      try WorkflowStore.events(of: context.workflow, in: session).first { $0.step == "erase" && $0.kind == .started }?
      .at ?? context.startedAt
    let uuid = Identifier.uuid()
    let document: JSON = [
      "format": .string(format), "uuid": .string(uuid),
      "node": ["uuid": .string(node.uuid), "name": JSON(node.name)],
      "lease_uuid": JSON(lease?.uuid), "workflow": .string(context.workflow), "mode": .string(mode),
      "began_at": .string(began.iso8601ZuluMicroseconds), "ended_at": .string(context.now.iso8601ZuluMicroseconds),
      "agent": output?["agent"] ?? .null, "disks": output?["disks"] ?? [],
      "firmware": output?["firmware"] ?? .null,
    ]
    let text = document.description
    let key = try SigningKeyStore.ensure(box, in: session)
    let record = EraseRecord(
      uuid: uuid, nodeUUID: node.uuid, leaseUUID: lease?.uuid,
      projectID: lease?.projectID ?? node.lessee ?? node.owner, ownerID: node.owner,
      time: TimeRange(began, context.now), document: text,
      signature: Base64.text(key.signature(of: Array(text.utf8))), keyID: key.publicKey.fingerprint)
    try EraseRecordStore.insert(record, in: session)
    try EraseProgressStore.forget(node: node.uuid, in: session)
    return record
  }

  /// How far an interrupted erasure of the machine's disks had come: where the agent goes on.
  static func places(of node: String, in session: any Session) throws -> JSON {
    .array(
      try EraseProgressStore.list(node: node, in: session).map { place in
        ["disk": .string(place.disk), "size_bytes": .int(place.size), "done_bytes": .int(place.done)]
      })
  }

  /// The lease that ends, or ended before a cleaning that failed, or under which the machine is.
  private static func lease(_ context: StepContext, _ node: Node, in session: any Session) throws -> Lease? {
    if let uuid = context.params["lease"]?.string ?? node.leaseUUID { return try LeaseStore.get(uuid, in: session) }
    return try LeaseStore.ending(resource: node.uuid, in: session).first
  }
}
