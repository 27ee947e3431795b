import APISupport
import Domain
import Store
import Wire

/// Which addresses a port gets. Source: Neutron API reference, "Create port": `fixed_ips`.
struct AddressChoice {
  let port: NetworkPort
  let network: Network
  let subnets: [Subnet]
  let actor: Actor
  /// For messages: "create_port".
  let rule: String
  /// The caller may choose addresses though the network is another's: of a floating IP.
  var isChosenFreely = false

  /// For a port that asks for nothing: one IPv4 and one IPv6 address, as far as the network has subnets.
  static func any(network: Network, subnets: [Subnet], in session: any Session) throws -> [NetworkPort.FixedIP] {
    var chosen: [NetworkPort.FixedIP] = []
    for version in [4, 6] {
      let fitting = subnets.filter { $0.version == version }
      if fitting.isEmpty { continue }
      var found: NetworkPort.FixedIP?
      for subnet in fitting where found == nil {
        found = try SubnetStore.freeAddress(of: subnet, in: session).map { .init(subnetID: subnet.id, address: $0) }
      }
      guard let found else { throw exhausted(network) }
      chosen.append(found)
    }
    return chosen
  }

  /// - Parameters:
  ///   - asked: objects with `subnet_id`, `ip_address` or both.
  ///   - kept: what the port has now: an item that names only a subnet keeps its address there.
  func addresses(
    _ asked: [JSONObject], keeping kept: [NetworkPort.FixedIP], in session: any Session
  ) throws -> [NetworkPort.FixedIP] {
    var chosen: [NetworkPort.FixedIP] = []
    var named: [(JSONObject, Subnet, IPAddress)] = []
    for item in asked {
      if let text = item["ip_address"]?.string {
        guard let address = IPAddress(text) else { throw APIError.invalid("'\(text)' is not a valid IP address.") }
        named.append((item, try subnet(of: address, item), address))
      }
    }
    // First those with an address, so that none of them is given away to one without.
    for (_, subnet, address) in named {
      let fixed = NetworkPort.FixedIP(subnetID: subnet.id, address: address)
      if !kept.contains(fixed) {
        guard isChosenFreely || NetworkPolicy.mayChooseAddresses(on: network, actor) else {
          throw APIError.disallowed(
            "\(rule):fixed_ips:ip_address", "only the owner of the network chooses addresses on it.")
        }
      }
      guard try !chosen.contains(fixed) && !SubnetStore.isTaken(address, of: subnet.id, in: session) else {
        throw APIError.conflict(
          "IP address \(address) already allocated in subnet \(subnet.id)", type: "IpAddressAlreadyAllocated")
      }
      chosen.append(fixed)
    }
    for item in asked where item["ip_address"]?.string == nil {
      guard let id = item["subnet_id"]?.string else {
        throw APIError.invalid("an item of fixed_ips needs a subnet_id or an ip_address.")
      }
      let subnet = try subnet(named: id)
      if let old = kept.first(where: { $0.subnetID == id && !chosen.contains($0) }),
        try !SubnetStore.isTaken(old.address, of: id, in: session)
      {
        chosen.append(old)
        continue
      }
      // Two items of one subnet: the first is not in the database yet.
      guard let free = try freeAddress(of: subnet, beside: chosen, in: session) else { throw Self.exhausted(network) }
      chosen.append(NetworkPort.FixedIP(subnetID: id, address: free))
    }
    return chosen
  }

  private func freeAddress(
    of subnet: Subnet, beside chosen: [NetworkPort.FixedIP], in session: any Session
  ) throws -> IPAddress? {
    var rest = subnet
    for fixed in chosen where fixed.subnetID == subnet.id {
      rest.pools = rest.pools.flatMap { $0.without(fixed.address) }
    }
    return try SubnetStore.freeAddress(of: rest, in: session)
  }

  private func subnet(named id: String) throws -> Subnet {
    guard let subnet = subnets.first(where: { $0.id == id }) else {
      throw APIError.invalid(
        "Failed to create port on network \(network.id), because fixed_ips included invalid subnet \(id)")
    }
    return subnet
  }
  private func subnet(of address: IPAddress, _ item: JSONObject) throws -> Subnet {
    if let id = item["subnet_id"]?.string {
      let subnet = try subnet(named: id)
      guard subnet.cidr.hosts.contains(address) else {
        throw APIError(
          .badRequest, "IP address \(address) is not a valid IP for the specified subnet.", type: "InvalidIpForSubnet")
      }
      return subnet
    }
    guard let subnet = subnets.first(where: { $0.cidr.hosts.contains(address) }) else {
      throw APIError(
        .badRequest, "IP address \(address) is not a valid IP for any of the subnets on the specified network.",
        type: "InvalidIpForNetwork")
    }
    return subnet
  }

  private static func exhausted(_ network: Network) -> APIError {
    .conflict(
      "No more IP addresses available on network \(network.id). Widen an allocation pool (`openstack subnet set "
        + "--allocation-pool …`) or delete ports that are not needed.", type: "IpAddressGenerationFailure")
  }
}
