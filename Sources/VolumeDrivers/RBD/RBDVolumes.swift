import DriverInterfaces
import Glibc
import Processes
import Wire

/// Volumes as images in a pool of a Ceph cluster, exported by tgt's own RBD store.
///
/// `volume-UUID` is a volume, `volume-UUID@UUID` a snapshot, `image-ID-SHA256@base` the base of an image. Copies are clones of
/// format 2, whose parent's snapshot may be removed: it stays, nameless, until the last clone is gone. An image that cannot be
/// removed for that reason waits in the pool's trash. Source: rbd(8) of Ceph 16.2.
public final class RBDVolumes: VolumeInterface, Sendable {
  public struct Settings: Sendable, Equatable {
    /// The backend's, as errors call it.
    public var name: String
    public var pool: String
    /// The cluster's configuration file, which also names the keyring.
    public var configuration: String
    /// Ceph user without "client.".
    public var user: String
    /// For sockets and files of readings.
    public var folder: String
    /// Network namespace from which the cluster is reached; nil is the server's own.
    public var namespace: String?
    public init(
      name: String = "rbd", pool: String, configuration: String, user: String = "admin", folder: String,
      namespace: String? = nil
    ) {
      self.name = name
      self.pool = pool
      self.configuration = configuration
      self.user = user
      self.folder = folder
      self.namespace = namespace
    }
  }
  let settings: Settings
  let targets: TargetPaths
  let uses: VolumeUses
  let turns = Turns()
  let device: DriverError.Device

  /// - Throws: ``DriverError`` `.misconfigured`.
  public init(_ settings: Settings, targets: TargetPaths) throws {
    self.settings = settings
    self.targets = targets
    device = .volumes(settings.name)
    uses = VolumeUses(folder: settings.folder)
    func refuse(_ what: String) -> DriverError { DriverError(.misconfigured, device: device, detail: what) }
    guard settings.folder.hasPrefix("/"), settings.folder.utf8.count <= 58, settings.configuration.hasPrefix("/"),
      ![settings.folder, settings.configuration].contains(where: { path in
        path.utf8.contains { $0 <= 0x20 || [0x2c, 0x3b, 0x22, 0x5c].contains($0) }
      })
    else {
      throw refuse("folder and configuration must be absolute paths without blanks, commas, semicolons and quotes")
    }
    guard VolumeWords.isInitiator(settings.pool), VolumeWords.isInitiator(settings.user) else {
      throw refuse("the pool's and the user's name have letters, digits and -._ only")
    }
    do { try uses.makeFolders([]) } catch { throw refuse("\(error)") }
  }

  func verb<T>(_ identifiers: String..., body: () async throws -> T) async throws -> T {
    for identifier in identifiers where !VolumeWords.isIdentifier(identifier) {
      throw refusal("\"\(identifier)\" is not an identifier")
    }
    return try await reporting(device, daemon: "qemu-storage-daemon", body)
  }
  private var silence: DriverError {
    DriverError(
      .unreachable, device: device,
      detail: "the cluster of \(settings.configuration) does not answer: are its monitors up, and reached from here?")
  }
  func refusal(_ detail: String) -> DriverError { DriverError(.refused, device: device, detail: detail) }

  // MARK: The rbd command

  static let notThere = Int(ENOENT)
  static let isThere = Int(EEXIST)
  static let isBusy = Int(EBUSY)
  static let noAnswer = Int(ETIMEDOUT)
  static let hasSnapshots = Int(ENOTEMPTY)

  func image(_ name: String) -> String { "\(settings.pool)/\(name)" }
  func image(ofVolume volume: String) -> String { image("volume-\(volume)") }

  /// What leads Ceph's programs to the cluster. A cluster that does not answer is given up after 20 s: their own limit is 5 min.
  private var access: [String] {
    ["--conf", settings.configuration, "--id", settings.user, "--client-mount-timeout", "20"]
  }

