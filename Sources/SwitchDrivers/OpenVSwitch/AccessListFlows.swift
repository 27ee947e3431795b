import Domain

/// The OpenFlow rules of the filter bridge for one port, as `ovs-ofctl` reads them.
///
/// Tables: 0 which VLAN · 1 from the machine: is it its own address? · 2, 3 from the machine: what may it send, before and after
/// conntrack · 5, 6 to the machine: the same. Register 6 holds the zone, which stands for port and VLAN. The bridge passes
/// nothing that no rule names.
///
/// Sources: ovs-fields(7), ovs-actions(7); what passes beside the groups' rules: Neutron, "Open vSwitch Firewall Driver".
struct AccessListFlows {
  private let port: FilteredPort
  private let machine: Int
  private let network: Int
  private var lines: Set<String> = []

  /// All rules of the ports, in a fixed order; none for a port without numbers.
  static func all(_ ports: [FilteredPort]) -> [String] {
    ports.flatMap { port -> [String] in
      guard var flows = AccessListFlows(port) else { return [] }
      flows.write()
      return flows.lines.sorted()
    }
  }
  private init?(_ port: FilteredPort) {
    guard let machine = port.machineNumber, let network = port.networkNumber, machine > 0, network > 0 else {
      return nil
    }
    (self.port, self.machine, self.network) = (port, machine, network)
  }

  private mutating func add(_ table: Int, _ priority: Int, _ match: String, _ actions: String) {
    let cookie = String(port.cookie, radix: 16)
    lines.insert("cookie=0x\(cookie),table=\(table),priority=\(priority),\(match),actions=\(actions)")
  }

  private mutating func write() {
    // A quarantined port carries no VLAN: nothing is written, and nothing passes.
    guard let native = port.native, (1...4094).contains(native) else { return }
    // A priority tag says nothing of the VLAN (IEEE 802.1Q, 6.9.1). What is tagged inside of it is no IP for the rules.
    add(0, 110, "in_port=\(machine),vlan_tci=0x1000/0x1fff", "pop_vlan,resubmit(,0)")
    write(native, "vlan_tci=0x0000/0x1fff")
    for vlan in port.tagged { write(vlan, "dl_vlan=\(vlan)") }
  }

  private mutating func write(_ vlan: Int, _ match: String) {
    guard let list = port.accessLists[vlan], let zone = port.zones[vlan] else {
      add(0, 100, "in_port=\(machine),\(match)", "output:\(network)")
      add(0, 100, "in_port=\(network),\(match)", "output:\(machine)")
      return
    }
    let load = "load:0x\(String(zone, radix: 16))->NXM_NX_REG6[0..15]"
    add(0, 100, "in_port=\(machine),\(match)", "\(load),resubmit(,1)")
    add(0, 100, "in_port=\(network),\(match)", "\(load),resubmit(,5)")
    let here = "reg6=0x\(String(zone, radix: 16))"
    refuseForgedServices(here)
    for source in list.sources { permit(source, here) }
    permitAnswers(here)
    for direction in SecurityGroupRule.Direction.allCases { filter(list, direction, zone, here) }
  }

  // MARK: From the machine: its own addresses

  /// What only a server or router says, whatever the groups' rules: DHCP's answers, router advertisements, redirects.
  private mutating func refuseForgedServices(_ here: String) {
    add(1, 200, "udp,\(here),tp_src=67,tp_dst=68", "drop")
    add(1, 200, "udp6,\(here),tp_src=547,tp_dst=546", "drop")
    for type in [134, 137] { add(1, 200, "icmp6,\(here),icmp_type=\(type)", "drop") }
    // Neighbour discovery passes by ``permit(_:_:)`` or not at all.
    for type in [135, 136] { add(1, 140, "icmp6,\(here),icmp_type=\(type)", "drop") }
  }

  private mutating func permit(_ source: AccessList.Source, _ here: String) {
    let from = "\(here),dl_src=\(source.mac)"
    let out = "output:\(network)"
    // A DHCP client asks before it has an address; an ARP probe too (RFC 5227).
    add(1, 150, "udp,\(from),nw_src=0.0.0.0,tp_src=68,tp_dst=67", out)
    let arp = "arp,\(from),arp_sha=\(source.mac)"
    add(1, 100, "\(arp),arp_spa=0.0.0.0,arp_op=1", out)
    if source.block == nil || source.block?.version == 4 {
      let block = source.block.map { "\($0)" }
      add(1, 150, "udp,\(from),tp_src=68,tp_dst=67" + (block.map { ",nw_src=\($0)" } ?? ""), out)
      add(1, 100, arp + (block.map { ",arp_spa=\($0)" } ?? ""), out)
      add(1, 100, "ip,\(from)" + (block.map { ",nw_src=\($0)" } ?? ""), "resubmit(,2)")
    }
    if let block = source.block, block.version == 6 { permitVersion6(block, from) }
    if source.block == nil {
      for type in [131, 132, 133, 135, 136, 143] { add(1, 150, "icmp6,\(from),icmp_type=\(type)", out) }
      add(1, 150, "udp6,\(from),tp_src=546,tp_dst=547", out)
      add(1, 100, "ipv6,\(from)", "resubmit(,2)")
      return
    }
    guard let own = source.mac.linkLocal else { return }
    permitVersion6(own, from)
    add(1, 150, "udp6,\(from),ipv6_src=\(own.network),tp_src=546,tp_dst=547", out)
    // Router solicitations and multicast listener reports, also before there is an address (RFC 4861, 3810).
    for type in [131, 132, 133, 143] {
      for address in ["\(own.network)", "::"] {
        add(1, 150, "icmp6,\(from),ipv6_src=\(address),icmp_type=\(type)", out)
      }
    }
    add(1, 150, "icmp6,\(from),ipv6_src=::,icmp_type=135", out)
  }

