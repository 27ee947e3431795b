import BlockMaps
import DriverInterfaces
import Glibc
import Wire

/// The packed form of an image in the cache: `ID.blocks`, `ID.map`, and `ID.packed`, which says what they were made from, is
/// written last, and without which they do not count. All functions block: on a ``FileThread``.
extension CachePaths {
  var blocks: String { "\(folder.cache)/\(imageID).blocks" }
  var map: String { "\(folder.cache)/\(imageID).map" }
  var packedFacts: String { "\(folder.cache)/\(imageID).packed" }
  /// Under construction.
  var blocksPart: String { blocks + ".part" }

  func removePacked() { for path in [packedFacts, map, blocks] { unlink(path) } }

  /// The packed form, if it is whole and was made from this source; it counts as used now.
  /// - Parameter source: SHA-512 of the image's content.
  func finishedPacked(source: String) throws -> PackedImage? {
    guard let descriptor = try? Files.open(packedFacts, O_RDONLY) else { return nil }
    defer { close(descriptor) }
    let bytes = try Files.read(descriptor, at: 0, count: 4096)
    guard let json = try? JSON.parse(bytes), json["source_sha512"]?.string == source,
      let mapSHA256 = json["map_sha256"]?.string, let mapSize = json["map_bytes"]?.int,
      let size = json["size_bytes"]?.int, let packed = json["blocks_bytes"]?.int,
      try fileSize(map) == mapSize, try fileSize(blocks) == packed
    else { return nil }
    utimensat(AT_FDCWD, blocks, nil, 0)
    return PackedImage(map: map, mapSize: mapSize, mapSHA256: mapSHA256, blocks: blocks, size: size)
  }

  /// Gives what was packed its names.
  func finishPacked(_ result: Packing.Result, source: String) throws -> PackedImage {
    removePacked()
    try Files.publish(blocksPart, as: blocks)
    try publish(result.map, as: map)
    let facts: JSON = [
      "source_sha512": .string(source), "map_sha256": .string(result.mapSHA256), "map_bytes": .int(result.map.count),
      "size_bytes": .int(result.size), "blocks_bytes": .int(try fileSize(blocks) ?? 0),
    ]
    try publish(Array(facts.description.utf8), as: packedFacts)
    return PackedImage(
      map: map, mapSize: result.map.count, mapSHA256: result.mapSHA256, blocks: blocks, size: result.size)
  }

  /// Writes a small file under a name of its own, durably.
  func publish(_ bytes: [UInt8], as path: String) throws {
    let temporary = path + ".part"
    unlink(temporary)
    let file = try Files.open(temporary, O_WRONLY | O_CREAT | O_EXCL)
    do {
      defer { close(file) }
      try bytes.withUnsafeBytes { try Files.write($0, to: file) }
    }
    try Files.publish(temporary, as: path)
  }

  private func fileSize(_ path: String) throws -> Int? {
    guard let file = try? Files.open(path, O_RDONLY) else { return nil }
    defer { close(file) }
    return try Files.size(file)
  }
}
