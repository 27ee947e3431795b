import APISupport
import Conductor
import Domain
import HTTPTypes
import Store
import Wire

/// The action `createImage`: an image of what is on a server's disk. Source: Nova API reference, "Create Image".
///
/// What the server boots from decides how: a local disk is read by the agent (here); of a volume a snapshot is made.
struct ServerImage: Sendable {
  let nova: NovaAPI

  /// 202 with the image's place (until 2.44) or `image_id`. The server must be at rest (409).
  func create(
    _ value: JSON, _ row: ServerRow, _ request: APIRequest, _ version: Microversion, _ requester: Requester,
    in session: any Session
  ) throws -> APIResponse {
    guard let object = value.object else {
      throw APIError.badRequest("Invalid input for field/attribute createImage: an object is expected.")
    }
    let input = ComputeInput(object)
    try input.allow(["name", "metadata"])
    guard let name = try input.name() else { throw APIError.badRequest("'name' is a required property") }
    let metadata = try ComputeInput.metadata(input.value("metadata"), most: nova.quotas.metadataItems)
    let (server, condition) = (row.server, row.condition)
    if let task = condition.taskState {
      throw APIError.conflict("Cannot 'createImage' instance \(server.id) while it is in task_state \(task)")
    }
    guard [.active, .shutoff].contains(condition.status) else {
      throw APIError.conflict("Cannot 'createImage' instance \(server.id) while it is in vm_state \(condition.vmState)")
    }
    var node = try nova.conductor.machine(of: server, in: session)
    guard nova.conductor.imageSource(of: node) == .localDisk else {
      throw APIError.conflict("The server boots from a volume: make a snapshot of the volume.")
    }
    var image = Image(name: name, owner: server.projectID, visibility: .private, createdAt: request.now)
    image.properties = metadata
    image.properties["user_id"] = .string(try request.actor().userID)
    do { try nova.conductor.capture(&node, as: image, by: requester, in: session) } catch let error as ConductorError {
      throw APIError.conflict(error.description)
    }
    try nova.conductor.record("createImage", server.id, node.reservation, by: requester, in: session)
    if version.minor >= 45 { return APIResponse(.accepted, json: ["image_id": .string(image.id)]) }
    return APIResponse(.accepted, headers: [.location: "\(request.origin)/image/v2/images/\(image.id)"])
  }
}