  /// Runs `rbd`; it ends with the errno of what failed.
  /// - Parameter allowed: endings that are no failure.
  @discardableResult
  func rbd(_ arguments: String..., allowing allowed: Int..., timeout: Duration = .seconds(60)) async throws
    -> CommandResult
  {
    let result = try await run(
      "rbd", access + arguments, namespace: settings.namespace, timeout: timeout, outputLimit: 64 << 20)
    if result.status == 0 || allowed.contains(result.status) { return result }
    if result.status == Self.noAnswer { throw silence }
    throw CommandError(
      program: "rbd \(arguments[0])", reason: .failed(status: result.status, detail: result.lastErrorLine))
  }
  struct Facts: Sendable {
    /// Bytes.
    var size: Int
    /// The image and snapshot it is a clone of.
    var parent: (image: String, snapshot: String)?
  }
  /// Nil when there is no such image.
  func facts(_ image: String) async throws -> Facts? {
    let result = try await rbd("info", "--format", "json", image, allowing: Self.notThere)
    if result.status == Self.notThere { return nil }
    guard let json = try? JSON.parse(result.output), let size = json["size"]?.int else {
      throw ControlError.badReply("rbd info \(image)")
    }
    let parent = json["parent"]
    return Facts(
      size: size,
      parent: parent.flatMap { parent in
        parent["image"]?.string.map { (String($0), parent["snapshot"]?.string ?? "") }
      })
  }
  func existing(_ volume: String) async throws -> Facts {
    guard let facts = try await facts(image(ofVolume: volume)) else { throw refusal("there is no volume \(volume)") }
    return facts
  }
  /// Names of an image's snapshots, but for those that only stay for their clones.
  func snapshots(_ image: String) async throws -> [String] {
    let result = try await rbd("snap", "ls", "--format", "json", image, allowing: Self.notThere)
    return ((try? JSON.parse(result.output))?.array ?? []).compactMap { $0["name"]?.string }
  }

  // MARK: Volumes

  public func ensureVolume(_ volume: String, size: Int, from source: VolumeSource) async throws {
    try await verb(volume) {
      guard size > 0, size % 512 == 0 else { throw refusal("a size is a multiple of 512 bytes: \(size)") }
      switch source {
      case .snapshot(let snapshot, let origin):
        guard VolumeWords.isIdentifier(snapshot), VolumeWords.isIdentifier(origin) else {
          throw refusal("\"\(snapshot)\" is not an identifier")
        }
        try await turns.take(volume, origin) { try await makeVolume(volume, size, source) }
      case .volume(let origin):
        guard VolumeWords.isIdentifier(origin) else { throw refusal("\"\(origin)\" is not an identifier") }
        try await turns.take(volume, origin) { try await makeVolume(volume, size, source) }
      case .blank, .image, .file:
        try await turns.take(volume) { try await makeVolume(volume, size, source) }
      }
    }
  }

  private func makeVolume(_ volume: String, _ size: Int, _ source: VolumeSource) async throws {
    let target = image(ofVolume: volume)
    var found: Int?
    if case .image(let image, let id) = source {
      // Mostly the base is there and the volume is not: one call of `rbd` then.
      found = try await copyImage(image, id, to: target, size: size)
    } else {
      found = try await facts(target)?.size
    }
    if found == nil {
      switch source {
      case .image: break
      case .blank:
        try await rbd("create", "--size", "\(size)B", target)
        found = size
      case .snapshot(let snapshot, let origin):
        found = try await clone(image(ofVolume: origin), snapshot, to: target, size: size)
      case .volume(let origin):
        _ = try await existing(origin)
        try await rbd(
          "snap", "create", "--no-progress", "\(image(ofVolume: origin))@from-\(volume)", allowing: Self.isThere)
        found = try await clone(image(ofVolume: origin), "from-\(volume)", to: target, size: size)
      case .file(let path):
        try await rbd("rename", try await load(path, "volume-\(volume)", size: size), target)
        found = size
      }
    }
    if case .volume(let origin) = source {
      try await rbd("snap", "rm", "--no-progress", "\(image(ofVolume: origin))@from-\(volume)", allowing: Self.notThere)
    }
    if let found, found < size { try await grow(volume, to: size) }
  }

