import BlockMaps
import Glibc
import Processes

/// The content of machines' disks on its way in: blocks at their places in a sparse file each, and at the end the map that says
/// what they must be.
///
/// `WORKFLOW.disk` and `WORKFLOW.map`; they go with the workflow, and what a killed server left goes with the sweeper. Blocks come in any order and
/// as often as they like: a batch that was cut short is sent again.
struct CaptureFolder: Sendable {
  /// "<data folder>/captures"
  let path: String

  func disk(_ workflow: String) -> String { "\(path)/\(workflow).disk" }
  func map(_ workflow: String) -> String { "\(path)/\(workflow).map" }

  /// Takes whole frames (``BlockCoder``) of a disk of `size` bytes.
  /// - Throws: ``ConductorError`` `.badRequest` for what is not blocks of such a disk, `.conflict` when the server's disk is full.
  func take(_ frames: [UInt8], size: Int, blockSize: Int, of workflow: String) async throws {
    guard let count = BlockMap.count(size: size, blockSize: blockSize) else {
      throw ConductorError(.badRequest, "A disk of \(size) bytes in blocks of \(blockSize) is not taken.")
    }
    try await onThread {
      let descriptor = try open(disk(workflow), O_RDWR | O_CREAT)
      defer { close(descriptor) }
      let known = try Files.size(descriptor)
      guard known == 0 || known == size else {
        throw ConductorError(.badRequest, "The disk had \(known) bytes before and has \(size) now.")
      }
      guard known == size || ftruncate(descriptor, off_t(size)) == 0 else { throw FileError("make a disk's file") }
      let coder = BlockCoder()
      let block = UnsafeMutableRawBufferPointer.allocate(byteCount: blockSize, alignment: 4096)
      defer { block.deallocate() }
      try frames.withUnsafeBytes { bytes in
        var rest = bytes
        while !rest.isEmpty {
          guard rest.count > BlockCoder.headerLength else { throw Self.damaged }
          let header = BlockCoder.Header(rest)
          rest = UnsafeRawBufferPointer(rebasing: rest[BlockCoder.headerLength...])
          guard header.index < count, header.storedLength > 0, header.storedLength <= rest.count else {
            throw Self.damaged
          }
          let start = header.index * blockSize
          let target = UnsafeMutableRawBufferPointer(rebasing: block[..<min(blockSize, size - start)])
          do {
            try coder.decode(UnsafeRawBufferPointer(rebasing: rest[..<header.storedLength]), into: target)
          } catch { throw Self.damaged }
          try Files.write(UnsafeRawBufferPointer(target), to: descriptor, at: start)
          rest = UnsafeRawBufferPointer(rebasing: rest[header.storedLength...])
        }
      }
    }
  }
  private static let damaged = ConductorError(.badRequest, "These are not blocks of the machine's disk.")

  /// Takes the map of the whole disk, after its blocks.
  func take(map bytes: [UInt8], of workflow: String) async throws {
    do { _ = try BlockMap(parsing: bytes) } catch { throw ConductorError(.badRequest, error.description) }
    try await onThread {
      let temporary = map(workflow) + ".part"
      unlink(temporary)
      let descriptor = try open(temporary, O_RDWR | O_CREAT)
      defer { close(descriptor) }
      try bytes.withUnsafeBytes { try Files.write($0, to: descriptor) }
      try Files.publish(temporary, as: map(workflow))
    }
  }

  /// The map as it came.
  /// - Throws: ``ConductorError`` `.conflict` when there is none.
  func readMap(_ workflow: String) async throws -> [UInt8] {
    try await onThread {
      do {
        let descriptor = try Files.open(map(workflow), O_RDONLY)
        defer { close(descriptor) }
        return try Files.read(descriptor, at: 0, count: Files.size(descriptor))
      } catch let error as FileError where error.number == ENOENT {
        throw ConductorError(.conflict, "The agent did not say what the disk holds; capture it again.")
      }
    }
  }

  func remove(_ workflow: String) {
    for name in [disk(workflow), map(workflow), map(workflow) + ".part"] { unlink(name) }
  }
  /// Full paths with the workflow's id.
  var files: [(workflow: String, path: String)] {
    fileNames(in: path).map { (String($0.prefix { $0 != "." }), "\(path)/\($0)") }
  }

  private func open(_ name: String, _ flags: Int32) throws -> Int32 {
    try Files.makeFolder(path)
    return try Files.open(name, flags)
  }
  private func onThread<T: Sendable>(_ body: @escaping @Sendable () throws -> T) async throws -> T {
    do { return try await FileThread.shared.run(body) } catch let error as FileError where error.isDiskFull {
      throw ConductorError(
        .conflict, "The server's disk is full: the administrator must free space; then capture again.")
    }
  }
}
