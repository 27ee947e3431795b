import Cryptography
import Domain
import DriverInterfaces
import Glibc
import Logging
import Processes
import Store
import Wire
import Workflows

/// Images in their raw form, ready to be streamed to machines.
///
/// A raw image is used as it is, under a second name (a hard link), so that deleting the image does not cut a deployment
/// short. A qcow2 is unpacked once by `qemu-img`, never before its content was compared with the checksum that was
/// taken when it came in (CVE-2024-47211) and looked at again; the format is always named, so nothing is guessed.
/// `cache/<image>.raw` counts only with its `cache/<image>.json`, which is written last.
public actor ImageCache: ImageStoreInterface {
  public typealias Progress = @Sendable (ImageProgress) -> Void

  private let database: Database
  private let folder: ImageFolder
  private let logger: Logger
  private var underway: [String: Conversion] = [:]
  /// Unpacking is all processor and disk: so many at a time.
  private var freeSlots = 2
  /// Between two reports of progress.
  private let interval: Duration
  private var waiting: [CheckedContinuation<Void, Never>] = []

  private struct Conversion {
    var task: Task<RawImage, any Error>
    var listeners: Listeners
  }
  /// Everybody who wants to hear how far one conversion is.
  private actor Listeners {
    var all: [Progress] = []
    func add(_ progress: @escaping Progress) { all.append(progress) }
    func tell(_ progress: ImageProgress) { for listener in all { listener(progress) } }
  }

  /// - Parameter interval: between two reports of progress.
  public init(database: Database, folder: ImageFolder, interval: Duration = .milliseconds(500), logger: Logger) {
    self.interval = interval
    self.database = database
    self.folder = folder
    self.logger = logger
  }

  public func ensureRaw(imageID: String, progress: @escaping Progress) async throws -> RawImage {
    if let known = underway[imageID] {
      await known.listeners.add(progress)
      return try await known.task.value
    }
    let listeners = Listeners()
    await listeners.add(progress)
    // Two may have come here at once while this one waited.
    if let known = underway[imageID] {
      await known.listeners.add(progress)
      return try await known.task.value
    }
    // Not a child of the caller: others may be waiting for it when the caller is cancelled. Its time is limited.
    let task = Task { try await self.make(imageID) { await listeners.tell($0) } }
    underway[imageID] = Conversion(task: task, listeners: listeners)
    defer { underway[imageID] = nil }
    return try await task.value
  }

  private func refused(_ imageID: String, _ sentence: String) -> DriverError {
    DriverError(.refused, device: .image(imageID), detail: sentence)
  }

  private func make(_ imageID: String, _ progress: @escaping @Sendable (ImageProgress) async -> Void) async throws
    -> RawImage
  {
    guard Identifier.isUUID(imageID), let image = try await database.read({ try ImageStore.get(imageID, in: $0) })
    else {
      throw refused(imageID, "There is no such image; choose one of `openstack image list`.")
    }
    guard image.status != .deactivated else {
      throw refused(imageID, "The image is deactivated: `openstack image set --activate` before it is deployed.")
    }
    guard image.status == .active, let sha256 = image.sha256, let size = image.size, let format = image.diskFormat
    else {
      throw refused(imageID, "The image has no content yet (status \(image.status.rawValue)): upload it first.")
    }
    let paths = CachePaths(folder: folder, imageID: imageID)
    if format != "qcow2" {
      try await makeRoom(besides: imageID)
      let path = try await FileThread("image cache").run { try paths.linkContent() }
      return RawImage(path: path, size: size, sha256: sha256)
    }
    if let known = try await FileThread("image cache").run({ try paths.finished(source: sha256) }) { return known }

    if freeSlots == 0 { await progress(ImageProgress(.waiting, 0)) }
    await takeSlot()
    defer { giveSlot() }
    try await makeRoom(besides: imageID)
    let thread = FileThread("image cache")
    await progress(ImageProgress(.checking, 0))
    do {
      let source = try await thread.run { try paths.linkSource() }
      let raw = try await convert(image, from: source, sha256: sha256, paths, thread, progress)
      await progress(ImageProgress(.hashing, 1))
      return raw
    } catch {
      unlink(paths.source)
      unlink(paths.part)
      if let error = error as? FileError {
        logger.error("image \(imageID): \(error)")
        if error.isDiskFull {
          throw refused(imageID, "The server's disk is full: the administrator must free space; then deploy again.")
        }
      }
      throw error
    }
  }

  private func convert(
    _ image: Image, from source: String, sha256: String, _ paths: CachePaths, _ thread: FileThread,
    _ progress: @escaping @Sendable (ImageProgress) async -> Void
  ) async throws -> RawImage {
    let hash = Hashing()
    try await watched(progress, .checking, from: 0, to: 0.2, { hash.fraction }) {
      let found = try await thread.run { try hash.sha256(of: source) }
      guard found == sha256 else {
        throw await self.refused(
          image.id,
          "Its content is not what was uploaded (checksum mismatch): delete the image, make it again, and deploy that one."
        )
      }
    }
    let disk = try await thread.run { try paths.inspect(source) }
    guard let disk else {
      throw refused(
        image.id,
        "Its disk_format says qcow2, but the content is not a qcow2 image: make it again with the right --disk-format."
      )
    }
    guard disk <= folder.settings.largestDisk else {
      throw refused(
        image.id,
        "It describes a disk of \(disk) bytes; this site unpacks at most \(folder.settings.largestDisk): make it smaller (qemu-img resize --shrink)."
      )
    }
    let patience = folder.settings.conversionPatience
    try await watched(progress, .unpacking, from: 0.2, to: 0.7, { paths.partFraction(of: disk) }) {
      // Limits of the child: 2 GiB of memory, no file larger than the disk, no core dump.
      let arguments = [
        "--as=2147483648", "--fsize=\(disk + (1 << 20))", "--core=0", "--", "qemu-img", "convert", "-f", "qcow2", "-O",
        "raw",
        "-S", "64k", "-m", "4", source, paths.part,
      ]
      let words: String
      do {
        let result = try await run("prlimit", arguments, timeout: patience)
        if result.status == 0 { return }
        words = result.errorText
      } catch let error as CommandError where error.reason != .notFound { words = error.description }
      await self.log("image \(image.id): qemu-img: \(words)")
      if words.contains("No space left") {
        throw await self.refused(
          image.id, "The server's disk is full: the administrator must free space; then deploy again.")
      }
      throw await self.refused(
        image.id,
        "It cannot be unpacked: the qcow2 image is damaged. Check it with qemu-img check, and make the image again.")
    }
    unlink(paths.source)
    let rawHash = Hashing()
    return try await watched(progress, .hashing, from: 0.7, to: 1, { rawHash.fraction }) {
      try await thread.run {
        let hash = try rawHash.sha256(of: paths.part)
        return try paths.finish(sha256: hash, source: sha256)
      }
    }
  }

  private func log(_ text: String) { logger.error("\(text)") }

  /// Runs `body` and meanwhile tells how far it is.
  private func watched<T: Sendable>(
    _ progress: @escaping @Sendable (ImageProgress) async -> Void, _ phase: ImageProgress.Phase, from: Double,
    to: Double,
    _ fraction: @escaping @Sendable () -> Double, _ body: @escaping @Sendable () async throws -> T
  ) async throws -> T {
    try await withThrowingTaskGroup(of: T?.self) { group in
      group.addTask { try await body() }
      group.addTask {
        while true {
          do { try await Task.sleep(for: self.interval) } catch { return nil }
          await progress(ImageProgress(phase, from + (to - from) * min(1, max(0, fraction()))))
        }
      }
      defer { group.cancelAll() }
      while let result = try await group.next() { if let result { return result } }
      throw CancellationError()
    }
  }

  private func takeSlot() async {
    if freeSlots > 0 {
      freeSlots -= 1
    } else {
      await withCheckedContinuation { waiting.append($0) }
    }
  }
  private func giveSlot() {
    if waiting.isEmpty { freeSlots += 1 } else { waiting.removeFirst().resume() }
  }

  // MARK: What nobody needs

  public func orphans() async throws -> [String] {
    let folder = folder
    // The files first: what is stored is then at least as new as what was found.
    let files = try await FileThread("image files").run { try folder.files() }
    let (images, used) = try await database.read { session in
      let deployments = try WorkflowStore.open(in: session).filter { $0.kind == "deploy-node" }
      return (try ImageStore.list(in: session), Set(deployments.compactMap { $0.params["image"]?.string }))
    }
    let known = Dictionary(images.map { ($0.id, $0) }) { $1 }
    let uploads = Set(images.compactMap(\.uploadID))
    return files.filter { file in
      switch file.kind {
      case .upload: !uploads.contains(file.id)
      // While it is uploaded its content may have its name already.
      case .content: known[file.id].map { $0.status == .queued } ?? true
      case .raw: known[file.id] == nil && !used.contains(file.id)
      }
    }.map(\.path)
  }

  public func forgetUploads() async throws {
    // Asked inside the transaction: an upload is there before its own.
    let underway = folder.uploadsUnderway
    let forgotten = try await database.write { try ImageStore.resetUploads(besides: underway.ids, in: $0) }
    if forgotten > 0 { logger.warning("\(forgotten) images whose upload broke off can be uploaded again") }
  }

  /// Removes raw forms, those first that were not used for longest, until the cache is within its size. None that was used
  /// in the last hour goes: a machine may be reading it.
  private func makeRoom(besides imageID: String) async throws {
    let (folder, limit) = (folder, folder.settings.cacheSize)
    let removed = try await FileThread("image cache").run {
      try CachePaths.evict(folder, limit: limit, sparing: imageID, unusedFor: 3600, now: time(nil))
    }
    if !removed.isEmpty { logger.info("image cache: removed \(removed.joined(separator: ", "))") }
  }
}

