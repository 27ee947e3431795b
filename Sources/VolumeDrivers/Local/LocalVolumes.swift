import DriverInterfaces
import Glibc
import Processes
import Wire

/// Volumes as qcow2 layers in a folder of this machine, exported by `qemu-storage-daemon` and tgt.
///
/// Layers never change but for the top one of a volume. A snapshot freezes the top: a new, empty layer is laid over it, and the
/// snapshot's name leads to the frozen one. A copy is an empty layer over a frozen one. So all of it takes the same time whatever
/// the size. Each verb makes files first and a link to them last, and repeating it makes whole what was cut short.
public final class LocalVolumes: VolumeInterface, Sendable {
  /// Layers of one volume, the image's base included. Measured to 64: an opened volume costs 0.15 MB more for each, reading by
  /// 4 KiB takes two to three times as long at 64, sequential reading hardly more.
  public static let maximumDepth = 64

  let folder: String
  let files: LayerFiles
  let uses: VolumeUses
  let targets: TargetPaths
  let turns = Turns()
  let device: DriverError.Device
  /// Called after each effect with its name, so that tests can end a verb there.
  let afterEffect: @Sendable (String) throws -> Void

  /// - Parameters:
  ///   - name: the backend's, as errors call it.
  ///   - folder: for this backend alone, on the disk that keeps the volumes; made when it is not there.
  /// - Throws: ``DriverError`` `.misconfigured`.
  public convenience init(name: String = "local", folder: String, targets: TargetPaths) throws {
    try self.init(name: name, folder: folder, targets: targets, afterEffect: { _ in })
  }
  init(
    name: String = "local", folder: String, targets: TargetPaths,
    afterEffect: @escaping @Sendable (String) throws -> Void
  ) throws {
    device = .volumes(name)
    self.folder = folder
    self.targets = targets
    self.afterEffect = afterEffect
    files = LayerFiles(folder: folder)
    uses = VolumeUses(folder: folder)
    func refuse(_ what: String) -> DriverError { DriverError(.misconfigured, device: device, detail: what) }
    // A socket's path has 107 bytes, and qemu's options are cut by commas.
    guard folder.hasPrefix("/"), folder.utf8.count <= 58,
      !folder.utf8.contains(where: { $0 <= 0x20 || [0x2c, 0x22, 0x5c].contains($0) })
    else {
      throw refuse(
        "the volumes' folder must be an absolute path of at most 58 bytes without blanks, commas and quotes: \(folder)")
    }
    do { try uses.makeFolders(["volumes", "snapshots", "layers"]) } catch { throw refuse("\(error)") }
  }

  /// A verb: its identifiers are looked at, and its errors are this backend's.
  func verb<T>(_ identifiers: String..., body: () async throws -> T) async throws -> T {
    for identifier in identifiers where !VolumeWords.isIdentifier(identifier) {
      throw refusal("\"\(identifier)\" is not an identifier")
    }
    return try await reporting(device, daemon: "qemu-storage-daemon", body)
  }
  func refusal(_ detail: String) -> DriverError { DriverError(.refused, device: device, detail: detail) }
  func onDisk<T: Sendable>(_ body: @escaping @Sendable (LayerFiles) throws -> T) async throws -> T {
    let files = files
    return try await onThread("volume files") { try body(files) }
  }
  func daemon(_ content: VolumeContent) -> DiskDaemon {
    let name =
      switch content {
      case .volume(let id), .snapshot(let id, _): id
      }
    return DiskDaemon(folder: "\(folder)/disks/\(name)")
  }
  /// A layer as QEMU opens it. What is below it, it finds in the layer's header.
  func node(_ layer: String, isWritable: Bool = true, isOverlay: Bool = false) -> JSON {
    var node: JSONObject = [
      "driver": "qcow2", "node-name": .string(DiskDaemon.nodeName(layer)), "read-only": .bool(!isWritable),
      "discard": "unmap",
      "file": ["driver": "file", "filename": .string(files.path(ofLayer: layer)), "discard": "unmap"],
    ]
    if isOverlay { node["backing"] = .null }
    return .object(node)
  }
  func top(of volume: String) async throws -> String {
    guard let layer = try await onDisk({ $0.layer(.volume(volume)) }) else {
      throw refusal("there is no volume \(volume)")
    }
    return layer
  }

  // MARK: Volumes

  public func ensureVolume(_ volume: String, size: Int, from source: VolumeSource) async throws {
    try await verb(volume) {
      guard size > 0, size % 512 == 0 else { throw refusal("a size is a multiple of 512 bytes: \(size)") }
      switch source {
      case .snapshot(let snapshot, let origin):
        guard VolumeWords.isIdentifier(snapshot) else { throw refusal("\"\(snapshot)\" is not an identifier") }
        try await turns.take(volume, origin) { try await makeVolume(volume, size, source) }
      case .volume(let origin):
        try await turns.take(volume, origin) { try await makeVolume(volume, size, source) }
      case .blank, .image, .file:
        try await turns.take(volume) { try await makeVolume(volume, size, source) }
      }
    }
  }

