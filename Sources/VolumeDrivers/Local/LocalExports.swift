import DriverInterfaces
import Processes

extension LocalVolumes {
  public func ensureExport(_ export: VolumeExport) async throws -> VolumeAccess {
    try await verb(export.attachment, export.volume) {
      try VolumeWords.check(export, device)
      return try await turns.take(export.volume, "export \(export.attachment)") {
        let top = try await top(of: export.volume)
        if let other = try await uses.noteAttachment(export.attachment, export.volume) {
          throw refusal("attachment \(export.attachment) is one of volume \(other)")
        }
        try afterEffect("use")
        var state = try await daemon(.volume(export.volume)).start(node(top), isWritable: true)
        try afterEffect("daemon")
        state = try await align(export.volume) ?? state
        var unit = unit(state.disk, of: export.volume, size: state.size)
        unit.isReadOnly = export.isReadOnly
        try await targets.ensure(export, unit)
        try afterEffect("target")
        // What was too much to merge while nobody used the volume.
        if try await onDisk({ try $0.chain(from: top).count }) > 8 { try await shorten(export.volume) }
        return targets.access(export.attachment)
      }
    }
  }

  func unit(_ disk: String, of volume: String, size: Int) -> TargetDaemon.Unit {
    TargetDaemon.Unit(
      store: "rdwr", path: disk, size: size, scsiID: VolumeWords.scsiID(volume), isReadOnly: false)
  }

  public func removeExport(_ attachment: String) async throws {
    try await verb(attachment) {
      let volume = try await uses.volume(ofAttachment: attachment)
      try await turns.take(volume ?? attachment, "export \(attachment)") {
        try await targets.remove(attachment)
        try afterEffect("target")
        guard let volume else { return }
        let others = try await uses.attachments(of: volume).filter { $0 != attachment }
        if others.isEmpty, try await uses.readers(of: .volume(volume)).isEmpty {
          try await daemon(.volume(volume)).end()
          try afterEffect("daemon")
        }
        try await uses.forgetAttachment(attachment)
      }
    }
  }

  // MARK: Readings

  public func ensureReading(_ content: VolumeContent, reader: String) async throws -> String {
    let volume = content.volume
    return try await verb(reader, volume) {
      try await turns.take(volume) {
        let layer: String
        switch content {
        case .volume: layer = try await top(of: volume)
        case .snapshot(let snapshot, _):
          guard VolumeWords.isIdentifier(snapshot),
            let frozen = try await onDisk({ $0.layer(.snapshot(snapshot, of: volume)) })
          else { throw refusal("there is no snapshot \(snapshot)") }
          layer = frozen
        }
        if let other = try await uses.noteReader(reader, content) {
          throw refusal("reading \(reader) is one of \(other)")
        }
        try afterEffect("use")
        // A volume's daemon may write: a machine may get the volume while it is read.
        let isWritable = content == .volume(volume)
        let state = try await daemon(content).start(node(layer, isWritable: isWritable), isWritable: isWritable)
        try afterEffect("daemon")
        if isWritable { try await align(volume) }
        return state.disk
      }
    }
  }

  public func removeReading(_ reader: String) async throws {
    try await verb(reader) {
      guard let content = try await uses.content(ofReader: reader) else { return }
      try await turns.take(content.volume) {
        var others = try await uses.readers(of: content).filter { $0 != reader }
        if case .volume = content { others += try await uses.attachments(of: content.volume) }
        if others.isEmpty {
          try await daemon(content).end()
          try afterEffect("daemon")
        }
        try await uses.forgetReader(reader)
      }
    }
  }

  /// - Throws: ``DriverError`` `.busy` while a machine has the volume or somebody reads it.
  func requireUnused(_ volume: String) async throws {
    guard try await uses.attachments(of: volume).isEmpty else {
      throw DriverError(.busy, device: device, detail: "volume \(volume) is exported")
    }
    guard try await uses.readers(of: .volume(volume)).isEmpty else {
      throw DriverError(.busy, device: device, detail: "volume \(volume) is being read")
    }
    try await daemon(.volume(volume)).end()
  }

  // MARK: All of it

  public func inventory() async throws -> VolumeInventory {
    try await verb {
      let used = try await uses.all()
      let targets = try await targets.attachments(where: isOurs)
      return try await onDisk { files in
        VolumeInventory(
          volumes: Set(files.volumes), snapshots: files.snapshots, exports: targets.union(used.attachments),
          readings: Set(used.readers))
      }
    }
  }

  private func isOurs(_ unit: TargetTable.Unit) -> Bool {
    unit.store == "rdwr" && unit.path.hasPrefix("\(folder)/disks/")
  }

  /// Ends every daemon of this backend and removes its targets; the volumes stay. For the end of a site or a lab: a server that
  /// ends leaves them running, because machines run from them.
  public func stop() async throws {
    try await verb {
      try await targets.stop(where: isOurs)
      for name in fileNames(in: "\(folder)/disks") {
        try await DiskDaemon(folder: "\(folder)/disks/\(name)").end()
      }
    }
  }
}
