import APISupport
import Conductor
import Domain
import Store

extension IronicAPI {
  /// Refuses to deploy an image that the caller could not read themselves: naming another project's image by its id must not
  /// put its content on their machine. In the words of an image that does not exist.
  func requireImage(of node: Node, _ actor: Actor, in session: any Session) throws {
    var sources: [String] = []
    if let source = node.instanceInfo["image_source"]?.string { sources.append(source) }
    if let parts = try conductor.ramdiskImages(of: node, in: session) { sources += [parts.kernel, parts.ramdisk] }
    for source in sources {
      let id = Conductor.imageID(source)
      guard try ImageStore.get(id, in: session) != nil else { continue }
      guard try ImageStore.get(id, seenBy: actor, in: session) != nil else {
        throw APIError.badRequest("Image \(source) could not be found, or is not active.")
      }
    }
  }
}
