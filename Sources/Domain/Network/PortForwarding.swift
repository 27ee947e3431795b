import Wire

/// One port, or a run of ports, of a floating IP that leads to a port of a machine. Source: Neutron API v2, "Floating IPs port forwarding".
public struct PortForwarding: Sendable, Equatable {
  /// The transport protocols that have ports.
  public enum TransportProtocol: String, Sendable, CaseIterable {
    case tcp, udp, sctp, dccp
  }

  public var id: String
  public var floatingIPID: String
  public var description: String
  public var transport: TransportProtocol
  /// 1 to 65535.
  public var externalPorts: ClosedRange<Int>
  /// As many as ``externalPorts``, or one.
  public var internalPorts: ClosedRange<Int>
  /// The network port that has ``internalAddress``.
  public var portID: String
  /// IPv4.
  public var internalAddress: IPAddress

  public init(
    id: String = Identifier.uuid(), floatingIPID: String, description: String = "", transport: TransportProtocol,
    externalPorts: ClosedRange<Int>, internalPorts: ClosedRange<Int>, portID: String, internalAddress: IPAddress
  ) {
    self.id = id
    self.floatingIPID = floatingIPID
    self.description = description
    self.transport = transport
    self.externalPorts = externalPorts
    self.internalPorts = internalPorts
    self.portID = portID
    self.internalAddress = internalAddress
  }

  /// N to N or N to 1; nothing else says where a packet goes.
  public var areRangesFitting: Bool { internalPorts.count == 1 || internalPorts.count == externalPorts.count }

  /// Whether both cannot be: the same port outside, or the same place inside.
  public func collides(with other: PortForwarding) -> Collision? {
    guard id != other.id, transport == other.transport else { return nil }
    if floatingIPID == other.floatingIPID, externalPorts.overlaps(other.externalPorts) { return .external }
    if portID == other.portID, internalAddress == other.internalAddress, internalPorts.overlaps(other.internalPorts) {
      return .internal
    }
    return nil
  }
  public enum Collision: Sendable { case external, `internal` }
}
