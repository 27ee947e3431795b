import APISupport
import Conductor
import Domain
import Store
import Wire

/// Images that other services have made: the same checks, rights and limits as this one's own.
extension GlanceAPI: ImageCatalog {
  public func makeImage(
    _ members: JSONObject, for actor: Actor, at now: Timestamp, in session: any Session
  ) throws -> Image {
    try ImageRoutes(glance: self).make(members, for: actor, at: now, in: session)
  }
  public func deleteImage(_ id: String, for actor: Actor, in session: any Session) throws {
    let image = try ImageLookup.changeable(id, actor, verb: "delete", session)
    guard !image.isProtected else { throw APIError.forbidden("Image \(id) is protected and cannot be deleted.") }
    try ImageStore.delete(id, in: session)
    // An upload that goes on now finds its image gone and removes what it wrote.
    try folder.imageDeleted(id, in: session)
  }
}