  private func makeVolume(_ volume: String, _ size: Int, _ source: VolumeSource) async throws {
    if let top = try await onDisk({ $0.layer(.volume(volume)) }) {
      if try await onDisk({ try $0.header(top) }).size < size { try await grow(volume, to: size) }
      return
    }
    let layer = "\(volume).qcow2"
    try await files.making(layer) {
      switch source {
      case .blank: try await makeLayer(layer, size: size, over: nil)
      case .image(let image, let id):
        guard let name = VolumeWords.base(of: image, id) else {
          throw refusal("\"\(id)\" and \"\(image.digest)\" do not name an image")
        }
        let base = "\(name).raw"
        try await files.making(base) {
          try await ensureBase(base, of: image)
          try await makeLayer(layer, size: size, over: base)
          try await link(.volume(volume), to: layer)
        }
        return
      case .snapshot(let snapshot, let origin):
        guard let frozen = try await onDisk({ $0.layer(.snapshot(snapshot, of: origin)) }) else {
          throw refusal("there is no snapshot \(snapshot)")
        }
        try await makeLayer(layer, size: size, over: frozen)
      case .volume(let origin):
        try await makeLayer(layer, size: size, over: try await freeze(origin, under: "from-\(volume).qcow2"))
      case .file(let path): try await copy(path, to: layer, size: size)
      }
      try await link(.volume(volume), to: layer)
    }
  }

  /// The raw bytes of an image as a layer: another name of the same file where that is on the same disk, else a copy.
  private func ensureBase(_ base: String, of image: RawImage) async throws {
    try await turns.take("base \(base)") {
      let path = files.path(ofLayer: base)
      if access(path, F_OK) == 0 { return }
      if Glibc.link(image.path, path) != 0 {
        let part = path + ".part"
        try await runChecked(
          "cp", ["--reflink=auto", "--sparse=always", "--", image.path, part], timeout: .seconds(6 * 3600))
        try await onDisk { try $0.links.sync(part) }
        guard rename(part, path) == 0 else { throw FileFailure("rename \(part)") }
      }
      try await onDisk { try $0.links.sync("\($0.folder)/layers") }
      try afterEffect("base")
    }
  }

  private func copy(_ path: String, to layer: String, size: Int) async throws {
    // qemu would take a name like "nbd:…" for something else than a file.
    guard path.hasPrefix("/") else { throw refusal("\(path) is not a file's path") }
    let target = files.path(ofLayer: layer)
    try await runChecked(
      "qemu-img", ["convert", "-q", "-f", "raw", "-O", "qcow2", "-S", "4k", path, target],
      timeout: .seconds(24 * 3600))
    let found = try await onDisk { try $0.header(layer) }.size
    guard found <= size else { throw refusal("the file has \(found) bytes, more than the volume") }
    if found < size { try await runChecked("qemu-img", ["resize", "-q", "-f", "qcow2", target, "\(size)"]) }
    try await settle(layer)
  }

  /// A new layer without content of its own.
  func makeLayer(_ layer: String, size: Int, over backing: String?) async throws {
    var arguments = ["create", "-q", "-f", "qcow2"]
    if let backing {
      let below = try await onDisk { try ($0.header(backing).size, $0.chain(from: backing).count) }
      guard below.0 <= size else {
        throw refusal("the source has \(below.0) bytes, more than the \(size) of the new volume")
      }
      guard below.1 < Self.maximumDepth else {
        throw refusal(
          "the content lies in \(below.1) layers, one for each snapshot and copy that it comes from, and more are slow to read. "
            + "Back the volume up and restore it into a new one")
      }
      arguments += ["-F", backing.hasSuffix(".raw") ? "raw" : "qcow2", "-b", backing]
    }
    try await runChecked("qemu-img", arguments + [files.path(ofLayer: layer), "\(size)"])
    try await settle(layer)
  }
  func settle(_ layer: String) async throws {
    try await onDisk { files in
      try files.links.sync(files.path(ofLayer: layer))
      try files.links.sync("\(files.folder)/layers")
    }
    try afterEffect("layer")
  }
  func link(_ link: LayerFiles.Link, to layer: String) async throws {
    try await onDisk { try $0.set(link, to: layer) }
    try afterEffect("link")
  }

  public func ensureSize(_ volume: String, _ size: Int) async throws {
    try await verb(volume) {
      guard size > 0, size % 512 == 0 else { throw refusal("a size is a multiple of 512 bytes: \(size)") }
      try await turns.take(volume) { try await grow(volume, to: size) }
    }
  }
  private func grow(_ volume: String, to size: Int) async throws {
    let top = try await top(of: volume)
    if let state = try await align(volume) {
      try await daemon(.volume(volume)).resize(state, to: size)
      try afterEffect("resize")
      for attachment in try await uses.attachments(of: volume) {
        try await targets.update(unit(state.disk, of: volume, size: max(size, state.size)), of: attachment)
        try afterEffect("target")
      }
    } else if try await onDisk({ try $0.header(top) }).size < size {
      try await runChecked("qemu-img", ["resize", "-q", "-f", "qcow2", files.path(ofLayer: top), "\(size)"])
      try await settle(top)
    }
  }

  public func removeVolume(_ volume: String) async throws {
    try await verb(volume) {
      try await turns.take(volume) {
        try await requireUnused(volume)
        if let snapshot = try await onDisk({ $0.snapshots.first { $0.value == volume }?.key }) {
          throw refusal("volume \(volume) has the snapshot \(snapshot)")
        }
        try await onDisk { try $0.remove(.volume(volume)) }
        try afterEffect("link")
        try await onDisk { try $0.collect() }
      }
    }
  }

  public func capacity() async throws -> (total: Int, free: Int) {
    try await verb {
      var information = statvfs()
      guard statvfs(folder, &information) == 0 else { throw FileFailure("look at the disk of \(folder)") }
      let block = Int(information.f_frsize)
      return (Int(information.f_blocks) * block, Int(information.f_bavail) * block)
    }
  }
}
