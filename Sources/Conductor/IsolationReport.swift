import Domain
import Store
import Wire

/// The isolation report of a lease: what its machine's switch ports carried, from the hand-over until the machine was clean again.
public enum IsolationReport {
  /// The name of the report's form; another form gets another number.
  public static let format = "steelyard-isolation-report-1"

  /// - Parameter now: when the report is made; a lease that is not over is told up to then.
  public static func make(of lease: Lease, at now: Timestamp, in session: any Session) throws -> JSON {
    let records = try IsolationStore.list(lease: lease.uuid, in: session)
    func count(_ kind: IsolationRecord.Kind) -> JSON { .int(records.lazy.filter { $0.kind == kind }.count) }
    return [
      "format": .string(format), "generated_at": .string(now.iso8601ZuluMicroseconds),
      "lease": [
        "uuid": .string(lease.uuid), "project_id": .string(lease.projectID), "owner_id": .string(lease.ownerID),
        "resource_uuid": .string(lease.resourceUUID), "status": .string(lease.status.rawValue),
        "fulfill_time": time(lease.fulfilledAt), "expire_time": time(lease.endedAt),
      ],
      "is_final": .bool(!lease.status.isLive),
      "summary": [
        "changes": count(.change), "read_backs": count(.readBack), "drifts": count(.drift), "failures": count(.failure),
        "probes": count(.probe),
      ],
      "records": .array(records.map { shown($0) }),
      "audits": .array(try audits(of: lease, records, at: now, in: session)),
      "sub_leases": .array(try subLeases(of: lease, in: session)),
    ]
  }

  private static func time(_ time: Timestamp?) -> JSON { JSON(time?.iso8601ZuluMicroseconds) }

  private static func shown(_ record: IsolationRecord) -> JSON {
    var shown: JSONObject = [
      "id": .int(record.id), "at": time(record.at), "kind": .string(record.kind.rawValue),
      "switch": .string(record.port.switchName), "port": .string(record.port.port),
      "workflow": JSON(record.workflow), "workflow_kind": JSON(record.workflowKind), "step": JSON(record.step),
    ]
    for member in record.data { shown[member.key] = member.value }
    return .object(shown)
  }

  /// While a switch was audited, every port of it was read: one line for each time without a break.
  private static func audits(
    of lease: Lease, _ records: [IsolationRecord], at now: Timestamp, in session: any Session
  ) throws -> [JSON] {
    guard let begin = lease.fulfilledAt else { return [] }
    // A lease that is over was on its switches until its last record.
    let end = lease.status.isLive ? now : max(records.last?.at ?? begin, lease.endedAt ?? begin)
    return try Set(records.map(\.port.switchName)).sorted().flatMap { name in
      try SwitchAuditStore.runs(name, during: TimeRange(begin, end), in: session).map { run in
        [
          "switch": .string(name), "from": time(run.time.start), "to": time(run.time.end), "audits": .int(run.count),
          "longest_pause_seconds": .double((run.longestPause.inSeconds * 1000).rounded() / 1000),
        ]
      }
    }
  }

  /// Times in which somebody else had the machine, by a sub-lease with a report of its own. Who that was is not told.
  private static func subLeases(of lease: Lease, in session: any Session) throws -> [JSON] {
    var filter = LeaseStore.Filter()
    filter.parentUUID = lease.uuid
    return try LeaseStore.list(filter, in: session).compactMap { child in
      guard let begin = child.fulfilledAt else { return nil }
      return ["from": time(begin), "to": time(child.endedAt)]
    }
  }
}
