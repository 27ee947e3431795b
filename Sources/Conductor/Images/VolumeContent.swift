import Domain
import DriverInterfaces
import Store
import Wire

/// A volume's bytes as an image's content.
extension ImageCache {
  public func take(file path: String, as imageID: String, clock: @escaping @Sendable () -> Timestamp) async throws {
    let intake = ImageIntake(database: database, folder: folder)
    let uploadID = Identifier.uuid(), folder = folder
    // First: what cannot be read admits nothing.
    let reader = try await ImageReader(path: path)
    folder.uploadsUnderway.begin(uploadID)
    defer { folder.uploadsUnderway.end(uploadID) }
    let admitted = try await database.write { session -> ImageIntake.Admitted? in
      guard var image = try ImageStore.get(imageID, in: session) else { throw UploadError.deleted }
      // It was taken before: the server was killed after it.
      if image.status == .active { return nil }
      guard image.status == .queued || !folder.uploadsUnderway.ids.contains(image.uploadID ?? "") else {
        throw UploadError.refused("Somebody is sending other content for the image \(imageID).")
      }
      guard let declared = image.declared else { throw UploadError.refused("The image has no format any more.") }
      return try intake.admit(
        &image, declared: declared, uploadID: uploadID, as: .saving, becoming: .active, in: session)
    }
    guard let admitted else { return }
    try await intake.take(admitted, length: reader.size, now: clock) { upload, arrival in
      var offset = 0
      while offset < reader.size {
        let bytes = try await reader.read(at: offset, count: min(1 << 20, reader.size - offset))
        guard !bytes.isEmpty else { throw UploadError.cutOff }
        try await upload.append(bytes)
        offset += bytes.count
        arrival.note()
      }
    }
  }
}
