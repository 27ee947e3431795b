import APISupport
import Domain
import Store

extension IronicAPI {
  /// Refuses to deploy an image that the caller could not read themselves: naming another project's image by its id must not
  /// put its content on their machine. In the words of an image that does not exist.
  func requireImage(of node: Node, _ actor: Actor, in session: any Session) throws {
    guard let source = node.instanceInfo["image_source"]?.string else { return }
    let id = source.hasPrefix("glance://") ? String(source.dropFirst("glance://".count)) : source
    guard let image = try ImageStore.get(id, in: session) else { return }
    let member = try actor.projectID.flatMap { try ImageStore.member($0, of: image.id, in: session) }
    guard ImagePolicy.sees(image, member: member, actor) else {
      throw APIError.badRequest("Image \(source) could not be found, or is not active.")
    }
  }
}
