import BlockMaps
import Cryptography
import Domain
import DriverInterfaces
import Store
import Wire

extension ImageCache {
  public nonisolated var largestCapture: Int { min(folder.settings.largestImage, folder.settings.largestDisk) }

  public nonisolated var projectLimits: (count: Int, bytes: Int) {
    (folder.settings.mostPerProject, folder.settings.largestPerProject)
  }

  public func take(_ disk: CapturedDisk, as imageID: String, clock: @escaping @Sendable () -> Timestamp) async throws {
    let intake = ImageIntake(database: database, folder: folder)
    let uploadID = Identifier.uuid()
    folder.uploadsUnderway.begin(uploadID)
    defer { folder.uploadsUnderway.end(uploadID) }
    let admitted = try await database.write { session -> ImageIntake.Admitted? in
      guard var image = try ImageStore.get(imageID, in: session) else { throw UploadError.deleted }
      // This has happened before: the server was killed after it.
      if image.status == .active, image.properties["image_type"] == "snapshot" { return nil }
      // What a killed server began is not under way any more; what somebody else sends is.
      guard image.status == .queued || !self.folder.uploadsUnderway.ids.contains(image.uploadID ?? "") else {
        throw UploadError.refused("Somebody is sending other content for the image \(imageID).")
      }
      guard let declared = image.declared else { throw UploadError.refused("The image has no format any more.") }
      return try intake.admit(
        &image, declared: declared, uploadID: uploadID, as: .saving, becoming: .active, in: session)
    }
    guard let admitted else { return }
    do {
      let map = try BlockMap(parsing: disk.map)
      let reader = try await ImageReader(path: disk.path)
      guard reader.size == map.size else { throw Self.different }
      try await intake.take(admitted, length: map.size, now: clock) { upload, arrival in
        for index in 0..<map.count {
          let range = map.range(of: index)
          var bytes = [UInt8](repeating: 0, count: map.isZero(index) ? range.count : 0)
          if let digest = map.digest(of: index) {
            bytes = try await reader.read(at: range.lowerBound, count: range.count)
            guard Digest.sha256(bytes) == Array(digest) else { throw Self.different }
          }
          try await upload.append(bytes)
          arrival.note()
        }
      }
    } catch let error as BlockFormatError {
      throw UploadError.refused(error.description)
    }
  }
  private static var different: UploadError {
    .refused("What arrived is not what was read from the machine's disk; capture it again.")
  }

  public func discard(imageID: String) async throws { folder.removeContent(of: imageID) }
}
