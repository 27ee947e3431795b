import Glibc
import Processes
import Synchronization

/// The files of ``LocalVolumes``: layers, and names that lead to them. All functions block.
///
/// A layer is a qcow2 file of ours over another layer, or the raw base of an image. Only the top layer of a volume is ever
/// written. A volume and a snapshot are symbolic links to a layer, replaced by rename(2); what no link leads to is nobody's.
final class LayerFiles: Sendable {
  let folder: String
  /// Layers that no link leads to yet, and how many are at them.
  private let beingMade = Mutex<[String: Int]>([:])

  let links: LinkFolder

  init(folder: String) {
    self.folder = folder
    links = LinkFolder(folder: folder)
  }

  /// A name that leads to a layer.
  enum Link: Sendable, Hashable {
    case volume(String)
    case snapshot(String, of: String)

    var path: String {
      switch self {
      case .volume(let id): "volumes/\(id)"
      // As Ceph writes it: a snapshot has no meaning without its volume.
      case .snapshot(let id, let volume): "snapshots/\(volume)@\(id)"
      }
    }
  }
  /// What the header of a layer tells.
  struct Layer: Sendable, Equatable {
    /// Bytes of the disk.
    var size: Int
    /// The layer below it.
    var backing: String?
  }

  func path(ofLayer name: String) -> String { "\(folder)/layers/\(name)" }

  // MARK: Links

  func layer(_ link: Link) -> String? { links[link.path].map { String($0.dropFirst("../layers/".count)) } }
  func set(_ link: Link, to layer: String) throws { try links.set(link.path, to: "../layers/\(layer)") }
  func remove(_ link: Link) throws { try links.remove(link.path) }

  var volumes: [String] { fileNames(in: "\(folder)/volumes") }
  /// Snapshot to volume.
  var snapshots: [String: String] {
    var found: [String: String] = [:]
    for name in fileNames(in: "\(folder)/snapshots") {
      let parts = name.split(separator: "@")
      if parts.count == 2 { found[String(parts[1])] = String(parts[0]) }
    }
    return found
  }

  // MARK: Layers

  /// Reads the header of a layer (docs/interop/qcow2.txt of QEMU). The file is of our making: nobody else writes a header.
  func header(_ name: String) throws -> Layer {
    let path = path(ofLayer: name)
    let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
    guard descriptor >= 0 else { throw FileFailure("open \(path)") }
    defer { close(descriptor) }
    if name.hasSuffix(".raw") {
      var information = stat()
      guard fstat(descriptor, &information) == 0 else { throw FileFailure("look at \(path)") }
      return Layer(size: (Int(information.st_size) + 511) / 512 * 512, backing: nil)
    }
    var head = [UInt8](repeating: 0, count: 4096)
    let count = pread(descriptor, &head, head.count, 0)
    func number(_ range: Range<Int>) -> Int { head[range].reduce(0) { $0 << 8 | Int($1) } }
    guard count >= 112, head[..<4].elementsEqual([0x51, 0x46, 0x49, 0xfb]) else {
      throw FileFailure("read \(path): it is no qcow2 file", EINVAL)
    }
    let (start, length) = (number(8..<16), number(16..<20))
    guard length > 0 else { return Layer(size: number(24..<32), backing: nil) }
    guard start + length <= count else { throw FileFailure("read \(path): its header is not one of ours", EINVAL) }
    return Layer(
      size: number(24..<32), backing: String(decoding: head[start..<start + length], as: UTF8.self))
  }

  /// A layer and all below it, the top first.
  func chain(from top: String) throws -> [String] {
    var chain = [top]
    while let backing = try header(chain[chain.count - 1]).backing {
      guard chain.count < 1000 else { throw FileFailure("read \(top): its layers have no end", ELOOP) }
      chain.append(backing)
    }
    return chain
  }

  /// Layers below the top of a volume that no link leads to and on which only the next one stands: the highest and the
  /// lowest of them, the names of those between included. Fewer than two: nil, there is nothing to merge.
  func mergeable(_ volume: String) throws -> [String]? {
    guard let top = layer(.volume(volume)) else { return nil }
    let chain = try chain(from: top)
    guard chain.count > 2 else { return nil }
    var linked = Set(volumes.compactMap { layer(.volume($0)) })
    linked.formUnion(snapshots.compactMap { layer(.snapshot($0.key, of: $0.value)) })
    var above: [String: Int] = [:]
    for name in fileNames(in: "\(folder)/layers") where name.hasSuffix(".qcow2") {
      // One that is being made stands on something that has a link.
      if let backing = try? header(name).backing { above[backing, default: 0] += 1 }
    }
    let run = chain.dropFirst().prefix { $0.hasSuffix(".qcow2") && !linked.contains($0) && above[$0] == 1 }
    return run.count > 1 ? Array(run) : nil
  }
  /// Bytes on the disk.
  func allocated(_ name: String) -> Int {
    var information = stat()
    return stat(path(ofLayer: name), &information) == 0 ? Int(information.st_blocks) * 512 : 0
  }

  /// Keeps a layer that no link leads to yet from being collected, until `body` has ended.
  func making<T>(_ layer: String, _ body: () async throws -> T) async throws -> T {
    beingMade.withLock { $0[layer, default: 0] += 1 }
    defer {
      beingMade.withLock { beingMade in
        let others = (beingMade[layer] ?? 1) - 1
        beingMade[layer] = others > 0 ? others : nil
      }
    }
    return try await body()
  }

  /// Removes the layers that no link leads to. By what is on the disk, never from memory: it also takes what a server left that
  /// was killed between a layer and its link.
  func collect() throws {
    try beingMade.withLock { beingMade in
      var kept: Set<String> = []
      var tops =
        volumes.compactMap { layer(.volume($0)) } + snapshots.compactMap { layer(.snapshot($0.key, of: $0.value)) }
      tops += beingMade.keys.filter { access(path(ofLayer: $0), F_OK) == 0 }
      for top in tops {
        var next: String? = top
        while let layer = next, kept.insert(layer).inserted {
          // One being made may have no header yet; what it stands on has a link of its own.
          next = beingMade[layer] != nil ? try? header(layer).backing : try header(layer).backing
        }
      }
      kept.formUnion(beingMade.keys)
      for layer in fileNames(in: "\(folder)/layers") where !kept.contains(layer) { unlink(path(ofLayer: layer)) }
    }
  }
}

/// A file operation that the system refused.
struct FileFailure: Error, Sendable, CustomStringConvertible {
  let number: Int32
  let description: String
  /// - Parameter what: "write /var/lib/…".
  init(_ what: String, _ number: Int32 = errno) {
    self.number = number
    description = "cannot \(what): \(errorText(number))"
  }
}
