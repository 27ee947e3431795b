import Domain

/// What is shown of routers and floating IPs: written by whoever carries them, which is no change of theirs, so their
/// revisions stay.
public enum RoutingStatusStore {
  /// A floating IP as it was looked at: one that leads elsewhere by now is another matter.
  public struct Lead: Sendable, Hashable {
    public var id: String
    public var routerID: String?
    /// Nil when it leads somewhere by its port forwardings alone, or nowhere.
    public var fixedAddress: IPAddress?
    public init(id: String, routerID: String?, fixedAddress: IPAddress?) {
      self.id = id
      self.routerID = routerID
      self.fixedAddress = fixedAddress
    }
  }

  public static func routers(in session: any Session) throws -> [String: Router.Status] {
    let rows = try session.query("SELECT id, status FROM routers", []) { ($0.text(0), $0.text(1)) }
    return Dictionary(rows.map { ($0, Router.Status(rawValue: $1) ?? .error) }) { first, _ in first }
  }
  public static func floatingIPs(in session: any Session) throws -> [Lead: FloatingIP.Status] {
    let rows = try session.query("SELECT id, router_id, fixed_address, status FROM floating_ips", []) { row in
      (
        Lead(
          id: row.text(0), routerID: row.optionalText(1), fixedAddress: row.optionalText(2).flatMap { IPAddress($0) }),
        row.text(3)
      )
    }
    return Dictionary(rows.map { ($0, FloatingIP.Status(rawValue: $1) ?? .error) }) { first, _ in first }
  }

  public static func set(_ status: Router.Status, router id: String, in session: any Session) throws {
    try session.execute("UPDATE routers SET status = $1 WHERE id = $2", [.text(status.rawValue), .text(id)])
  }
  /// Does nothing when the floating IP leads elsewhere by now.
  public static func set(_ status: FloatingIP.Status, _ lead: Lead, in session: any Session) throws {
    try session.execute(
      """
      UPDATE floating_ips SET status = $1 WHERE id = $2 AND COALESCE(router_id, '') = $3 AND COALESCE(fixed_address, '') = $4
      """,
      [
        .text(status.rawValue), .text(lead.id), .text(lead.routerID ?? ""),
        .text(lead.fixedAddress?.description ?? ""),
      ])
  }
}