  private mutating func permitVersion6(_ block: CIDR, _ from: String) {
    add(1, 150, "icmp6,\(from),ipv6_src=\(block),icmp_type=135", "output:\(network)")
    add(1, 150, "icmp6,\(from),icmp_type=136,icmp_code=0,nd_target=\(block)", "output:\(network)")
    add(1, 100, "ipv6,\(from),ipv6_src=\(block)", "resubmit(,2)")
  }

  // MARK: To the machine

  /// What a machine needs to have an address and a neighbour.
  private mutating func permitAnswers(_ here: String) {
    add(5, 150, "arp,\(here)", "output:\(machine)")
    add(5, 150, "udp,\(here),tp_src=67,tp_dst=68", "output:\(machine)")
    add(5, 150, "udp6,\(here),tp_src=547,tp_dst=546", "output:\(machine)")
    for type in [130, 134, 135, 136] { add(5, 150, "icmp6,\(here),icmp_type=\(type)", "output:\(machine)") }
  }

  // MARK: The groups' rules

  private mutating func filter(
    _ list: AccessList, _ direction: SecurityGroupRule.Direction, _ zone: Int, _ here: String
  ) {
    let (table, out) = direction == .egress ? (2, network) : (5, machine)
    let rules = list.rules.filter { $0.direction == direction }
    guard list.isStateful else {
      for match in rules.flatMap({ Self.matches($0) }) { add(table, 100, "\(match),\(here)", "output:\(out)") }
      return
    }
    let tracked = table + 1
    for family in ["ip", "ipv6"] { add(table, 90, "\(family),\(here)", "ct(table=\(tracked),zone=\(zone))") }
    add(tracked, 200, "\(here),ct_state=+inv+trk", "drop")
    for state in ["+est", "+rel"] { add(tracked, 190, "\(here),ct_state=\(state)+trk", "output:\(out)") }
    for match in rules.flatMap({ Self.matches($0) }) {
      add(tracked, 100, "\(match),\(here),ct_state=+new+trk", "ct(commit,zone=\(zone)),output:\(out)")
    }
  }

  private static func matches(_ rule: AccessList.Rule) -> [String] {
    let suffix = rule.version == 6 ? "6" : ""
    let family = rule.version == 6 ? "ipv6" : "ip"
    var match: String
    var isICMP = false
    switch rule.protocolNumber {
    case nil: match = family
    case IPProtocol.tcp?: match = "tcp\(suffix)"
    case IPProtocol.udp?: match = "udp\(suffix)"
    case IPProtocol.sctp?: match = "sctp\(suffix)"
    case IPProtocol.icmp? where rule.version == 4: (match, isICMP) = ("icmp", true)
    case IPProtocol.icmpVersion6? where rule.version == 6: (match, isICMP) = ("icmp6", true)
    case let number?: match = "\(family),nw_proto=\(number)"
    }
    if let remote = rule.remote {
      let field =
        switch (rule.version, rule.direction) {
        case (6, .egress): "ipv6_dst"
        case (6, .ingress): "ipv6_src"
        case (_, .egress): "nw_dst"
        case (_, .ingress): "nw_src"
        }
      match += ",\(field)=\(remote)"
    }
    if isICMP {
      if let type = rule.minimum { match += ",icmp_type=\(type)" }
      if let code = rule.maximum { match += ",icmp_code=\(code)" }
      return [match]
    }
    guard let minimum = rule.minimum, let maximum = rule.maximum else { return [match] }
    return masks(minimum, maximum).map { "\(match),tp_dst=\($0)" }
  }

  /// A range of ports as the fewest values with masks: 5000 to 5001 is "0x1388/0xfffe".
  static func masks(_ minimum: Int, _ maximum: Int) -> [String] {
    var out: [String] = []
    var next = minimum
    while next <= maximum {
      var size = 1
      while next % (size * 2) == 0, next + size * 2 - 1 <= maximum, size < 65536 { size *= 2 }
      out.append(size == 1 ? "\(next)" : "0x\(String(next, radix: 16))/0x\(String(0x10000 - size, radix: 16))")
      next += size
    }
    return out
  }
}

extension MACAddress {
  /// The link-local address that an interface makes of its hardware address (RFC 4291, appendix A), as a block of one.
  var linkLocal: CIDR? {
    var bytes = description.split(separator: ":").compactMap { UInt8($0, radix: 16) }
    guard bytes.count == 6 else { return nil }
    bytes[0] ^= 2
    let low = (bytes[0..<3] + [0xff, 0xfe] + bytes[3..<6]).reduce(UInt128(0)) { $0 << 8 | UInt128($1) }
    return CIDR(IPAddress(version: 6, value: 0xfe80 << 112 | low))
  }
}
