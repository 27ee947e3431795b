import DriverInterfaces
import Processes
import Wire

extension RBDVolumes {
  public func ensureSnapshot(_ snapshot: String, of volume: String) async throws {
    try await verb(snapshot, volume) {
      try await turns.take(volume) {
        let result = try await rbd(
          "snap", "create", "--no-progress", "\(image(ofVolume: volume))@\(snapshot)",
          allowing: Self.isThere, Self.notThere)
        if result.status == Self.notThere { throw refusal("there is no volume \(volume)") }
      }
    }
  }

  public func removeSnapshot(_ snapshot: String, of volume: String) async throws {
    try await verb(snapshot, volume) {
      try await turns.take(volume) {
        let content = VolumeContent.snapshot(snapshot, of: volume)
        guard try await uses.readers(of: content).isEmpty else {
          throw DriverError(.busy, device: device, detail: "snapshot \(snapshot) is being read")
        }
        try await rbd(
          "snap", "rm", "--no-progress", "\(image(ofVolume: volume))@\(snapshot)", allowing: Self.notThere)
      }
    }
  }

  /// Takes as long as the objects that have changed since the snapshot: Ceph copies them back.
  public func revert(_ volume: String, to snapshot: String) async throws {
    try await verb(volume, snapshot) {
      try await turns.take(volume) {
        try await requireUnused(volume)
        let size = try await existing(volume).size
        let image = image(ofVolume: volume)
        guard try await snapshots(image).contains(snapshot) else {
          throw refusal("there is no snapshot \(snapshot) of volume \(volume)")
        }
        try await rbd("snap", "rollback", "--no-progress", "\(image)@\(snapshot)", timeout: .seconds(6 * 3600))
        // The size goes back too.
        if try await existing(volume).size < size {
          try await rbd("resize", "--no-progress", "--size", "\(size)B", image)
        }
      }
    }
  }

  // MARK: Exports

  func unit(_ volume: String, size: Int) -> TargetDaemon.Unit {
    TargetDaemon.Unit(
      store: "rbd", path: image(ofVolume: volume), options: "conf=\(settings.configuration);id=\(settings.user)",
      size: size, scsiID: VolumeWords.scsiID(volume), isReadOnly: false)
  }

  public func ensureExport(_ export: VolumeExport) async throws -> VolumeAccess {
    try await verb(export.attachment, export.volume) {
      try VolumeWords.check(export, device)
      return try await turns.take(export.volume, "export \(export.attachment)") {
        var unit = unit(export.volume, size: try await existing(export.volume).size)
        unit.isReadOnly = export.isReadOnly
        if let other = try await uses.noteAttachment(export.attachment, export.volume) {
          throw refusal("attachment \(export.attachment) is one of volume \(other)")
        }
        try await targets.ensure(export, unit)
        return targets.access(export.attachment)
      }
    }
  }

  public func removeExport(_ attachment: String) async throws {
    try await verb(attachment) {
      let volume = try await uses.volume(ofAttachment: attachment)
      try await turns.take(volume ?? attachment, "export \(attachment)") {
        try await targets.remove(attachment)
        try await uses.forgetAttachment(attachment)
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
  }

  // MARK: Readings

  private func daemon(_ reader: String) -> DiskDaemon {
    DiskDaemon(folder: "\(settings.folder)/disks/\(reader)", namespace: settings.namespace)
  }

  public func ensureReading(_ content: VolumeContent, reader: String) async throws -> String {
    let volume = content.volume
    return try await verb(reader, volume) {
      try await turns.take(volume) {
        _ = try await existing(volume)
        var snapshot: String
        switch content {
        case .volume: snapshot = "read-\(reader)"
        case .snapshot(let name, _):
          guard VolumeWords.isIdentifier(name), try await snapshots(image(ofVolume: volume)).contains(name) else {
            throw refusal("there is no snapshot \(name)")
          }
          snapshot = name
        }
        if let other = try await uses.noteReader(reader, content) {
          throw refusal("reading \(reader) is one of \(other)")
        }
        if case .volume = content {
          try await rbd(
            "snap", "create", "--no-progress", "\(image(ofVolume: volume))@\(snapshot)", allowing: Self.isThere)
        }
        let node: JSON = [
          "driver": "rbd", "node-name": .string(DiskDaemon.nodeName(reader)), "read-only": true,
          "pool": .string(settings.pool), "image": .string("volume-\(volume)"), "snapshot": .string(snapshot),
          "conf": .string(settings.configuration), "user": .string(settings.user),
        ]
        return try await daemon(reader).start(node, isWritable: false).disk
      }
    }
  }

  public func removeReading(_ reader: String) async throws {
    try await verb(reader) {
      guard let content = try await uses.content(ofReader: reader) else { return }
      try await turns.take(content.volume) {
        try await daemon(reader).end()
        if case .volume(let volume) = content {
          try await rbd(
            "snap", "rm", "--no-progress", "\(image(ofVolume: volume))@read-\(reader)", allowing: Self.notThere)
        }
        try await uses.forgetReader(reader)
      }
    }
  }

  // MARK: All of it

  public func inventory() async throws -> VolumeInventory {
    try await verb {
      let used = try await uses.all()
      let targets = try await targets.attachments(where: isOurs)
      var inventory = VolumeInventory(exports: targets.union(used.attachments), readings: Set(used.readers))
      let listing = try await rbd("ls", "--long", "--format", "json", settings.pool, timeout: .seconds(600))
      for entry in (try? JSON.parse(listing.output))?.array ?? [] {
        guard let image = entry["image"]?.string, image.hasPrefix("volume-") else { continue }
        let volume = String(image.dropFirst("volume-".count))
        guard let snapshot = entry["snapshot"]?.string else {
          inventory.volumes.insert(volume)
          continue
        }
        if !snapshot.hasPrefix("from-"), !snapshot.hasPrefix("read-") { inventory.snapshots[snapshot] = volume }
      }
      return inventory
    }
  }

  private func isOurs(_ unit: TargetTable.Unit) -> Bool { unit.store == "rbd" && unit.path.hasPrefix(image("volume-")) }

  /// As ``LocalVolumes/stop()``.
  public func stop() async throws {
    try await verb {
      try await targets.stop(where: isOurs)
      for name in fileNames(in: "\(settings.folder)/disks") {
        try await DiskDaemon(folder: "\(settings.folder)/disks/\(name)").end()
      }
    }
  }
}
