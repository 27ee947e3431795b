import Wire

/// What a network port (Ironic's VIF) is attached to: a NIC of a node, or a port group whose members carry it together.
///
/// Source: Ironic, `drivers/modules/network/common.py` ("port-like object").
public enum VIFHolder: Sendable, Equatable {
  case port(Port)
  case portGroup(PortGroup, members: [Port])

  public var uuid: String {
    switch self {
    case .port(let port): port.uuid
    case .portGroup(let group, _): group.uuid
    }
  }
  public var nodeUUID: String {
    switch self {
    case .port(let port): port.nodeUUID
    case .portGroup(let group, _): group.nodeUUID
    }
  }
  /// The NICs that carry the network port.
  public var nics: [Port] {
    switch self {
    case .port(let port): [port]
    case .portGroup(_, let members): members
    }
  }
  /// The network port attached to it.
  public var vifPortID: String? {
    switch self {
    case .port(let port): port.vifPortID
    case .portGroup(let group, _): group.vifPortID
    }
  }
  /// What the machine sends from: the NIC's address, or the bond's. A bond without one of its own takes that of its first
  /// member, as Linux does (bonding.txt, section 11.1 and `fail_over_mac`).
  public var macAddress: String {
    switch self {
    case .port(let port): port.address
    case .portGroup(let group, let members): group.address ?? members.first?.address ?? ""
    }
  }
  /// That of all its NICs; nil where the administrator named none.
  public var physicalNetwork: String? { nics.first?.physicalNetwork }
  /// Whether it may boot over the network; a port group is preferred like a NIC that may.
  public var isPXEEnabled: Bool {
    if case .port(let port) = self { port.isPXEEnabled } else { true }
  }
  public var isPortGroup: Bool {
    if case .portGroup = self { true } else { false }
  }
  /// As Ironic's sentences name it: "Ironic Port U", "Ironic Portgroup U".
  public var label: String { isPortGroup ? "Ironic Portgroup \(uuid)" : "Ironic Port \(uuid)" }

  /// What `binding:profile` says of where the network port is: the switch port of every NIC, and for a bond how it is made.
  ///
  /// Source: Ironic, `plug_port_to_tenant_network` and `get_local_group_information`.
  public var bindingProfile: JSONObject {
    var profile: JSONObject = ["local_link_information": .array(nics.map { .object($0.localLinkConnection) })]
    if case .portGroup(let group, _) = self {
      profile["local_group_information"] = [
        "id": .string(group.uuid), "name": JSON(group.name), "bond_mode": .string(group.mode),
        "bond_properties": .object(group.bondOptions),
      ]
    }
    if let physicalNetwork { profile["physical_network"] = .string(physicalNetwork) }
    return profile
  }
  /// The members of ``bindingProfile``: they are the site's, and go with the attachment.
  public static let bindingProfileKeys = ["local_link_information", "local_group_information", "physical_network"]
}

extension PortGroup {
  /// ``properties`` under the names that cloud-init looks for: `miimon` becomes `bond_miimon`.
  public var bondOptions: JSONObject {
    properties.reduce(into: [:]) { options, member in
      options[member.key.hasPrefix("bond") ? member.key : "bond_\(member.key)"] = member.value
    }
  }
}
