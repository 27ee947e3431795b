import Domain
import Store
import Wire

/// Machines that run a kernel and a ramdisk from their memory: nothing is written to their disks.
extension Conductor {
  /// The images of a kernel and a ramdisk that are to be run.
  public struct RamdiskImages: Sendable, Equatable {
    public var kernel: String
    public var ramdisk: String
  }

  /// What a node's next deployment runs from memory; nil when it writes an image to a disk, or boots from a volume.
  ///
  /// Source: Ironic, "Ramdisk deploy interface": `instance_info` `kernel` and `ramdisk`, or an `image_source` with `kernel_id`
  /// and `ramdisk_id`. Such an image says so itself when it is no disk (``Image/isStateless``), and so do `kernel` and
  /// `ramdisk` without an `image_source`, whatever the node's deploy interface is.
  /// - Throws: ``ConductorError`` `.badRequest` when the deploy interface is `ramdisk` and there is nothing to run.
  public func ramdiskImages(of node: Node, in session: any Session) throws -> RamdiskImages? {
    guard let type = hardwareType(named: node.driver), type.needsAgent else { return nil }
    let isChosen = type.implementation(of: .deploy, for: node) == "ramdisk"
    let info = node.instanceInfo
    let source = Self.imageID(info["image_source"]?.string ?? "")
    if isChosen || source.isEmpty, let kernel = info["kernel"]?.string, let ramdisk = info["ramdisk"]?.string,
      !kernel.isEmpty, !ramdisk.isEmpty
    {
      return RamdiskImages(kernel: Self.imageID(kernel), ramdisk: Self.imageID(ramdisk))
    }
    let image = source.isEmpty ? nil : try ImageStore.get(source, in: session)
    if let image, isChosen || image.isStateless, let (kernel, ramdisk) = image.kernelAndRamdisk {
      return RamdiskImages(kernel: Self.imageID(kernel), ramdisk: Self.imageID(ramdisk))
    }
    guard isChosen else { return nil }
    throw ConductorError(
      .badRequest,
      "The deploy interface of node \(node.uuid) is ramdisk: set instance_info kernel and ramdisk to the ids of two images, or image_source to one with the properties kernel_id and ramdisk_id."
    )
  }

  /// "glance://ID", or an id.
  public static func imageID(_ source: String) -> String {
    source.hasPrefix("glance://") ? String(source.dropFirst("glance://".count)) : source
  }

  /// Checks what such a deployment needs, takes the NIC for it, and collects its parameters.
  func ramdiskDeployment(
    _ node: Node, _ images: RamdiskImages, _ parameters: JSONObject, in session: any Session
  ) throws -> JSONObject {
    for (member, id) in [("kernel", images.kernel), ("ramdisk", images.ramdisk)] {
      guard let image = try ImageStore.get(id, in: session), image.status == .active else {
        throw ConductorError(.badRequest, "Image \(id.prefix(200)) (\(member)) could not be found, or is not active.")
      }
    }
    let source = try ImageStore.get(Self.imageID(node.instanceInfo["image_source"]?.string ?? ""), in: session)
    let words =
      node.instanceInfo["kernel_append_params"]?.string ?? source?.properties["os_command_line"]?.string
      ?? KernelLine.usual
    guard let line = KernelLine(words) else {
      throw ConductorError(
        .badRequest,
        "The kernel's command line (instance_info kernel_append_params, or the image's os_command_line) has up to \(KernelLine.longest) letters, digits, spaces and . _ : / = , @ + % ~ [ ] * - and nothing else."
      )
    }
    let boot = RamdiskBoot(name: "\(node.uuid).\(Identifier.uuid())", line: line)
    try reserveBootNIC(of: node, in: session)
    try VolumeBootStore.set(boot, node: node.uuid, in: session)
    var params: JSONObject = [
      "kernel": .string(images.kernel), "ramdisk": .string(images.ramdisk), "name": .string(boot.name),
    ]
    if let drive = parameters["configdrive"], !drive.isNull {
      guard drive.object != nil else {
        throw ConductorError(
          .badRequest,
          "A machine that runs from its memory has no disk for an ISO: give the config drive as an object with meta_data, network_data, user_data and vendor_data."
        )
      }
      params["config_drive"] = drive
    }
    return params
  }

  /// The NIC that a machine boots by when it has no system of its own; one that is there is kept.
  /// - Throws: ``ConductorError`` `.conflict` when there is none, or it has another that cannot boot.
  func reserveBootNIC(of node: Node, in session: any Session) throws {
    guard let nic = try VolumeBootStore.get(node: node.uuid, in: session) else {
      return try reserveBoot(of: node, nil, in: session)
    }
    let port = try PortStore.byAddress("\(nic.mac)", in: session)
    guard port?.isPXEEnabled == true, nic.attachmentID == nil else {
      throw ConductorError(
        .conflict,
        "Node \(node.uuid) reaches its volumes by a NIC that it cannot boot from this server by: detach them first.")
    }
  }

  // MARK: What the boot server gives

  /// What a machine without a system of its own boots.
  public enum NetworkBoot: Sendable {
    case volume(VolumeBootRequest)
    case ramdisk(KernelLine, mac: MACAddress)
  }
  /// - Parameter address: where the request came from; with another than the machine's own there is nothing.
  public func networkBoot(mac: MACAddress, address: String) async throws -> NetworkBoot? {
    if let volume = try await volumeBootRequest(mac: mac, address: address) { return .volume(volume) }
    let boot = try await database.read { try VolumeBootStore.get(mac: mac, address: address, in: $0) }
    return boot?.ramdisk.map { .ramdisk($0.line, mac: mac) }
  }
  /// The path of a file that a machine runs from its memory; nil for every other machine.
  public func ramdiskFile(_ file: RamdiskBoot.File, mac: MACAddress, address: String) async throws -> String? {
    let boot = try await database.read { try VolumeBootStore.get(mac: mac, address: address, in: $0) }
    return boot?.ramdisk.map { "\(parts.ramdiskFolder)/\($0.name)/\(file.rawValue)" }
  }
}
