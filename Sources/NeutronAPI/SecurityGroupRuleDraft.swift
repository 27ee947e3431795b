import APISupport
import Domain
import Wire

/// A rule as a client asks for it, in upstream's words where it is none. Source: Neutron, `extensions/securitygroup.py` and
/// `db/securitygroups_db.py`: validation of rules.
enum SecurityGroupRuleDraft {
  private static let settable: Set<String> = [
    "security_group_id", "direction", "ethertype", "protocol", "port_range_min", "port_range_max", "remote_ip_prefix",
    "remote_group_id", "description", "project_id", "tenant_id",
  ]
  private static let known = settable.union(SecurityGroupRuleRoutes.view.attributes.map { "\($0.name)" })

  static func check(_ body: AttributeReader) throws {
    // Clients that know address groups send this with null.
    guard body.object["remote_address_group_id"].map(\.isNull) ?? true else {
      throw APIError.invalid("address groups are not offered: leave out remote_address_group_id.")
    }
    try body.check(allowed: settable.union(["remote_address_group_id"]), known: known, verb: "POST")
  }

  static func rule(_ body: AttributeReader, project: String, at now: Timestamp) throws -> SecurityGroupRule {
    func required(_ name: String) throws -> String {
      guard let text = try body.text(name) else {
        throw APIError.badRequest("Failed to parse request. Required attribute '\(name)' not specified")
      }
      return text
    }
    let group = try required("security_group_id")
    let way = try required("direction")
    guard let direction = SecurityGroupRule.Direction(rawValue: way) else {
      throw APIError.badRequest("Invalid input for direction. Reason: '\(way)' is not in ['ingress', 'egress'].")
    }
    var rule = SecurityGroupRule(
      groupID: group, projectID: project, direction: direction, version: try version(body), createdAt: now)
    rule.protocolName = try protocolName(body, version: rule.version)
    rule.portMinimum = try port("port_range_min", body)
    rule.portMaximum = try port("port_range_max", body)
    if rule.portMinimum == 1, rule.portMaximum == 65535 { (rule.portMinimum, rule.portMaximum) = (nil, nil) }
    rule.remoteGroupID = try body.text("remote_group_id").flatMap { $0.isEmpty ? nil : $0 }
    rule.description = try body.text("description") ?? ""
    try setPrefix(of: &rule, body)
    try checkPorts(rule)
    if let name = rule.protocolName, rule.version == 4,
      IPProtocol.number(name, version: 4).map({ IPProtocol.onlyVersion6.contains($0) }) == true
    {
      throw APIError.refused(
        "Invalid ethertype IPv4 for protocol \(name).", type: "SecurityGroupEthertypeConflictWithProtocol")
    }
    return rule
  }

  private static func version(_ body: AttributeReader) throws -> Int {
    switch try body.text("ethertype")?.lowercased() {
    case nil, "ipv4": return 4
    case "ipv6": return 6
    case let other?:
      throw APIError.refused(
        "Security group rule for ethertype '\(other)' not supported. Allowed values are ['IPv4', 'IPv6'].",
        type: "SecurityGroupRuleInvalidEtherType")
    }
  }

  private static func protocolName(_ body: AttributeReader, version: Int) throws -> String? {
    guard let value = body.object["protocol"], !value.isNull else { return nil }
    let text = value.int.map { "\($0)" } ?? value.string?.lowercased() ?? value.description
    if text == "any" { return nil }
    // Digits alone: "+6" and "006" are not what the switch would be told.
    let isNumber = Int(text).map { "\($0)" == text } ?? false
    guard IPProtocol.numbers[text] != nil || isNumber && IPProtocol.number(text, version: version) != nil else {
      throw APIError.refused(
        "Security group rule protocol \(text.prefix(60)) not supported. Only protocol values "
          + "\(IPProtocol.numbers.keys.sorted()) and integer representations [0 to 255] are supported.",
        type: "SecurityGroupRuleInvalidProtocol")
    }
    guard version == 6 else { return text }
    return ["icmp", "icmpv6"].contains(text) ? "ipv6-icmp" : text == "1" ? "58" : text
  }

  private static func port(_ name: String, _ body: AttributeReader) throws -> Int? {
    guard let value = body.object[name], !value.isNull else { return nil }
    guard let number = value.lenientInt, (0...65535).contains(number) else { throw badPort(value.description) }
    return number
  }
  private static func badPort(_ text: String) -> APIError {
    .refused("Invalid value for port \(text.prefix(60))", type: "SecurityGroupInvalidPortValue")
  }

  private static func setPrefix(of rule: inout SecurityGroupRule, _ body: AttributeReader) throws {
    guard let text = try body.text("remote_ip_prefix"), !text.isEmpty else { return }
    let written = IPAddress(text).map { "\($0)/\($0.width)" } ?? text
    guard let block = CIDR.recommended(for: written).flatMap({ CIDR($0) }) else {
      throw APIError.refused("Invalid CIDR \(text.prefix(60)) given as IP prefix.", type: "InvalidCIDR")
    }
    guard rule.remoteGroupID == nil else {
      throw APIError.refused(
        "Only one of remote_ip_prefix or remote_group_id or remote_address_group_id may be provided.",
        type: "SecurityGroupMultipleRemoteEntites")
    }
    guard block.version == rule.version else {
      throw APIError.refused(
        "Conflicting value ethertype IPv\(rule.version) for CIDR \(text)", type: "SecurityGroupRuleParameterConflict")
    }
    rule.remotePrefix = written
  }

  private static func checkPorts(_ rule: SecurityGroupRule) throws {
    guard rule.portMinimum != nil || rule.portMaximum != nil else { return }
    guard let name = rule.protocolName, let number = IPProtocol.number(name, version: rule.version) else {
      throw APIError.refused(
        "Must also specify protocol if port range is given.", type: "SecurityGroupProtocolRequiredWithPorts")
    }
    switch number {
    case IPProtocol.tcp, IPProtocol.udp, IPProtocol.sctp:
      if rule.portMinimum == 0 || rule.portMaximum == 0 { throw badPort("0") }
      guard let minimum = rule.portMinimum, let maximum = rule.portMaximum, minimum <= maximum else {
        throw APIError.refused(
          "For TCP/UDP protocols, port_range_min must be <= port_range_max", type: "SecurityGroupInvalidPortRange")
      }
    case IPProtocol.icmp, IPProtocol.icmpVersion6:
      for (attribute, field, value) in [
        ("port_range_min", "type", rule.portMinimum), ("port_range_max", "code", rule.portMaximum),
      ] where value.map({ $0 > 255 }) == true {
        throw APIError.refused(
          "Invalid value for ICMP \(field) (\(attribute)) \(value ?? 0). It must be 0 to 255.",
          type: "SecurityGroupInvalidIcmpValue")
      }
      guard rule.portMinimum != nil else {
        throw APIError.refused(
          "ICMP code (port-range-max) \(rule.portMaximum ?? 0) is provided but ICMP type (port-range-min) is missing.",
          type: "SecurityGroupMissingIcmpType")
      }
    default:
      // Upstream also takes them for DCCP and UDP-Lite; no switch here could tell those ports apart.
      throw APIError.refused(
        "Ports cannot be specified for protocol \(name). Ports are only supported for TCP, UDP, SCTP.",
        type: "SecurityGroupInvalidProtocolForPort")
    }
  }
}
