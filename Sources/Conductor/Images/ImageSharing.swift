import Domain
import DriverInterfaces
import Glibc

extension ImageCache {
  public func share(imageID: String, as path: String) async throws {
    let (image, sha512) = try await deployable(imageID)
    guard Self.isRaw(image.declared) else {
      throw refused(
        imageID,
        "It is of the format \(image.diskFormat ?? ""), and a kernel or ramdisk is taken as it is: make it again with --disk-format aki, ari or raw."
      )
    }
    let source = folder.content(of: imageID)
    do {
      let found = try await FileThread("shared image").run {
        try Files.share(source, as: path)
        do { return try Hashing().digest(.sha512, of: path) } catch {
          // No plain file: it leads somewhere else.
          unlink(path)
          throw error
        }
      }
      guard found == sha512 else { throw refused(imageID, Self.changed) }
    } catch let error as FileError {
      logger.error("image \(imageID): \(error)")
      throw error.isDiskFull
        ? refused(imageID, Self.fullDisk)
        : refused(imageID, "Its content is gone from the server's disk: delete the image and make it again.")
    }
  }
}
