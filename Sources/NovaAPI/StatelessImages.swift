import APISupport
import Domain
import Store

/// Refuses an image whose kernel or ramdisk the caller could not read themselves, as if they were not there: naming another
/// project's image in a property of one's own must not put its content on one's machine.
func requireParts(of image: Image, _ actor: Actor, in session: any Session) throws {
  guard image.isStateless, let parts = image.kernelAndRamdisk else { return }
  for id in [parts.kernel, parts.ramdisk] where try ImageStore.get(id, seenBy: actor, in: session) == nil {
    throw APIError.badRequest("Image \(id.prefix(200)), a part of image \(image.id), could not be found.")
  }
}
