import Domain
import DriverInterfaces
import Glibc

extension ImageCache {
  public func ensurePacked(imageID: String, progress: @escaping Progress) async throws -> PackedImage {
    if let known = packing[imageID] {
      known.listeners.add(progress)
      return try await known.task.value
    }
    let listeners = Listeners()
    listeners.add(progress)
    let task = Task { try await self.pack(imageID, listeners) }
    packing[imageID] = Conversion(task: task, listeners: listeners)
    defer { packing[imageID] = nil }
    return try await task.value
  }

  /// The packed form is made of the raw one, whose checksum is looked at in the same pass. A raw form that was made only for it
  /// goes again: an image costs the disk its content and its packed blocks.
  private func pack(_ imageID: String, _ listeners: Listeners) async throws -> PackedImage {
    let (image, sha512) = try await deployable(imageID)
    let paths = CachePaths(folder: folder, imageID: imageID)
    let thread = FileThread("image cache")
    if let known = try await thread.run({ try paths.finishedPacked(source: sha512) }) { return known }
    let wasThere = try await thread.run { try paths.finished(source: sha512) != nil }
    if !wasThere { rawWanted.remove(imageID) }
    let isConverted = !Self.isRaw(image.declared)
    let raw = try await raw(imageID) { heard in
      listeners.tell(ImageProgress(heard.phase, heard.fraction * 0.6))
    }
    if freeSlots == 0 { listeners.tell(ImageProgress(.waiting, isConverted ? 0.6 : 0)) }
    await takeSlot()
    defer { giveSlot() }
    let work = Packing()
    do {
      let result = try await watched(
        { listeners.tell($0) }, .packing, from: isConverted ? 0.6 : 0, to: 1, { work.fraction }
      ) { try await work.run(raw.path, into: paths.blocksPart, isConverted ? .writtenBlocks : .everyByte) }
      guard result.digest == raw.digest else { throw refused(imageID, Self.changed) }
      let packed = try await thread.run { try paths.finishPacked(result, source: sha512) }
      if isConverted, !wasThere, !rawWanted.contains(imageID) { try await thread.run { paths.removeRaw() } }
      listeners.tell(ImageProgress(.packing, 1))
      return packed
    } catch {
      unlink(paths.blocksPart)
      if let error = error as? FileError {
        logger.error("image \(imageID): \(error)")
        if error.isDiskFull { throw refused(imageID, Self.fullDisk) }
      }
      throw error
    }
  }
  static func isRaw(_ declared: ImageContent.Declared?) -> Bool {
    declared.map { ImageContent.converted[$0.format] == nil && !$0.isCompressed } ?? false
  }
}
