import Wire

/// The `network_data.json` of a config drive: how an operating system configures its NICs without DHCP.
///
/// Source: Nova, "Metadata: OpenStack format", network_data.json schema (links, networks, services).
public enum NetworkData {
  /// One NIC, or one bond, on one network.
  public struct Attachment: Sendable {
    /// The NIC's own address, which the operating system finds it by; the bond's.
    public var macAddress: String
    public var port: NetworkPort
    public var network: Network
    /// Those of the network; only the ones that the port has an address in are used.
    public var subnets: [Subnet]
    /// The network port of the trunk's parent, when this one comes tagged on the same NIC.
    public var parent: String?
    /// The tag in the machine's frames, when it comes tagged.
    public var vlan: Int?
    /// The bond that the network port is attached to; nil where it is a NIC.
    public var bond: Bond?
    public init(
      macAddress: String, port: NetworkPort, network: Network, subnets: [Subnet], parent: String? = nil,
      vlan: Int? = nil, bond: Bond? = nil
    ) {
      self.bond = bond
      self.parent = parent
      self.vlan = vlan
      self.macAddress = macAddress
      self.port = port
      self.network = network
      self.subnets = subnets
    }
  }

  /// NICs that the operating system bonds.
  public struct Bond: Sendable {
    /// How: "active-backup", "802.3ad".
    public var mode: String
    /// The driver's options, under cloud-init's names: `bond_miimon`.
    public var options: JSONObject
    /// Id (a baremetal port's UUID) and address of each.
    public var members: [(id: String, macAddress: String)]
    public init(mode: String, options: JSONObject, members: [(id: String, macAddress: String)]) {
      self.mode = mode
      self.options = options
      self.members = members
    }
  }

  public static func make(_ attachments: [Attachment]) -> JSON {
    var links: [JSON] = []
    var networks: [JSON] = []
    var nameservers: [String] = []
    var hasDefaultRoute: Set<Int> = []
    for attachment in attachments {
      let link = name(attachment.port.id)
      var entry: JSONObject = [
        "id": .string(link), "vif_id": .string(attachment.port.id), "mtu": .int(attachment.network.mtu),
      ]
      if let parent = attachment.parent {
        entry["type"] = "vlan"
        entry["vlan_link"] = .string(name(parent))
        entry["vlan_id"] = .int(attachment.vlan ?? attachment.network.vlan)
        entry["vlan_mac_address"] = .string(attachment.macAddress)
      } else if let bond = attachment.bond {
        // As Nova writes them for Ironic (nova/virt/ironic/driver.py): the bond, and a link for every member.
        for member in bond.options { entry[member.key] = member.value }
        entry["type"] = "bond"
        entry["bond_mode"] = .string(bond.mode)
        entry["bond_links"] = .array(bond.members.map { .string($0.id) })
        entry["ethernet_mac_address"] = .string(attachment.macAddress)
        links += bond.members.map {
          ["id": .string($0.id), "type": "phy", "ethernet_mac_address": .string($0.macAddress)]
        }
      } else {
        entry["type"] = "phy"
        entry["ethernet_mac_address"] = .string(attachment.macAddress)
      }
      links.append(.object(entry))
      for fixed in attachment.port.fixedIPs {
        guard let subnet = attachment.subnets.first(where: { $0.id == fixed.subnetID }) else { continue }
        var routes: [JSON] = []
        // One default route per IP version: a second would win or lose by chance.
        if let gateway = subnet.gateway, hasDefaultRoute.insert(subnet.version).inserted {
          let zero = IPAddress(version: subnet.version, value: 0)
          routes.append(route(zero, zero, gateway.description))
        }
        for item in subnet.hostRoutes {
          guard let destination = CIDR(item.destination) else { continue }
          routes.append(route(destination.network, destination.netmask, item.nextHop))
        }
        networks.append([
          "id": .string("network\(networks.count)"), "network_id": .string(attachment.network.id),
          "link": .string(link),
          "type": .string(subnet.version == 4 ? "ipv4" : "ipv6"), "ip_address": .string(fixed.address.description),
          "netmask": .string(subnet.cidr.netmask.description), "routes": .array(routes),
          "services": .array(subnet.dnsNameservers.map { ["type": "dns", "address": .string($0)] }),
        ])
        for server in subnet.dnsNameservers where !nameservers.contains(server) { nameservers.append(server) }
      }
    }
    return [
      "links": .array(links), "networks": .array(networks),
      "services": .array(nameservers.map { ["type": "dns", "address": .string($0)] }),
    ]
  }

  private static func name(_ port: String) -> String { "tap" + port.prefix(11) }
  private static func route(_ network: IPAddress, _ netmask: IPAddress, _ gateway: String) -> JSON {
    [
      "network": .string(network.description), "netmask": .string(netmask.description), "gateway": .string(gateway),
    ]
  }
}
