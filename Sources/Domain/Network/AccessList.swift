import Wire

/// What may pass between one machine and one network, whole: from where the machine may send (port security), and what the
/// security groups of its network port let pass, with the addresses of their members in place.
///
/// What nothing lets pass does not. A network port without port security has none, and everything passes. Which helpers of IP
/// pass besides (a DHCP client's requests, ARP, neighbour discovery) is the driver's to know.
public struct AccessList: Sendable, Hashable {
  /// A hardware address that the machine may send from, and the addresses that it may have there; nil for any.
  public struct Source: Sendable, Hashable {
    public var mac: MACAddress
    public var block: CIDR?
    public init(mac: MACAddress, block: CIDR?) {
      self.mac = mac
      self.block = block
    }
  }
  public struct Rule: Sendable, Hashable {
    public var direction: SecurityGroupRule.Direction
    /// 4 or 6.
    public var version: Int
    /// IANA's number; nil for every protocol.
    public var protocolNumber: Int?
    /// The lowest port (TCP, UDP, SCTP), or ICMP's type; nil for all.
    public var minimum: Int?
    /// The highest port, or ICMP's code; nil for all.
    public var maximum: Int?
    /// The other side; nil for everybody.
    public var remote: CIDR?
    public init(
      direction: SecurityGroupRule.Direction, version: Int, protocolNumber: Int? = nil, minimum: Int? = nil,
      maximum: Int? = nil, remote: CIDR? = nil
    ) {
      self.direction = direction
      self.version = version
      self.protocolNumber = protocolNumber
      self.minimum = minimum
      self.maximum = maximum
      self.remote = remote
    }
  }
  public private(set) var sources: [Source]
  /// Answers to what may pass also pass.
  public let isStateful: Bool
  public private(set) var rules: [Rule]

  public init(sources: some Sequence<Source>, isStateful: Bool = true, rules: some Sequence<Rule>) {
    // In one order, so that equal ones are equal.
    self.sources = Set(sources).sorted { "\($0.mac) \(Self.key($0.block))" < "\($1.mac) \(Self.key($1.block))" }
    self.isStateful = isStateful
    self.rules = Set(rules).sorted { Self.key($0) < Self.key($1) }
  }

  /// What a network port's settings come to.
  ///
  /// - Parameters:
  ///   - groups: the port's security groups with their rules.
  ///   - members: the addresses of those groups that the rules name, by the group's id.
  public init(of port: NetworkPort, groups: [SecurityGroup], members: [String: [CIDR]]) {
    var sources: [Source] = []
    if let mac = MACAddress(port.macAddress) {
      // A port without addresses is kept to its hardware address alone, as upstream.
      sources = port.fixedIPs.map { Source(mac: mac, block: CIDR($0.address)) }
      if sources.isEmpty { sources = [Source(mac: mac, block: nil)] }
      sources += port.addressPairs.map { Source(mac: $0.mac ?? mac, block: $0.block) }
    }
    let rules = groups.flatMap(\.rules).flatMap { rule -> [Rule] in
      var passing = Rule(
        direction: rule.direction, version: rule.version, protocolNumber: rule.protocolNumber,
        minimum: rule.portMinimum, maximum: rule.portMaximum)
      if let group = rule.remoteGroupID {
        return (members[group] ?? []).filter { $0.version == rule.version }.map { block in
          passing.remote = block
          return passing
        }
      }
      passing.remote = rule.normalizedPrefix.flatMap { CIDR($0) }.flatMap { $0.prefix == 0 ? nil : $0 }
      return [passing]
    }
    self.init(sources: sources, isStateful: groups.allSatisfy(\.isStateful), rules: rules)
  }

  /// Whether everything that passes by `other` passes by this one too: then nothing that is under way need be cut off.
  public func includes(_ other: AccessList) -> Bool {
    isStateful == other.isStateful && Set(rules).isSuperset(of: other.rules)
      && Set(sources).isSuperset(of: other.sources)
  }

  private static func key(_ block: CIDR?) -> String {
    block.map { "\($0.version) \($0.network.key)/\($0.prefix)" } ?? ""
  }
  private static func key(_ rule: Rule) -> String {
    let numbers = [rule.protocolNumber, rule.minimum, rule.maximum].map { $0.map { "\($0)" } ?? "-" }
    return "\(rule.direction.rawValue) \(rule.version) \(numbers.joined(separator: " ")) \(key(rule.remote))"
  }
}

// MARK: As text

extension AccessList {
  /// How it is kept in the database and on the switch.
  public var json: JSON {
    [
      "sources": .array(
        sources.map { [.string($0.mac.description), $0.block.map { .string($0.description) } ?? .null] }),
      "stateful": .bool(isStateful),
      "rules": .array(rules.map(\.json)),
    ]
  }
  /// Reads ``json`` back; nil for anything else.
  public init?(json: JSON) {
    guard let sources = json["sources"]?.array, let rules = json["rules"]?.array, let flag = json["stateful"]?.bool
    else { return nil }
    let readSources = sources.compactMap { item -> Source? in
      guard let pair = item.array, pair.count == 2, let mac = pair[0].string.flatMap({ MACAddress($0) }) else {
        return nil
      }
      if pair[1].isNull { return Source(mac: mac, block: nil) }
      return pair[1].string.flatMap { CIDR($0) }.map { Source(mac: mac, block: $0) }
    }
    let readRules = rules.compactMap { Rule(json: $0) }
    guard readSources.count == sources.count, readRules.count == rules.count else { return nil }
    self.init(sources: readSources, isStateful: flag, rules: readRules)
  }
}

extension AccessList.Rule {
  fileprivate var json: JSON {
    func number(_ value: Int?) -> JSON { value.map { .int($0) } ?? .null }
    return [
      .string(direction.rawValue), .int(version), number(protocolNumber), number(minimum), number(maximum),
      remote.map { .string($0.description) } ?? .null,
    ]
  }
  fileprivate init?(json: JSON) {
    guard let items = json.array, items.count == 6,
      let direction = items[0].string.flatMap({ SecurityGroupRule.Direction(rawValue: $0) }),
      let version = items[1].int,
      items[5].isNull || items[5].string.flatMap({ CIDR($0) }) != nil
    else { return nil }
    self.init(
      direction: direction, version: version, protocolNumber: items[2].int, minimum: items[3].int,
      maximum: items[4].int, remote: items[5].string.flatMap { CIDR($0) })
  }
}

/// An address, and a hardware address, that a port may use beside its own (`allowed_address_pairs`).
public struct AddressPair: Sendable, Hashable {
  /// Nil for the port's own.
  public var mac: MACAddress?
  public var block: CIDR
  /// As the client wrote it: "10.0.0.7" or "10.0.0.7/32".
  public var text: String

  /// Nil for what is neither an address nor a block.
  public init?(_ text: String, mac: MACAddress?) {
    guard let block = IPAddress(text).flatMap({ CIDR($0) }) ?? CIDR.recommended(for: text).flatMap({ CIDR($0) }) else {
      return nil
    }
    self.block = block
    self.mac = mac
    self.text = text
  }
}

extension CIDR {
  /// The block of one address.
  public init?(_ address: IPAddress) { self.init(network: address, prefix: address.width) }
}
