/// IP protocols by the names that security group rules use. Source: Neutron API v2, "Security group rules", `protocol`.
public enum IPProtocol {
  /// IANA's numbers by Neutron's names.
  public static let numbers: [String: Int] = [
    "ah": 51, "dccp": 33, "egp": 8, "esp": 50, "gre": 47, "hopopt": 0, "icmp": 1, "icmpv6": 58, "igmp": 2, "ip": 0,
    "ipip": 4, "ipv6-encap": 41, "ipv6-frag": 44, "ipv6-icmp": 58, "ipv6-nonxt": 59, "ipv6-opts": 60,
    "ipv6-route": 43, "ospf": 89, "pgm": 113, "rsvp": 46, "sctp": 132, "tcp": 6, "udp": 17, "udplite": 136, "vrrp": 112,
  ]
  public static let icmp = 1
  public static let icmpVersion6 = 58
  public static let tcp = 6
  public static let udp = 17
  public static let sctp = 132
  /// Of these ports can be told apart.
  public static let withPorts = [tcp, udp, sctp]
  /// Exist in IPv6 alone.
  public static let onlyVersion6: Set<Int> = [41, 43, 44, 58, 59, 60]

  /// The number of a name or of a number written out; nil for what is neither.
  ///
  /// - Parameter version: 4 or 6: "icmp" is ICMPv6 there.
  public static func number(_ text: String, version: Int) -> Int? {
    guard let number = numbers[text] ?? Int(text), (0...255).contains(number) else { return nil }
    return version == 6 && number == icmp ? icmpVersion6 : number
  }
}
