import APISupport
import Conductor
import Domain
import Store
import Wire

/// The image service: Glance's API v2. Source: Glance API reference, "Images Service API v2".
public struct GlanceAPI: Sendable {
  let database: Database
  let folder: ImageFolder
  /// What fetches images from the web; nil where that is not offered.
  let downloads: ImageDownloads?

  /// - Parameters:
  ///   - folder: tidied up (``ImageFolder/prepare(_:)``) before the first request.
  ///   - downloads: running; nil does not offer them.
  public init(database: Database, folder: ImageFolder, downloads: ImageDownloads? = nil) {
    self.database = database
    self.folder = folder
    self.downloads = downloads
  }
  var intake: ImageIntake { ImageIntake(database: database, folder: folder) }
  /// The ways of an import.
  var importMethods: [String] { downloads == nil ? ["glance-direct"] : ["glance-direct", "web-download"] }

  public var service: Service {
    Service(
      name: "glance", type: "image", prefix: "/image", errorShape: .keystone,
      endpoints: ImageVersionRoutes().endpoints + ImageRoutes(glance: self).endpoints
        + ImageFileRoutes(glance: self).endpoints
        + ImageMemberRoutes(glance: self).endpoints + ImageTagRoutes(glance: self).endpoints
        + ImageActionRoutes(glance: self).endpoints + ImageImportRoutes(glance: self).endpoints
        + ImageTaskRoutes(glance: self).endpoints + ImageInfoRoutes(glance: self).endpoints + SchemaRoutes().endpoints)
  }
}

extension EndpointRule {
  /// Members of a project, with their own project's images; what they may touch is ``ImagePolicy``.
  static func member(_ name: String) -> EndpointRule {
    EndpointRule("image:\(name)", "a member, with their own project's images") { ImagePolicy.isMember($0) }
  }
}

extension APIError {
  static func imageNotFound(_ id: String) -> APIError { .notFound("No image found with ID \(id)") }
  static func imageForbidden(_ sentence: String) -> APIError { .forbidden(sentence) }
}

/// An image that the caller may see, or 404.
enum ImageLookup {
  static func visible(_ id: String, _ actor: Actor, _ session: any Session) throws -> Image {
    guard let image = try ImageStore.get(id, in: session) else { throw APIError.imageNotFound(id) }
    let member = try actor.projectID.flatMap { try ImageStore.member($0, of: id, in: session) }
    guard ImagePolicy.sees(image, member: member, actor) else { throw APIError.imageNotFound(id) }
    return image
  }
  /// - Parameter verb: for the message: "modify", "delete".
  static func changeable(_ id: String, _ actor: Actor, verb: String, _ session: any Session) throws -> Image {
    let image = try visible(id, actor, session)
    guard ImagePolicy.mayChange(image, actor) else {
      throw APIError.imageForbidden("You are not permitted to \(verb) this image.")
    }
    return image
  }
}