  /// - Returns: bytes of the new image.
  private func clone(_ parent: String, _ snapshot: String, to image: String, size: Int) async throws -> Int {
    guard let facts = try await facts("\(parent)@\(snapshot)") else {
      throw refusal("there is no snapshot \(snapshot)")
    }
    guard facts.size <= size else {
      throw refusal("the source has \(facts.size) bytes, more than the \(size) of the new volume")
    }
    try await clone("\(parent)@\(snapshot)", to: image)
    return facts.size
  }
  /// - Returns: the ending: 0, ``notThere`` or ``isThere`` where that is allowed.
  @discardableResult
  private func clone(_ snapshot: String, to image: String, allowing allowed: [Int] = []) async throws -> Int {
    let result = try await rbd(
      "clone", "--rbd-default-clone-format", "2", snapshot, image, allowing: allowed.first ?? 0, allowed.last ?? 0)
    return result.status
  }

  /// - Returns: bytes of the volume's image.
  private func copyImage(_ image: RawImage, _ id: String, to target: String, size: Int) async throws -> Int {
    guard let base = VolumeWords.base(of: image, id) else {
      throw refusal("\"\(id)\" and \"\(image.digest)\" do not name an image")
    }
    let bytes = (image.size + 511) / 512 * 512
    guard bytes <= size else { throw refusal("the image has \(bytes) bytes, more than the \(size) of the new volume") }
    // Held until the clone is there: without one the base may be removed.
    return try await turns.take("base \(base)") {
      let snapshot = "\(self.image(base))@base"
      var ending = try await clone(snapshot, to: target, allowing: [Self.notThere, Self.isThere])
      if ending == Self.notThere {
        if try await facts(self.image(base)) == nil {
          try await rbd("rename", try await load(image.path, base, size: bytes), self.image(base))
        }
        try await rbd("snap", "create", "--no-progress", snapshot, allowing: Self.isThere)
        ending = try await clone(snapshot, to: target, allowing: [Self.isThere])
      }
      return ending == Self.isThere ? try await facts(target)?.size ?? bytes : bytes
    }
  }

  /// Copies a file into an image of another name than it will have, so that what is cut short is not taken for the whole.
  private func load(_ path: String, _ name: String, size: Int) async throws -> String {
    // qemu would take a name like "nbd:…" for something else than a file.
    guard path.hasPrefix("/") else { throw refusal("\(path) is not a file's path") }
    var information = stat()
    guard stat(path, &information) == 0 else { throw FileFailure("look at \(path)") }
    guard information.st_size <= size else {
      throw refusal("the file has \(information.st_size) bytes, more than the \(size) of the volume")
    }
    let part = "part-\(name)"
    try await rbd("rm", "--no-progress", image(part), allowing: Self.notThere)
    try await rbd("create", "--size", "\(size)B", image(part))
    // Not `rbd import`, which reads every hole: two minutes for an empty file of 100 GiB.
    try await runChecked(
      "qemu-img",
      [
        "convert", "-q", "-n", "--target-is-zero", "-S", "4k", "-f", "raw", path, "--target-image-opts",
        "driver=raw,file.driver=rbd,file.pool=\(settings.pool),file.image=\(part),file.conf=\(settings.configuration),"
          + "file.user=\(settings.user)",
      ], namespace: settings.namespace, timeout: .seconds(24 * 3600))
    return image(part)
  }

  public func ensureSize(_ volume: String, _ size: Int) async throws {
    try await verb(volume) {
      guard size > 0, size % 512 == 0 else { throw refusal("a size is a multiple of 512 bytes: \(size)") }
      try await turns.take(volume) { try await grow(volume, to: size) }
    }
  }
  private func grow(_ volume: String, to size: Int) async throws {
    let present = try await existing(volume).size
    if present < size {
      try await rbd("resize", "--no-progress", "--size", "\(size)B", image(ofVolume: volume))
    }
    for attachment in try await uses.attachments(of: volume) {
      try await targets.update(unit(volume, size: max(size, present)), of: attachment)
    }
  }

