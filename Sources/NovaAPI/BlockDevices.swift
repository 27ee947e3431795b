import APISupport
import Domain
import Wire

/// The disks that a server is asked to have: an image on the machine's own disk, or a volume to boot from, and more volumes.
/// Source: Nova API reference, "Create Server", `block_device_mapping_v2`; Nova, "Block Device Mapping in Nova".
struct BlockDevices: Sendable {
  /// The image of the machine's disk.
  var imageID: String?
  var volumes: [ServerVolumeOrder] = []

  /// - Parameter image: the id in `imageRef`.
  init(_ input: ComputeInput, image: String?, _ version: Microversion) throws {
    imageID = image
    var boots = 0
    for mapping in try input.objects("block_device_mapping_v2") ?? [] {
      try read(ComputeInput(mapping), version, image, &boots)
    }
    let older = try input.objects("block_device_mapping") ?? []
    guard older.isEmpty || !input.has("block_device_mapping_v2") else {
      throw APIError.badRequest("Using different block_device_mapping syntaxes is not allowed in the same request.")
    }
    for (index, mapping) in older.enumerated() {
      try readOlder(ComputeInput(mapping), boots: index == 0 && image == nil)
    }
    boots += volumes.count(where: \.isBoot)
    let named = volumes.filter(\.isBoot).first
    if let named, image != nil {
      // The image is then that of the volume.
      guard named.source == image.map({ .image($0) }) else { throw Self.wrongOrder }
      imageID = nil
    }
    guard boots <= 1 else { throw Self.wrongOrder }
    guard imageID != nil || named != nil else {
      if volumes.isEmpty {
        throw APIError.badRequest(
          "Invalid imageRef provided: a server needs an image for its disk, or a volume to boot from.")
      }
      throw Self.wrongOrder
    }
    var seen: Set<String> = []
    for case .volume(let id) in volumes.map(\.source) where !seen.insert(id).inserted {
      throw Self.invalid("volume \(id) is named twice.")
    }
  }

  static let wrongOrder = invalid(
    "Boot sequence for the instance and image/block device mapping combination is not valid.")
  private static func invalid(_ sentence: String) -> APIError {
    .badRequest("Block Device Mapping is Invalid: \(sentence)")
  }

  private mutating func read(
    _ device: ComputeInput, _ version: Microversion, _ image: String?, _ boots: inout Int
  ) throws {
    var known: Set<String> = [
      "boot_index", "delete_on_termination", "destination_type", "device_name", "device_type", "disk_bus",
      "guest_format", "no_device", "source_type", "uuid", "volume_size", "snapshot_id", "volume_id", "virtual_name",
      "connection_info", "image_id",
    ]
    // Between 2.33 and 2.41 upstream has forgotten it.
    if version.minor == 32 || version.minor >= 42 { known.insert("tag") }
    if version.minor >= 67 { known.insert("volume_type") }
    try device.allow(known)
    if try device.bool("no_device") == true { return }
    let source = try device.text("source_type") ?? ""
    let target = try device.text("destination_type") ?? (["volume", "snapshot"].contains(source) ? "volume" : "local")
    guard ["local", "volume"].contains(target) else {
      throw Self.invalid("destination_type is local or volume.")
    }
    var index = try device.int("boot_index", -1_000_000...1_000_000)
    if source == "image", target == "local", !device.has("boot_index") { index = 0 }
    if target == "local" {
      guard source == "image" else {
        throw Self.invalid(
          "a machine has the disks that it has: \(source.prefix(20)) goes to a volume (destination_type).")
      }
      guard index == 0 else {
        if index == nil || index ?? 0 < 0 { return }
        throw Self.invalid("a machine has one system, with boot_index 0.")
      }
      guard let uuid = try device.uuid("uuid") ?? image else { throw Self.invalid("the image has no uuid.") }
      guard imageID == nil || imageID == uuid else { throw Self.invalid("it names another image than imageRef.") }
      imageID = uuid
      boots += 1
      return
    }
    var order = ServerVolumeOrder(try Self.source(source, device))
    order.size = try device.int("volume_size", 0...Volume.largestSize).flatMap { $0 == 0 ? nil : $0 }
    order.type = try device.text("volume_type", 0...255)
    order.bootIndex = index.flatMap { $0 < 0 ? nil : $0 }
    try finish(&order, device)
  }
  private static func source(_ word: String, _ device: ComputeInput) throws -> ServerVolumeOrder.Source {
    func id() throws -> String {
      guard let id = try device.uuid("uuid") else { throw invalid("the \(word) has no uuid.") }
      return id
    }
    switch word {
    case "image": return .image(try id())
    case "volume": return .volume(try id())
    case "snapshot": return .snapshot(try id())
    case "blank":
      guard !device.has("uuid") || device.value("uuid") == nil else {
        throw invalid("a blank volume has no uuid.")
      }
      return .blank
    default: throw invalid("source_type is image, volume, snapshot or blank.")
    }
  }
  private mutating func finish(_ order: inout ServerVolumeOrder, _ device: ComputeInput) throws {
    order.deletesOnTermination = try device.bool("delete_on_termination") ?? false
    order.tag = try device.value("tag").map { try ServerDraft.tag($0.string) }
    order.device = try Self.deviceName(device, "device_name")
    volumes.append(order)
  }

  /// "vdb" and "/dev/vdb" are one name. Source: Nova, `block_device.prepend_dev`.
  static func deviceName(_ input: ComputeInput, _ member: String) throws -> String? {
    guard let text = try input.text(member, 0...255), !text.isEmpty else { return nil }
    let name = text.hasPrefix("/dev/") ? String(text.dropFirst(5)) : text
    guard !name.isEmpty,
      name.utf8.allSatisfy({ (0x61...0x7a).contains($0) || (0x41...0x5a).contains($0) || (0x30...0x39).contains($0) })
    else { throw input.wrong(member, .string(text), "it is no name of a device like /dev/vdb") }
    return "/dev/\(name)"
  }

  /// The first form, of clients of before 2013: the volume of the first one is booted from where there is no image.
  private mutating func readOlder(_ device: ComputeInput, boots: Bool) throws {
    try device.allow([
      "device_name", "volume_id", "snapshot_id", "volume_size", "delete_on_termination", "no_device", "virtual_name",
      "connection_info",
    ])
    if try device.bool("no_device") == true { return }
    let snapshot = try device.uuid("snapshot_id")
    let volume = try device.uuid("volume_id")
    guard let source = snapshot.map({ ServerVolumeOrder.Source.snapshot($0) }) ?? volume.map({ .volume($0) }) else {
      throw Self.invalid("a mapping names volume_id or snapshot_id.")
    }
    var order = ServerVolumeOrder(source)
    order.size = try device.int("volume_size", 0...Volume.largestSize).flatMap { $0 == 0 ? nil : $0 }
    order.bootIndex = boots ? 0 : nil
    try finish(&order, device)
  }
}
