import Domain
import Store
import Wire
import Workflows

/// Machines that boot from volumes, by Ironic's volume targets and connectors.
extension Conductor {
  /// Reserves the volumes that a node's volume targets name, for a deployment without an image.
  ///
  /// - Returns: false when no target names one of our volumes as the boot volume.
  /// - Throws: ``ConductorError`` when one cannot be had: it is another project's (as if there were none), or in use.
  func reserveVolumes(of node: Node, by requester: Requester, in session: any Session) throws -> Bool {
    var filter = VolumePartFilter(scope: .everything, paging: Paging(by: VolumeTargetStore.Key.bootIndex))
    filter.node = node.uuid
    let targets = try VolumeTargetStore.list(filter, box: database.secrets, in: session)
    guard let first = targets.first(where: { $0.bootIndex == 0 }) else { return false }
    var boot: VolumeAttachment?
    for target in targets {
      // Only of the project that asks: its volume must not be had by naming it.
      guard let volume = try VolumeStore.get(target.volumeID.lowercased(), in: session),
        volume.projectID == requester.projectID
      else {
        throw ConductorError(
          .badRequest,
          "Volume \(target.volumeID) of the node's volume target \(target.uuid) could not be found: name one of your own volumes."
        )
      }
      let attachment = try reserve(volume, for: node, in: session)
      if target.uuid == first.uuid { boot = attachment }
    }
    if let boot { try reserveBoot(of: node, boot, in: session) }
    return true
  }

  /// An attachment of a volume to a node.
  /// - Throws: ``ConductorError`` `.conflict` unless the volume is available, or being made.
  func reserve(_ volume: Volume, for node: Node, in session: any Session) throws -> VolumeAttachment {
    guard volume.status == .available || volume.status == .creating else {
      throw ConductorError(
        .conflict, "Volume \(volume.id) is \(volume.status.rawValue): it must be available to be attached to a machine."
      )
    }
    var reserved = volume
    return try give(reserve(&reserved, in: session), of: volume, to: node, in: session)
  }
  /// An attachment that is reserved is to be a node's.
  func give(
    _ attachment: VolumeAttachment, of volume: Volume, to node: Node, in session: any Session
  ) throws -> VolumeAttachment {
    var (attachment, volume) = (attachment, volume)
    attachment.nodeID = node.uuid
    attachment.instanceID = node.instanceUUID
    attachment.connector = [
      "initiator": .string(try initiator(of: node, in: session)), "host": .string(node.label),
    ]
    attachment.status = .attaching
    try VolumeAttachmentStore.update(attachment, in: session)
    if volume.status != .creating { volume.status = .attaching }
    volume.updatedAt = clock()
    try VolumeStore.update(volume, in: session)
    return attachment
  }

  /// The iSCSI name of a machine: of its volume connector, else its own.
  func initiator(of node: Node, in session: any Session) throws -> String {
    var filter = VolumePartFilter(scope: .everything, paging: Paging(by: VolumeConnectorStore.Key.createdAt))
    filter.node = node.uuid
    let named = try VolumeConnectorStore.list(filter, in: session).first { $0.type == "iqn" }?.connectorID
    guard let named else { return "iqn.2026-11.org.steelyard:node-\(node.uuid)" }
    guard VolumeAttachment.isInitiatorName(named) else {
      throw ConductorError(
        .badRequest,
        "The volume connector '\(named.prefix(223))' is no iSCSI name: iqn.YYYY-MM.domain:name is expected.")
    }
    return named
  }

