import Cryptography
import Domain
import Wire

/// What the power sync reads and writes: a few columns of many nodes.
public enum NodePowerStore {
  /// A machine whose power is to be read, as the database knows it.
  public struct Watched: Sendable {
    public let uuid: String
    /// As an operator knows it.
    public let label: String
    public let driver: String
    /// With its secrets in the clear.
    public let driverInfo: JSONObject
    public let power: Power?
    public let fault: String?
    public let isInMaintenance: Bool
  }

  /// Of the nodes whose controller has been verified and that no workflow holds, the next after `uuid`, in the order of UUIDs.
  public static func watched(after uuid: String, limit: Int, box: SecretBox, in session: any Session) throws
    -> [Watched]
  {
    try session.query(
      """
      SELECT uuid, name, driver, driver_info, driver_secrets, power_state, fault, maintenance FROM nodes \
      WHERE uuid > $1 AND provision_state <> 'enroll' AND reservation IS NULL ORDER BY uuid LIMIT $2
      """, [.text(uuid), .int(limit)]
    ) { row in
      let uuid = row.text(0)
      return Watched(
        uuid: uuid, label: row.optionalText(1) ?? uuid, driver: row.text(2),
        driverInfo: NodeStore.driverInfo(row.object(3), sealed: row.optionalText(4), of: uuid, box: box),
        power: Power(rawValue: row.text(5)), fault: row.optionalText(6), isInMaintenance: row.bool(7))
    }
  }
}
