import Domain
import Wire

/// Which NIC or port group of a machine has which network port (Ironic's VIF).
public enum VIFStore {
  /// What a network port is attached to.
  public static func holder(of vif: String, in session: any Session) throws -> VIFHolder? {
    if let port = try PortStore.list(in: session, { $0.append("WHERE vif_port_id = ?", .text(vif)) }).first {
      return .port(port)
    }
    guard let group = try PortGroupStore.holding(vif: vif, in: session) else { return nil }
    return .portGroup(group, members: try PortStore.list(group: group.uuid, in: session))
  }
  /// All that a network port of a node may be attached to: its NICs in the order they were made, then its port groups.
  public static func places(node uuid: String, in session: any Session) throws -> [VIFHolder] {
    let ports = try PortStore.list(node: uuid, in: session)
    let groups = try PortGroupStore.list(node: uuid, in: session)
    return ports.map { .port($0) }
      + groups.map { group in .portGroup(group, members: ports.filter { $0.portGroupUUID == group.uuid }) }
  }
  /// - Parameter vif: nil takes off what is there.
  /// - Throws: ``StoreError`` `.conflict` when another NIC or another group has it.
  public static func set(_ vif: String?, on holder: VIFHolder, at now: Timestamp, in session: any Session) throws {
    switch holder {
    case .port(let port):
      try session.execute(
        "UPDATE ports SET vif_port_id = $1, updated_at = $2 WHERE uuid = $3",
        [Value(vif), Value(now), .text(port.uuid)])
    case .portGroup(let group, _):
      try session.execute(
        "UPDATE port_groups SET vif_port_id = $1, updated_at = $2 WHERE uuid = $3",
        [Value(vif), Value(now), .text(group.uuid)])
    }
  }
  /// The NICs that carry a network port: one, or the members of a group; by itself or tagged, as a subport of what they have.
  public static func nics(carrying networkPort: String, in session: any Session) throws -> [Port] {
    try PortStore.list(in: session) {
      $0.append(
        """
        WHERE uuid IN (SELECT uuid FROM attached_nics WHERE vif_port_id = ? UNION \
        SELECT b.uuid FROM trunk_subports s JOIN trunks t ON t.id = s.trunk_id \
        JOIN attached_nics b ON b.vif_port_id = t.port_id WHERE s.port_id = ?) ORDER BY created_at, address
        """, .text(networkPort), .text(networkPort))
    }
  }
}

extension Sequence<Port> {
  /// The network ports that these NICs carry, each once, in the order of the NICs.
  public var vifs: [String] {
    var seen: Set<String> = []
    return compactMap(\.carriedVIF).filter { seen.insert($0).inserted }
  }
}
