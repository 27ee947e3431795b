import Domain
import DriverInterfaces
import Glibc
import Synchronization
import Wire

/// A number that one thread writes and others look at.
final class Atomic64: Sendable {
  private let number = Atomic<Int>(0)
  var value: Int {
    get { number.load(ordering: .relaxed) }
    set { number.store(newValue, ordering: .relaxed) }
  }
}

/// The files of one image in the cache. All functions block: on a ``FileThread``.
struct CachePaths: Sendable {
  let folder: ImageFolder
  let imageID: String

  /// The finished raw form.
  var raw: String { "\(folder.cache)/\(imageID).raw" }
  /// What the raw form was made from, its own hash and size; without it the raw form does not count.
  var facts: String { "\(folder.cache)/\(imageID).json" }
  /// Under construction.
  var part: String { "\(folder.cache)/\(imageID).raw.part" }
  /// The source under a name of the conversion's own.
  var source: String { "\(folder.cache)/\(imageID).source.part" }
  /// What was compressed, unpacked.
  var unpacked: String { "\(folder.cache)/\(imageID).unpacked.part" }
  /// Removes what a conversion that failed has left.
  func removeParts() { for path in [source, unpacked, part, blocksPart] { unlink(path) } }

  func removeRaw() { for path in [facts, raw] { unlink(path) } }

  private var content: String { folder.content(of: imageID) }
  private func missing() -> DriverError {
    DriverError(
      .refused, device: .image(imageID),
      detail: "Its content is gone from the server's disk: delete the image and make it again.")
  }

  /// A second name for the content of a raw image; the content's own where the disk has no hard links.
  func linkContent() throws -> String {
    guard isRegular(content) else { throw missing() }
    for _ in 0..<2 {
      if link(content, raw) == 0 { return raw }
      guard errno == EEXIST else { return content }
      if isContent(raw) {
        utimensat(AT_FDCWD, raw, nil, 0)
        return raw
      }
      // Of an image that had the same id and was deleted.
      unlink(raw)
    }
    return content
  }
  /// A file, and not a way to somewhere else.
  private func isRegular(_ path: String) -> Bool {
    var information = stat()
    return lstat(path, &information) == 0 && information.st_mode & S_IFMT == S_IFREG
  }
  /// True when `path` is another name of the image's content.
  private func isContent(_ path: String) -> Bool {
    var (first, second) = (stat(), stat())
    return stat(content, &first) == 0 && stat(path, &second) == 0 && first.st_ino == second.st_ino
      && first.st_dev == second.st_dev
  }
  /// Gives the source a name of the conversion's own, so that what is checked is what is converted.
  /// - Returns: the name; the content's own where the disk has no hard links.
  func linkSource() throws -> String {
    unlink(source)
    unlink(part)
    guard isRegular(content) else { throw missing() }
    if link(content, source) == 0 { return source }
    guard errno != ENOENT else { throw missing() }
    return content
  }

  /// Makes an empty file to be written by a converter.
  /// - Parameter size: bytes, all of them a hole.
  func makeTarget(_ path: String, size: Int = 0) throws {
    unlink(path)
    let descriptor = try Files.open(path, O_WRONLY | O_CREAT | O_EXCL)
    defer { close(descriptor) }
    guard ftruncate(descriptor, off_t(size)) == 0 else { throw FileError("make \(path)") }
  }

  /// Looks at a file again: what is in the database was written long ago, and what was compressed was not looked at as a whole.
  func inspect(_ path: String, declared format: String) throws -> ImageContent {
    try look(path) { head, tail, size throws(ImageContent.Refusal) in
      try ImageContent.inspect(declared: format, head: head, tail: tail, size: size)
    }
  }
  /// How a file is compressed.
  func compression(of path: String) throws -> String {
    try look(path) { head, tail, _ throws(ImageContent.Refusal) in try ImageContent.compression(head: head, tail: tail)
    }
  }
  private func look<T>(
    _ path: String, _ body: (_ head: [UInt8], _ tail: [UInt8], _ size: Int) throws(ImageContent.Refusal) -> T
  ) throws -> T {
    let descriptor = try Files.open(path, O_RDONLY)
    defer { close(descriptor) }
    let size = try Files.size(descriptor)
    let start = max(0, size - ImageContent.tailLength)
    let head = try Files.read(descriptor, at: 0, count: min(size, ImageContent.headLength))
    let tail = try Files.read(descriptor, at: start, count: size - start)
    do { return try body(head, tail, size) } catch {
      throw DriverError(.refused, device: .image(imageID), detail: error.description)
    }
  }

  /// How much of the raw form is on disk.
  func partFraction(of disk: Int) -> Double {
    var information = stat()
    guard stat(part, &information) == 0, disk > 0 else { return 0 }
    return Double(information.st_blocks) * 512 / Double(disk)
  }

  /// The raw form, if it is whole and was made from this source; it counts as used now.
  func finished(source: String) throws -> RawImage? {
    guard let descriptor = try? Files.open(facts, O_RDONLY) else { return nil }
    defer { close(descriptor) }
    let bytes = try Files.read(descriptor, at: 0, count: 4096)
    guard let json = try? JSON.parse(bytes), json["source_sha512"]?.string == source,
      let digest = json["blocks_sha256"]?.string,
      let size = json["size_bytes"]?.int
    else { return nil }
    guard let file = try? Files.open(raw, O_RDONLY) else { return nil }
    defer { close(file) }
    guard try Files.size(file) == size else { return nil }
    utimensat(AT_FDCWD, raw, nil, 0)
    return RawImage(path: raw, size: size, digest: digest)
  }

  func finish(digest: String, source: String) throws -> RawImage {
    let descriptor = try Files.open(part, O_RDONLY)
    let size = try Files.size(descriptor)
    close(descriptor)
    unlink(facts)
    try Files.publish(part, as: raw)
    let json: JSON = ["source_sha512": .string(source), "blocks_sha256": .string(digest), "size_bytes": .int(size)]
    try publish(Array(json.description.utf8), as: facts)
    return RawImage(path: raw, size: size, digest: digest)
  }

  /// Removes raw and packed forms until the cache takes no more than `limit` bytes of the disk.
  /// - Parameters:
  ///   - spared: an image that stays.
  ///   - unusedFor: seconds since the last use that a form must have.
  /// - Returns: the names of the files that are gone.
  static func evict(
    _ folder: ImageFolder, limit: Int, sparing spared: String, unusedFor: Int, now: Int
  ) throws -> [String] {
    var entries: [(name: String, bytes: Int, usedAt: Int)] = []
    for name in try Files.names(in: folder.cache) where name.hasSuffix(".raw") || name.hasSuffix(".blocks") {
      var information = stat()
      guard stat("\(folder.cache)/\(name)", &information) == 0 else { continue }
      // A second name of an image's own content costs nothing.
      let bytes = information.st_nlink > 1 ? 0 : Int(information.st_blocks) * 512
      entries.append((name, bytes, information.st_mtim.tv_sec))
    }
    var total = entries.reduce(0) { $0 + $1.bytes }
    var removed: [String] = []
    for entry in entries.sorted(by: { $0.usedAt < $1.usedAt }) where total > limit {
      let paths = CachePaths(folder: folder, imageID: String(entry.name.prefix { $0 != "." }))
      guard entry.bytes > 0, paths.imageID != spared, now - entry.usedAt > unusedFor else { continue }
      if entry.name.hasSuffix(".raw") { paths.removeRaw() } else { paths.removePacked() }
      total -= entry.bytes
      removed.append(entry.name)
    }
    return removed
  }
}
