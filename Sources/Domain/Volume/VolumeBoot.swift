import Wire

/// A machine that boots from a volume or from what the boot server has for it, or reaches volumes beside its own disk: by which NIC,
/// with which address on the provisioning network.
///
/// The NIC stays there as long as the machine has the volume or the ramdisk, and may talk to the volumes' portals and the boot server
/// alone: its switch port filters by its MAC and this address, and the boot server gives what is the machine's to nobody else.
public struct VolumeBoot: Sendable, Equatable {
  public var nodeID: String
  public var mac: MACAddress
  /// Four numbers with dots.
  public var address: String
  /// Of the volume that it boots from; nil for one that boots from elsewhere.
  public var attachmentID: String?
  /// What it runs from its memory; nil for one that does not.
  public var ramdisk: RamdiskBoot?
  /// The machine boots from its disk, and reaches volumes by this NIC.
  public var isForDataAlone: Bool { attachmentID == nil && ramdisk == nil }

  public init(nodeID: String, mac: MACAddress, address: String, attachmentID: String?, ramdisk: RamdiskBoot? = nil) {
    self.nodeID = nodeID
    self.mac = mac
    self.address = address
    self.attachmentID = attachmentID
    self.ramdisk = ramdisk
  }

  /// What its DHCP admission is labelled with.
  public var label: String { Self.label(node: nodeID) }
  public static func label(node: String) -> String { "volume-boot/\(node)" }
}

/// How a site boots machines from volumes.
public struct VolumeBootSettings: Sendable, Equatable {
  /// The boot server for these machines: its address on the provisioning network, and a port of its own that gives nothing
  /// but their boot scripts.
  public var server: String
  public var port: Int
  /// Addresses for these machines on the provisioning network, which DHCP gives to nobody else.
  public var first: String
  public var last: String
  /// Where the volumes' targets are: "10.77.0.1:3260".
  public var portals: [String]

  public init(server: String, port: Int, first: String, last: String, portals: [String]) {
    self.server = server
    self.port = port
    self.first = first
    self.last = last
    self.portals = portals
  }

  /// What such a machine may reach of the provisioning network: the targets, its boot script, and TFTP.
  public func accessList(of boot: VolumeBoot) -> AccessList {
    func host(_ address: String) -> CIDR? { CIDR("\(address)/32") }
    var rules = portals.compactMap { portal -> AccessList.Rule? in
      let parts = portal.split(separator: ":")
      guard parts.count == 2, let number = Int(parts[1]), let host = host(String(parts[0])) else { return nil }
      return AccessList.Rule(
        direction: .egress, version: 4, protocolNumber: 6, minimum: number, maximum: number, remote: host)
    }
    if let host = host(server) {
      rules.append(
        AccessList.Rule(direction: .egress, version: 4, protocolNumber: 6, minimum: port, maximum: port, remote: host))
      // TFTP answers from a port of its own choice.
      for direction in [SecurityGroupRule.Direction.egress, .ingress] {
        rules.append(AccessList.Rule(direction: direction, version: 4, protocolNumber: 17, remote: host))
      }
    }
    return AccessList(sources: [.init(mac: boot.mac, block: host(boot.address))], rules: rules)
  }
}