  /// The NIC and the address by which the machine reaches its boot volume, or with nil the boot server.
  func reserveBoot(of node: Node, _ attachment: VolumeAttachment?, in session: any Session) throws {
    try reserveNIC(of: node, attachment, boots: true, in: session)
  }
  /// The NIC and the address by which the machine reaches its volumes: nothing but those. One that is there is kept.
  /// - Parameters:
  ///   - boot: of the volume that it boots from; nil for one that boots from elsewhere.
  ///   - boots: whether it boots by this NIC.
  /// - Returns: whether a NIC was taken: hardware that no switch or agent of ours serves reaches them by itself.
  @discardableResult
  func reserveNIC(of node: Node, _ boot: VolumeAttachment?, boots: Bool = false, in session: any Session) throws -> Bool
  {
    guard hardwareType(named: node.driver)?.needsAgent != false, boots || parts.isWired(node),
      try VolumeBootStore.get(node: node.uuid, in: session) == nil
    else { return false }
    guard let site = settings.volumeBoot else {
      throw ConductorError(
        .conflict,
        "Machines of this site boot from their disks alone, and reach no volumes: its configuration has no addresses for that (provisioning.volume_first). Ask the administrator."
      )
    }
    let free = try PortStore.list(node: node.uuid, in: session).filter {
      $0.vifPortID == nil && $0.portGroupUUID == nil && (boots ? $0.isPXEEnabled : $0.switchPort != nil)
    }
    // The NIC carries the volume's network alone. For data, one that the deployment does not use is better.
    guard let nic = free.first(where: { boots || !$0.isPXEEnabled }) ?? free.first,
      let mac = MACAddress(nic.address)
    else {
      throw ConductorError(
        .conflict,
        !boots
          ? "Node \(node.uuid) has no NIC left to reach a volume by: one must have no network attached, because it carries the volume alone. Detach a network, or use a machine with another NIC."
          : "Node \(node.uuid) has no NIC left to \(boot == nil ? "boot" : "reach a volume") by: one that may boot over the network must have no network attached. Detach one, or attach it to another NIC."
      )
    }
    let taken = Set(try VolumeBootStore.all(in: session).map(\.address))
    guard let first = IPAddress(site.first), let last = IPAddress(site.last),
      let address = Self.free(first, last, taken, for: mac)
    else {
      throw ConductorError(
        .conflict,
        "All addresses for machines that boot from volumes or from memory are taken: the administrator can give more (provisioning.volume_last)."
      )
    }
    try VolumeBootStore.insert(
      VolumeBoot(nodeID: node.uuid, mac: mac, address: address, attachmentID: boot?.id), in: session)
    return true
  }
  /// A free address, the same one for the same NIC where it can be: another's DHCP lease may still hold one that was just left.
  private static func free(_ first: IPAddress, _ last: IPAddress, _ taken: Set<String>, for mac: MACAddress) -> String?
  {
    let count = last.value - first.value + 1
    let start = mac.description.utf8.reduce(0) { ($0 &* 31 &+ UInt32($1)) }
    return (0..<count).lazy.map { step in
      IPAddress(version: 4, value: first.value + (step + UInt128(start)) % count).description
    }.first { !taken.contains($0) }
  }

  /// What a NIC needs to boot from its volume.
  public struct VolumeBootRequest: Sendable {
    public var initiator: String
    public var userName: String
    public var password: String
    public var target: String
    /// Host and port.
    public var portals: [String]
    public var lun: Int
  }
  /// - Parameter address: where the request came from; with another than the machine's own there is nothing.
  public func volumeBootRequest(mac: MACAddress, address: String) async throws -> VolumeBootRequest? {
    let box = database.secrets
    return try await database.read { session in
      guard let boot = try VolumeBootStore.get(mac: mac, address: address, in: session),
        let id = boot.attachmentID, let attachment = try VolumeAttachmentStore.get(id, box: box, in: session),
        let initiator = attachment.initiators.first, let target = attachment.access["target_iqn"]?.string
      else { return nil }
      return VolumeBootRequest(
        initiator: initiator, userName: attachment.userName, password: attachment.password, target: target,
        portals: attachment.access["target_portals"]?.array?.compactMap(\.string) ?? [],
        lun: attachment.access["target_lun"]?.int ?? 1)
    }
  }
}
