/// How the tunnel endpoints that carry a VNI learn of each other. Those of one network must learn in the same way.
public enum TunnelControlPlane: Sendable, Hashable {
  /// Every tunnel is written to the switch, one for each peer (RFC 7348).
  case fixedPeers
  /// The switches of a fabric tell each other by BGP (RFC 8365).
  case evpn(fabric: String)

  /// Why a VNI does not join switches that learn in these ways, as a sentence's end; nil when it does.
  public static func problem(_ ways: Set<TunnelControlPlane>) -> String? {
    guard ways.count > 1 else { return nil }
    let fabrics = ways.compactMap { way -> String? in
      if case .evpn(let fabric) = way { return fabric }
      return nil
    }.sorted()
    if ways.contains(.fixedPeers) {
      return
        "a VNI does not join the EVPN fabric \(fabrics.joined(separator: ", ")) with switches whose tunnels have fixed peers "
        + "(vtep.peers): their endpoints never learn of each other."
    }
    return
      "a VNI does not join the EVPN fabrics \(fabrics.joined(separator: " and ")): their switches never learn of each other."
  }
}
