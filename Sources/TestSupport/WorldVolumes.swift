import DriverInterfaces
import Glibc
import Wire

/// Volumes that live in a ``World``: "volume/ID" is "BYTES CONTENT", "snapshot/ID" "VOLUME CONTENT", "export/ATTACHMENT" the
/// volume and who may log in. A thing named "fault/<verb>" makes that verb fail with its value.
public struct WorldVolumes: VolumeInterface {
  let world: World
  public init(_ world: World) { self.world = world }

  private func refused(_ sentence: String) -> DriverError {
    DriverError(.refused, device: .volumes("world"), detail: sentence)
  }
  private func parts(_ name: String) -> (String, String)? {
    guard let value = world.value(name) else { return nil }
    let words = value.split(separator: " ", maxSplits: 1).map { String($0) }
    return (words[0], words.count > 1 ? words[1] : "")
  }

  public func ensureVolume(_ volume: String, size: Int, from source: VolumeSource) async throws {
    try world.fail("make-volume", .volumes("world"))
    if world.value("volume/\(volume)") != nil { return }
    var content = "zeros"
    switch source {
    case .blank: break
    case .image(let image, _): content = "image \(image.digest)"
    case .snapshot(let id, let parent):
      guard let (of, kept) = parts("snapshot/\(id)"), of == parent else { throw refused("there is no snapshot \(id)") }
      content = kept
    case .volume(let id):
      guard let (_, kept) = parts("volume/\(id)") else { throw refused("there is no volume \(id)") }
      content = kept
    case .file(let path):
      guard access(path, R_OK) == 0 else { throw refused("there is no file \(path)") }
      content = "file \(path.split(separator: "/").last ?? "")"
    }
    try world.ensure("volume/\(volume)", "\(size) \(content)")
  }
  public func ensureSize(_ volume: String, _ size: Int) async throws {
    try world.fail("extend-volume", .volumes("world"))
    guard let (_, content) = parts("volume/\(volume)") else { throw refused("there is no volume \(volume)") }
    try world.ensure("volume/\(volume)", "\(size) \(content)")
  }
  public func removeVolume(_ volume: String) async throws {
    try world.fail("remove-volume", .volumes("world"))
    let isExported = world.values(prefix: "export/").values.contains { $0.hasPrefix(volume) }
    guard !isExported else { throw DriverError(.busy, device: .volumes("world"), detail: "it is exported") }
    try world.ensure("volume/\(volume)", nil)
  }
  public func ensureSnapshot(_ snapshot: String, of volume: String) async throws {
    try world.fail("make-snapshot", .volumes("world"))
    if world.value("snapshot/\(snapshot)") != nil { return }
    guard let (_, content) = parts("volume/\(volume)") else { throw refused("there is no volume \(volume)") }
    try world.ensure("snapshot/\(snapshot)", "\(volume) \(content)")
  }
  public func removeSnapshot(_ snapshot: String, of volume: String) async throws {
    try world.fail("remove-snapshot", .volumes("world"))
    try world.ensure("snapshot/\(snapshot)", nil)
  }
  public func revert(_ volume: String, to snapshot: String) async throws {
    try world.fail("revert-volume", .volumes("world"))
    guard let (_, content) = parts("snapshot/\(snapshot)"), let (size, _) = parts("volume/\(volume)") else {
      throw refused("there is no snapshot \(snapshot)")
    }
    try world.ensure("volume/\(volume)", "\(size) \(content)")
  }
  public func ensureExport(_ export: VolumeExport) async throws -> VolumeAccess {
    try world.fail("export", .volumes("world"))
    guard world.value("volume/\(export.volume)") != nil else { throw refused("there is no volume \(export.volume)") }
    try world.ensure("export/\(export.attachment)", "\(export.volume) \(export.initiators.joined(separator: ","))")
    try world.fail("heard-export", .volumes("world"))
    return VolumeAccess(target: "iqn.2026-11.org.steelyard:\(export.attachment)", portals: ["192.0.2.1:3260"], lun: 1)
  }
  public func removeExport(_ attachment: String) async throws {
    try world.fail("end-export", .volumes("world"))
    try world.ensure("export/\(attachment)", nil)
  }
  public func ensureReading(_ content: VolumeContent, reader: String) async throws -> String {
    try world.ensure("reading/\(reader)", "\(content)")
    return "/nowhere"
  }
  public func removeReading(_ reader: String) async throws { try world.ensure("reading/\(reader)", nil) }
  public func inventory() async throws -> VolumeInventory {
    try world.fail("inventory", .volumes("world"))
    return VolumeInventory(
      volumes: Set(world.values(prefix: "volume/").keys),
      snapshots: world.values(prefix: "snapshot/").mapValues { String($0.prefix { $0 != " " }) },
      exports: Set(world.values(prefix: "export/").keys), readings: Set(world.values(prefix: "reading/").keys))
  }
  public func stop() async throws {
    for name in world.values(prefix: "export/").keys { try world.ensure("export/\(name)", nil) }
  }
  public func capacity() async throws -> (total: Int, free: Int) {
    try world.fail("capacity", .volumes("world"))
    return (100 << 30, 60 << 30)
  }
}
