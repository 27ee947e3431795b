import Domain
import DriverInterfaces
import Glibc
import Logging
import Processes
import Store
import Synchronization
import Wire
import Workflows

/// Images in the forms that machines get: raw (volumes), and packed block by block (local disks).
///
/// A raw image is used as it is, under a second name (a hard link), so that deleting the image does not cut a deployment
/// short. Others are unpacked and converted once, in confinement (``ConfinedProgram``), never before their content was compared with
/// the checksum that was taken when it came in (CVE-2024-47211) and looked at again; the format is always named, so nothing is
/// guessed.
/// `cache/<image>.raw` counts only with its `cache/<image>.json`, which is written last.
public actor ImageCache: ImageStoreInterface {
  public typealias Progress = @Sendable (ImageProgress) -> Void

  let database: Database
  nonisolated let folder: ImageFolder
  let logger: Logger
  private var underway: [String: Conversion<RawImage>] = [:]
  var packing: [String: Conversion<PackedImage>] = [:]
  /// Images whose raw form somebody else asked for while it was packed.
  var rawWanted: Set<String> = []
  /// Unpacking is all processor and disk: so many at a time.
  var freeSlots = 2
  /// Between two reports of progress.
  private let interval: Duration
  private var waiting: [CheckedContinuation<Void, Never>] = []

  struct Conversion<Form: Sendable> {
    var task: Task<Form, any Error>
    var listeners: Listeners
  }
  /// Everybody who wants to hear how far one conversion is.
  final class Listeners: Sendable {
    private let all = Mutex<[Progress]>([])
    func add(_ progress: @escaping Progress) { all.withLock { $0.append(progress) } }
    func tell(_ progress: ImageProgress) { for listener in all.withLock({ $0 }) { listener(progress) } }
  }

  /// - Parameter interval: between two reports of progress.
  public init(database: Database, folder: ImageFolder, interval: Duration = .milliseconds(500), logger: Logger) {
    self.interval = interval
    self.database = database
    self.folder = folder
    self.logger = logger
  }

  public func ensureRaw(imageID: String, progress: @escaping Progress) async throws -> RawImage {
    rawWanted.insert(imageID)
    return try await raw(imageID, progress)
  }

  func raw(_ imageID: String, _ progress: @escaping Progress) async throws -> RawImage {
    if let known = underway[imageID] {
      known.listeners.add(progress)
      return try await known.task.value
    }
    let listeners = Listeners()
    listeners.add(progress)
    // Not a child of the caller: others may be waiting for it when the caller is cancelled. Its time is limited.
    let task = Task { try await self.make(imageID) { listeners.tell($0) } }
    underway[imageID] = Conversion(task: task, listeners: listeners)
    defer { underway[imageID] = nil }
    return try await task.value
  }

  func refused(_ imageID: String, _ sentence: String) -> DriverError {
    DriverError(.refused, device: .image(imageID), detail: sentence)
  }

  /// An image that may be deployed, and the SHA-512 of its content.
  func deployable(_ imageID: String) async throws -> (image: Image, sha512: String) {
    guard Identifier.isUUID(imageID), let image = try await database.read({ try ImageStore.get(imageID, in: $0) })
    else {
      throw refused(imageID, "There is no such image; choose one of `openstack image list`.")
    }
    guard image.status != .deactivated else {
      throw refused(imageID, "The image is deactivated: `openstack image set --activate` before it is deployed.")
    }
    guard image.status == .active, let sha512 = image.sha512, let size = image.size, image.declared != nil else {
      throw refused(imageID, "The image has no content yet (status \(image.status.rawValue)): upload it first.")
    }
    guard size > 0 else { throw refused(imageID, "The image is empty: make it again with --file.") }
    return (image, sha512)
  }

  private func make(_ imageID: String, _ progress: @escaping @Sendable (ImageProgress) async -> Void) async throws
    -> RawImage
  {
    let (image, sha512) = try await deployable(imageID)
    guard let size = image.size, let declared = image.declared else {
      throw refused(imageID, "The image has no content yet: upload it first.")
    }
    let paths = CachePaths(folder: folder, imageID: imageID)
    if Self.isRaw(declared) {
      try await makeRoom(besides: imageID)
      let path = try await FileThread("image cache").run { try paths.linkContent() }
      return RawImage(path: path, size: size, digest: sha512)
    }
    if let known = try await FileThread("image cache").run({ try paths.finished(source: sha512) }) { return known }

    if freeSlots == 0 { await progress(ImageProgress(.waiting, 0)) }
    await takeSlot()
    defer { giveSlot() }
    try await makeRoom(besides: imageID)
    let thread = FileThread("image cache")
    await progress(ImageProgress(.checking, 0))
    do {
      let source = try await thread.run { try paths.linkSource() }
      try await check(image, source, sha512: sha512, thread, progress)
      let raw = try await convert(declared, from: source, sha512: sha512, paths, thread, progress)
      await progress(ImageProgress(.hashing, 1))
      return raw
    } catch {
      paths.removeParts()
      if let error = error as? ConfinedImage.Failure {
        logger.error("image \(imageID): \(error)")
        throw refused(imageID, error.isDiskFull ? Self.fullDisk : Self.damaged(declared))
      }
      if let error = error as? CommandError, error.reason != .notFound {
        logger.error("image \(imageID): \(error)")
        throw refused(imageID, Self.damaged(declared))
      }
      if let error = error as? FileError {
        logger.error("image \(imageID): \(error)")
        if error.isDiskFull {
          throw refused(imageID, Self.fullDisk)
        }
      }
      throw error
    }
  }
  static let changed =
    "Its content is not what was uploaded (checksum mismatch): delete the image, make it again, and deploy that one."
  static let fullDisk = "The server's disk is full: the administrator must free space; then deploy again."
  private static func damaged(_ declared: ImageContent.Declared) -> String {
    let what = declared.isCompressed ? "compressed image" : "\(declared.format) image"
    return "It cannot be unpacked: the \(what) is damaged. Check it with qemu-img check, and make the image again."
  }

  private func check(
    _ image: Image, _ source: String, sha512: String, _ thread: FileThread,
    _ progress: @escaping @Sendable (ImageProgress) async -> Void
  ) async throws {
    let hash = Hashing()
    try await watched(progress, .checking, from: 0, to: 0.2, { hash.fraction }) {
      let found = try await thread.run { try hash.digest(.sha512, of: source) }
      guard found == sha512 else {
        throw await self.refused(image.id, Self.changed)
      }
    }
  }

  public func requireSHA256(_ wanted: String, imageID: String) async throws {
    let (image, _) = try await deployable(imageID)
    let content = folder.content(of: imageID)
    let found = try await FileThread("image cache").run { try Hashing().digest(.sha256, of: content) }
    guard found == wanted else {
      throw refused(
        imageID,
        "The SHA-256 that instance_info names is not that of image \(image.id), which is \(found): choose the image that you mean, or correct or remove the checksum."
      )
    }
  }

  private func convert(
    _ declared: ImageContent.Declared, from source: String, sha512: String, _ paths: CachePaths, _ thread: FileThread,
    _ progress: @escaping @Sendable (ImageProgress) async -> Void
  ) async throws -> RawImage {
    var (image, begin) = (ConfinedImage(program: folder.confined, source: source), 0.2)
    if declared.isCompressed {
      image = try await unpack(image, paths, thread, progress)
      begin = 0.45
    }
    let (path, format) = (image.source, declared.format)
    let content = try await thread.run { try paths.inspect(path, declared: format) }
    if let word = ImageContent.converted[format] {
      guard content.isConverted else {
        throw refused(
          paths.imageID,
          "Its disk_format says \(format), but the content is not a \(format) image: make it again with the right --disk-format."
        )
      }
      let disk = try await image.diskSize(word)
      try checkSize(disk, paths.imageID)
      try await thread.run { try paths.makeTarget(paths.part, size: disk) }
      let (patience, confined) = (folder.settings.conversionPatience, image)
      try await watched(progress, .unpacking, from: begin, to: 0.7, { paths.partFraction(of: disk) }) {
        try await confined.convert(word, into: paths.part, disk: disk, patience: patience)
      }
    } else {
      guard rename(path, paths.part) == 0 else { throw FileError("rename \(path)") }
    }
    unlink(paths.source)
    unlink(paths.unpacked)
    let rawHash = Hashing()
    return try await watched(progress, .hashing, from: 0.7, to: 1, { rawHash.fraction }) {
      try await thread.run {
        try paths.finish(digest: try rawHash.writtenBlocks(of: paths.part), source: sha512)
      }
    }
  }

  /// - Returns: what was compressed, no larger than a disk may be.
  private func unpack(
    _ image: ConfinedImage, _ paths: CachePaths, _ thread: FileThread,
    _ progress: @escaping @Sendable (ImageProgress) async -> Void
  ) async throws -> ConfinedImage {
    let compression = try await thread.run { try paths.compression(of: image.source) }
    try await thread.run { try paths.makeTarget(paths.unpacked) }
    let (limit, patience) = (folder.settings.largestDisk, folder.settings.conversionPatience)
    let size = try await watched(progress, .unpacking, from: 0.2, to: 0.45, { 0 }) {
      try await image.unpack(compression, into: paths.unpacked, limit: limit, patience: patience)
    }
    try checkSize(size, paths.imageID)
    return ConfinedImage(program: folder.confined, source: paths.unpacked)
  }

  private func checkSize(_ disk: Int, _ imageID: String) throws {
    let most = folder.settings.largestDisk
    guard disk <= most else {
      throw refused(
        imageID,
        "It unpacks to a disk of more than the \(most) bytes that this site takes: make it smaller (qemu-img resize --shrink)."
      )
    }
  }

  /// Runs `body` and meanwhile tells how far it is.
  func watched<T: Sendable>(
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

  func takeSlot() async {
    if freeSlots > 0 {
      freeSlots -= 1
    } else {
      await withCheckedContinuation { waiting.append($0) }
    }
  }
  func giveSlot() {
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
