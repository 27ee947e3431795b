import Wire

/// What the switch port at the other end of a NIC's cable said of itself by LLDP, as the agent reports it.
///
/// Anybody on the cable may say anything: it is compared and shown, never followed.
public struct HeardNeighbor: Sendable, Equatable {
  public var chassisID: String
  public var portID: String
  public var portDescription: String?
  public var systemName: String?

  /// - Parameter json: `{"chassis_id", "port_id", "port_description", "system_name"}` (docs/agent-protocol.md, "Claim").
  public init?(_ json: JSON?) {
    guard let chassis = json?["chassis_id"]?.string, let port = json?["port_id"]?.string, !port.isEmpty else {
      return nil
    }
    chassisID = String(chassis.prefix(255))
    portID = String(port.prefix(255))
    portDescription = json?["port_description"]?.string.map { String($0.prefix(255)) }
    systemName = json?["system_name"]?.string.map { String($0.prefix(255)) }
  }

  /// As a sentence names it: "switch tor-2 port Eth1/5".
  public var words: String { "switch \(systemName ?? chassisID) port \(portID)" }

  /// Whether it is somebody else than the recorded port. What cannot be compared (a port that calls itself by a number or an
  /// address, a switch whose name is not known here) is no contradiction: a machine is not kept from anybody by a guess.
  /// - Parameter switches: the names of the site's switches.
  public func contradicts(_ recorded: SwitchPort, switches: Set<String>) -> Bool {
    for name in [systemName, systemName?.split(separator: ".").first.map { String($0) }, chassisID] {
      guard let name, switches.contains(name) else { continue }
      if name != recorded.switchName { return true }
      break
    }
    let names = [portID, portDescription].compactMap { $0 }
    if names.contains(where: { Self.isSame($0, recorded.port) }) { return false }
    return Self.isComparable(portID, recorded.port)
  }

  /// "Eth1/4" is "Ethernet 1/4": what is shorter begins like the longer, and the numbers are the same.
  private static func isSame(_ one: String, _ other: String) -> Bool {
    let (a, b) = (parts(one), parts(other))
    return a.number == b.number && (a.kind.hasPrefix(b.kind) || b.kind.hasPrefix(a.kind))
  }
  private static func parts(_ name: String) -> (kind: String, number: String) {
    let text = name.lowercased().filter { !$0.isWhitespace }
    let kind = text.prefix { $0.isLetter || $0 == "-" }
    return (String(kind), String(text.dropFirst(kind.count)))
  }
  /// How switches call aggregates: EOS and NX-OS, SONiC, IOS XR, Junos, Cumulus, Huawei, ProCurve.
  private static let aggregates: Set<String> = [
    "port-channel", "portchannel", "po", "bundle-ether", "ae", "bond", "lag", "eth-trunk", "trk",
  ]
  /// A name, and no address or index beside a name.
  private static func isComparable(_ heard: String, _ recorded: String) -> Bool {
    if MACAddress(heard) != nil { return false }
    // A switch announces itself by the ports of an aggregate, not by the aggregate.
    if aggregates.contains(parts(recorded).kind), !aggregates.contains(parts(heard).kind) { return false }
    return heard.contains(where: \.isLetter) == recorded.contains(where: \.isLetter)
  }
}
