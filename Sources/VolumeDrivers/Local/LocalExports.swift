import DriverInterfaces
import Processes

/// Who uses a volume is kept as links: `exports/ATTACHMENT` to "VOLUME", `readings/READER` to "VOLUME" or "VOLUME@SNAPSHOT".
/// They are made before the daemon and removed after it, so that there is never a daemon of which nobody knows.
extension LocalVolumes {
  public func ensureExport(_ export: VolumeExport) async throws -> VolumeAccess {
    try await verb(export.attachment, export.volume) {
      try check(export)
      return try await turns.take(export.volume, "export \(export.attachment)") {
        let link = "exports/\(export.attachment)"
        if let present = try await onDisk({ $0.target(of: link) }), present != export.volume {
          throw refusal("attachment \(export.attachment) is one of volume \(present)")
        }
        let top = try await top(of: export.volume)
        try await onDisk { if $0.target(of: link) == nil { try $0.setLink(link, to: export.volume) } }
        try afterEffect("use")
        var state = try await daemon(.volume(export.volume)).start(top, isWritable: true)
        try afterEffect("daemon")
        state = try await align(export.volume) ?? state
        var unit = unit(state.disk, of: export.volume, size: state.size)
        unit.isReadOnly = export.isReadOnly
        try await targets.ensure(export, unit)
        try afterEffect("target")
        return targets.access(export.attachment)
      }
    }
  }

  private func check(_ export: VolumeExport) throws {
    guard VolumeWords.isUserName(export.userName) else {
      throw refusal("a CHAP user name has letters, digits and -._: only, and at most 128 of them")
    }
    guard VolumeWords.isPassword(export.password) else {
      throw refusal("a CHAP password has 12 to 128 characters of ASCII, and no blanks")
    }
    for initiator in export.initiators where !VolumeWords.isInitiator(initiator) {
      throw refusal("\"\(initiator)\" is not an initiator's name")
    }
  }

  func unit(_ disk: String, of volume: String, size: Int) -> TargetDaemon.Unit {
    TargetDaemon.Unit(
      store: "rdwr", path: disk, size: size, scsiID: String(volume.filter(\.isHexDigit).prefix(32)), isReadOnly: false)
  }

  public func removeExport(_ attachment: String) async throws {
    try await verb(attachment) {
      let link = "exports/\(attachment)"
      let volume = try await onDisk { $0.target(of: link) }
      try await turns.take(volume ?? attachment, "export \(attachment)") {
        try await targets.remove(attachment)
        try afterEffect("target")
        guard let volume else { return }
        if try await attachments(of: volume) == [attachment], try await readers(of: .volume(volume)).isEmpty {
          try await daemon(.volume(volume)).end()
          try afterEffect("daemon")
        }
        try await onDisk { try $0.removeLink(link) }
      }
    }
  }

  // MARK: Readings

  public func ensureReading(_ content: VolumeContent, reader: String) async throws -> String {
    let (volume, text) = Self.describe(content)
    return try await verb(reader, volume) {
      try await turns.take(volume) {
        let link = "readings/\(reader)"
        if let present = try await onDisk({ $0.target(of: link) }), present != text {
          throw refusal("reading \(reader) is one of \(present)")
        }
        let layer: String
        switch content {
        case .volume: layer = try await top(of: volume)
        case .snapshot(let snapshot, _):
          guard VolumeWords.isIdentifier(snapshot),
            let frozen = try await onDisk({ $0.layer(.snapshot(snapshot, of: volume)) })
          else { throw refusal("there is no snapshot \(snapshot)") }
          layer = frozen
        }
        try await onDisk { if $0.target(of: link) == nil { try $0.setLink(link, to: text) } }
        try afterEffect("use")
        // A volume's daemon may write: a machine may get the volume while it is read.
        let state = try await daemon(content).start(layer, isWritable: content == .volume(volume))
        try afterEffect("daemon")
        if case .volume = content { try await align(volume) }
        return state.disk
      }
    }
  }

  public func removeReading(_ reader: String) async throws {
    try await verb(reader) {
      let link = "readings/\(reader)"
      guard let text = try await onDisk({ $0.target(of: link) }) else { return }
      let content = Self.content(text)
      let volume = Self.describe(content).volume
      try await turns.take(volume) {
        var others = try await readers(of: content).filter { $0 != reader }
        if case .volume = content { others += try await attachments(of: volume) }
        if others.isEmpty {
          try await daemon(content).end()
          try afterEffect("daemon")
        }
        try await onDisk { try $0.removeLink(link) }
      }
    }
  }

  private static func describe(_ content: VolumeContent) -> (volume: String, text: String) {
    switch content {
    case .volume(let volume): (volume, volume)
    case .snapshot(let snapshot, let volume): (volume, "\(volume)@\(snapshot)")
    }
  }
  private static func content(_ text: String) -> VolumeContent {
    let parts = text.split(separator: "@").map { String($0) }
    return parts.count == 2 ? .snapshot(parts[1], of: parts[0]) : .volume(text)
  }

  // MARK: Who uses what

  func attachments(of volume: String) async throws -> [String] {
    try await onDisk { files in
      fileNames(in: "\(files.folder)/exports").filter { files.target(of: "exports/\($0)") == volume }
    }
  }
  func readers(of content: VolumeContent) async throws -> [String] {
    let text = Self.describe(content).text
    return try await onDisk { files in
      fileNames(in: "\(files.folder)/readings").filter { files.target(of: "readings/\($0)") == text }
    }
  }
  /// - Throws: ``DriverError`` `.busy` while a machine has the volume or somebody reads it.
  func requireUnused(_ volume: String) async throws {
    guard try await attachments(of: volume).isEmpty else {
      throw DriverError(.busy, device: device, detail: "volume \(volume) is exported")
    }
    guard try await readers(of: .volume(volume)).isEmpty else {
      throw DriverError(.busy, device: device, detail: "volume \(volume) is being read")
    }
    try await daemon(.volume(volume)).end()
  }

  // MARK: All of it

  public func inventory() async throws -> VolumeInventory {
    try await verb {
      let targets = try await targets.attachments()
      return try await onDisk { files in
        VolumeInventory(
          volumes: Set(files.volumes), snapshots: files.snapshots,
          exports: Set(fileNames(in: "\(files.folder)/exports") + targets),
          readings: Set(fileNames(in: "\(files.folder)/readings")))
      }
    }
  }

  /// Ends every daemon of this backend and removes all targets; the volumes stay. For the end of a site or a lab: a server that
  /// ends leaves them running, because machines run from them.
  public func stop() async throws {
    try await verb {
      try await targets.stop()
      for name in fileNames(in: "\(folder)/disks") {
        try await DiskDaemon(folder: "\(folder)/disks/\(name)", files: files).end()
      }
    }
  }
}
