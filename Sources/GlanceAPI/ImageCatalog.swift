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
}