/// lseek(2): SEEK_DATA and SEEK_HOLE, which Glibc's module does not have.
private let (seekData, seekHole): (Int32, Int32) = (3, 4)

/// SHA-256 of a file, with holes skipped instead of read, and how far it is.
final class Hashing: Sendable {
  private let done = Atomic64()
  private let total = Atomic64()

  var fraction: Double { total.value == 0 ? 0 : Double(done.value) / Double(total.value) }

  func sha256(of path: String) throws -> String {
    let descriptor = try Files.open(path, O_RDONLY)
    defer { close(descriptor) }
    let size = try Files.size(descriptor)
    total.value = size
    var digest = DigestStream(.sha256)
    let length = 1 << 20
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: length, alignment: 4096)
    let zeros = UnsafeMutableRawBufferPointer.allocate(byteCount: length, alignment: 4096)
    defer {
      buffer.deallocate()
      zeros.deallocate()
    }
    zeros.initializeMemory(as: UInt8.self, repeating: 0)
    var offset = 0
    while offset < size {
      let data = lseek(descriptor, off_t(offset), seekData)
      // ENXIO: nothing but a hole up to the end.
      let dataStart = data < 0 ? (errno == ENXIO ? size : offset) : Int(data)
      while offset < dataStart {
        let count = min(length, dataStart - offset)
        digest.update(UnsafeRawBufferPointer(rebasing: zeros[..<count]))
        offset += count
        done.value = offset
      }
      if offset >= size { break }
      let hole = lseek(descriptor, off_t(offset), seekHole)
      let end = hole < 0 ? size : min(size, Int(hole))
      while offset < end {
        let got = pread(descriptor, buffer.baseAddress, min(length, end - offset), off_t(offset))
        if got < 0, errno == EINTR { continue }
        guard got > 0 else { throw FileError("read \(path)", got == 0 ? EIO : errno) }
        digest.update(UnsafeRawBufferPointer(rebasing: buffer[..<got]))
        offset += got
        done.value = offset
      }
    }
    return Digest.hex(digest.finish())
  }
}
