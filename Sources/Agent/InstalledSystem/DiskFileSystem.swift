/// A file system on a partition, read by this program: what a tenant's image holds never reaches the ramdisk's kernel as a file system
/// (docs/decisions/0026).
protocol DiskFileSystem {
  var partition: DiskPartition { get }
  /// As boot loaders search for it; compared without regard to case.
  var uuid: String { get }
  var label: String { get }
  var root: FileNode { get }
  func names(in folder: FileNode) throws -> [String]
  func find(_ name: String, in folder: FileNode) throws -> FileNode?
  /// Where the bytes of a file are, in order and in whole; together at least its size.
  func runs(of file: FileNode) throws -> [FileRun]
}

/// A file, a folder or a symbolic link.
struct FileNode {
  enum Kind { case file, folder, link, other }
  var kind: Kind
  /// In bytes.
  var size: Int
  /// The number by which the file system knows it.
  var number: Int
  /// What the file system keeps of it in place of blocks: where they are, or a short link.
  var own: [UInt8] = []
}

/// Bytes of a file that lie beside each other.
struct FileRun: Equatable {
  var length: Int
  /// Offset in the partition; nil for zeros.
  var place: Int?
}

extension DiskFileSystem {
  /// Of a folder; a hostile one could be as large as the disk.
  static var folderLimit: Int { 4 << 20 }

  /// The file or folder of an absolute path, links followed within this file system, as GRUB does it; nil when there is none.
  /// - Throws: ``AgentError`` for links that lead in circles.
  func open(_ path: String) throws -> FileNode? {
    var left = Array(path.split(separator: "/").map { String($0) }.reversed())
    var place = [root]
    var links = 0
    while let name = left.popLast() {
      if name == "." { continue }
      if name == ".." {
        if place.count > 1 { place.removeLast() }
        continue
      }
      guard let folder = place.last, folder.kind == .folder, let node = try find(name, in: folder) else { return nil }
      guard node.kind == .link else {
        place.append(node)
        continue
      }
      links += 1
      guard links <= 8, left.count < 256 else {
        throw AgentError(.refused, "the links of \(printable(path, limit: 100)) lead in circles")
      }
      let target = String(decoding: try content(of: node, limit: 4096), as: UTF8.self)
      if target.hasPrefix("/") { place = [root] }
      left += target.split(separator: "/").map { String($0) }.reversed()
    }
    return place.last
  }

  /// A whole file as text; nil when there is none.
  func text(_ path: String, limit: Int = 1 << 20) throws -> String? {
    guard let node = try open(path), node.kind == .file else { return nil }
    return String(decoding: try content(of: node, limit: limit), as: UTF8.self)
  }

  func content(of node: FileNode, limit: Int) throws -> [UInt8] {
    guard node.size <= limit else {
      throw AgentError(.refused, "a file of the boot loader has \(node.size) bytes; \(limit) is the most")
    }
    var bytes: [UInt8] = []
    bytes.reserveCapacity(node.size)
    try pieces(of: node) { bytes += $0 }
    return bytes
  }

  /// Gives the bytes of a file in pieces.
  func pieces(of node: FileNode, _ body: ([UInt8]) throws -> Void) throws {
    // A short link is kept where the blocks' places would be.
    if node.kind == .link, node.size <= node.own.count { return try body(Array(node.own[..<node.size])) }
    var left = node.size
    for run in try runs(of: node) where left > 0 {
      var done = 0
      let length = min(run.length, left)
      while done < length {
        let count = min(1 << 20, length - done)
        try body(run.place.map { try partition.read(count, at: $0 + done) } ?? [UInt8](repeating: 0, count: count))
        done += count
      }
      left -= length
    }
    guard left == 0 else {
      throw AgentError(.refused, "the file system of \(partition.name) is damaged: a file ends too early")
    }
  }
}

/// The file systems of a disk that can be read, and why others cannot.
struct DiskFileSystems {
  private(set) var all: [any DiskFileSystem] = []
  private(set) var problems: [String] = []

  init(of device: BlockDevice) throws {
    for partition in try DiskPartition.all(of: device) {
      do {
        let found: (any DiskFileSystem)? = try ExtFileSystem(partition) ?? FATFileSystem(partition)
        if let found { all.append(found) }
      } catch let error as AgentError {
        problems.append(error.description)
      }
    }
  }
}
