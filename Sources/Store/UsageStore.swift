import Domain
import Wire

/// Who had which machine for how long: once from the leases, once from the events that they left, which must agree.
public enum UsageStore {
  /// From the leases' own times.
  /// - Parameters:
  ///   - period: what lies outside does not count.
  ///   - now: when leases that have not ended are taken to end.
  public static func fromLeases(_ period: TimeRange, now: Timestamp, in session: any Session) throws -> [LeaseUse] {
    try session.query(
      """
      SELECT uuid, parent_lease_uuid, project_id, owner_id, COALESCE(resource_class, ''), fulfill_time, \
      COALESCE(expire_time, $1) FROM leases WHERE resource_type = 'ironic_node' AND fulfill_time IS NOT NULL \
      AND fulfill_time < $2 AND COALESCE(expire_time, $1) > $3 ORDER BY fulfill_time, uuid
      """, [Value(now), Value(period.end), Value(period.start)]
    ) { row in use(row, TimeRange(row.time(5), row.time(6)), in: period) }.compactMap { $0 }
  }

  /// From what was recorded when it happened: a hand-over ends with the next end of the same lease.
  public static func fromEvents(_ period: TimeRange, now: Timestamp, in session: any Session) throws -> [LeaseUse] {
    try session.query(
      """
      SELECT e.object_uuid, l.parent_lease_uuid, e.lessee_id, e.owner_id, COALESCE(e.resource_class, ''), e.event_time, \
      COALESCE((SELECT MIN(f.event_time) FROM lease_events f WHERE f.object_uuid = e.object_uuid \
      AND f.event_type = 'esi_leap.lease.delete.start'), $1) \
      FROM lease_events e LEFT JOIN leases l ON l.uuid = e.object_uuid \
      WHERE e.event_type = 'esi_leap.lease.fulfill.end' AND e.resource_type = 'ironic_node' ORDER BY e.event_time, e.object_uuid
      """, [Value(now)]
    ) { row in use(row, TimeRange(row.time(5), row.time(6)), in: period) }.compactMap { $0 }
  }

  private static func use(_ row: borrowing Row, _ time: TimeRange, in period: TimeRange) -> LeaseUse? {
    let inside = TimeRange(max(time.start, period.start), min(time.end, period.end))
    guard inside.isValid else { return nil }
    return LeaseUse(
      leaseUUID: row.text(0), parentUUID: row.optionalText(1), projectID: row.text(2), ownerID: row.text(3),
      resourceClass: row.text(4), time: inside)
  }
}