  public func removeVolume(_ volume: String) async throws {
    try await verb(volume) {
      try await turns.take(volume) {
        let image = image(ofVolume: volume)
        try await requireUnused(volume)
        if let facts = try await facts(image) {
          for snapshot in try await snapshots(image) {
            guard snapshot.hasPrefix("from-") || snapshot.hasPrefix("read-") else {
              throw refusal("volume \(volume) has the snapshot \(snapshot)")
            }
            try await rbd("snap", "rm", "--no-progress", "\(image)@\(snapshot)", allowing: Self.notThere)
          }
          let result = try await rbd(
            "rm", "--no-progress", image, allowing: Self.notThere, Self.hasSnapshots, Self.isBusy)
          if result.status == Self.isBusy {
            throw DriverError(.busy, device: device, detail: "image \(image) has watchers: somebody has it open")
          }
          if result.status == Self.hasSnapshots { try await rbd("trash", "mv", image) }
          if let parent = facts.parent?.image, parent.hasPrefix("image-") { try await removeBase(parent) }
        }
        try await rbd("rm", "--no-progress", self.image("part-volume-\(volume)"), allowing: Self.notThere)
        try await emptyTrash()
      }
    }
  }

  /// Removes the base of an image that no volume stands on any more.
  private func removeBase(_ base: String) async throws {
    try await turns.take("base \(base)") {
      let children = try await rbd("children", "--format", "json", "\(image(base))@base", allowing: Self.notThere)
      guard children.status == 0, (try? JSON.parse(children.output))?.array?.isEmpty ?? false else { return }
      try await rbd("snap", "rm", "--no-progress", "\(image(base))@base", allowing: Self.notThere)
      // A volume that waits in the trash may stand on it still.
      let result = try await rbd("rm", "--no-progress", image(base), allowing: Self.notThere, Self.hasSnapshots)
      if result.status == Self.hasSnapshots { try await rbd("trash", "mv", image(base)) }
    }
  }
  /// Removes what waits in the trash for copies that are gone now, and then what waited for that. The pool may be others' too:
  /// ours only.
  private func emptyTrash() async throws {
    var hasRemoved = true
    while hasRemoved {
      hasRemoved = false
      let result = try await rbd("trash", "ls", "--format", "json", settings.pool)
      for entry in (try? JSON.parse(result.output))?.array ?? [] {
        guard let id = entry["id"]?.string, let name = entry["name"]?.string,
          name.hasPrefix("volume-") || name.hasPrefix("image-")
        else { continue }
        let ending = try await rbd(
          "trash", "rm", "--no-progress", image(id), allowing: Self.notThere, Self.hasSnapshots, Self.isBusy)
        if ending.status == 0 { hasRemoved = true }
      }
    }
  }

  public func capacity() async throws -> (total: Int, free: Int) {
    try await verb {
      let result = try await run(
        "ceph",
        ["--conf", settings.configuration, "--id", settings.user, "--connect-timeout", "20", "df", "--format", "json"],
        namespace: settings.namespace)
      guard result.status == 0 else {
        // `ceph` ends with 1 when the time is over.
        if result.errorText.contains("timed out") { throw silence }
        throw CommandError(
          program: "ceph df", reason: .failed(status: result.status, detail: result.lastErrorLine))
      }
      let pools = (try? JSON.parse(result.output))?["pools"]?.array ?? []
      guard let stats = pools.first(where: { $0["name"]?.string == settings.pool })?["stats"],
        let free = stats["max_avail"]?.int
      else {
        throw DriverError(
          .misconfigured, device: device,
          detail: "the cluster has no pool \(settings.pool): make it with `rbd pool init`, or correct the configuration"
        )
      }
      return (free + (stats["stored"]?.int ?? 0), free)
    }
  }
}
