import APISupport
import Conductor
import Domain
import HTTPTypes
import Store
import Wire

/// The action `rebuild`: another image on the same machine, with the same networks. Source: Nova API reference, "Rebuild Server".
struct ServerRebuild: Sendable {
  let nova: NovaAPI

  func rebuild(_ request: APIRequest, _ value: JSON) async throws -> APIResponse {
    let (actor, id) = (try request.actor(), try request.parameter("server"))
    let version = try nova.microversion(request)
    guard let object = value.object else {
      throw APIError.badRequest("Invalid input for field/attribute rebuild: an object is expected.")
    }
    let input = ComputeInput(object)
    var known: Set<String> = [
      "imageRef", "name", "adminPass", "OS-DCF:diskConfig", "accessIPv4", "accessIPv6", "metadata",
      "preserve_ephemeral", "personality",
    ]
    if version.minor >= 19 { known.insert("description") }
    if version.minor >= 54 { known.insert("key_name") }
    if version.minor >= 57 {
      known.insert("user_data")
      known.remove("personality")
    }
    if version.minor >= 63 { known.insert("trusted_image_certificates") }
    if version.minor >= 90 { known.insert("hostname") }
    try input.allow(known)
    guard let text = input.value("imageRef")?.string else {
      throw APIError.badRequest("'imageRef' is a required property")
    }
    guard let imageID = ComputeInput.uuid(text.split(separator: "/").last.map { String($0) } ?? text) else {
      throw APIError.badRequest("Invalid imageRef provided.")
    }
    let name = try input.name(isStrict: true)
    let v4 = try ServerDraft.address(input, "accessIPv4", version: 4)
    let v6 = try ServerDraft.address(input, "accessIPv6", version: 6)
    let metadata = try input.value("metadata").map {
      try ComputeInput.metadata($0, most: nova.quotas.metadataItems)
    }
    let userData = try ServerDraft.userData(input)
    let description = try input.text("description", 0...255)
    let hostname = try input.text("hostname", 2...255).map { try ServerDraft.hostname($0, input, version) }
    let keyName = try input.text("key_name", 1...255)
    let view = try ServerView(request, zone: nova.conductor.zone)
    let (shown, keyNameNow) = try await nova.database.write { session -> (JSONObject, String?) in
      var server = try Lookup.changeable(id, actor, session).server
      let condition = try Lookup.server(id, actor, session).condition
      if let task = condition.taskState {
        throw APIError.conflict("Cannot 'rebuild' instance \(id) while it is in task_state \(task)")
      }
      guard [.active, .shutoff, .error].contains(condition.status) else {
        throw APIError.conflict("Cannot 'rebuild' instance \(id) while it is in vm_state \(condition.vmState)")
      }
      guard server.imageID != nil else {
        throw APIError.badRequest(
          "Unable to rebuild a server that boots from a volume: revert its volume to a snapshot, or make another server from the image."
        )
      }
      guard let image = try ImageStore.get(imageID, seenBy: actor, in: session), image.status == .active else {
        throw APIError.badRequest("Cannot find image for rebuild")
      }
      try requireParts(of: image, actor, in: session)
      server.imageID = imageID
      if let name { server.name = name }
      if let v4 { server.accessIPv4 = v4 }
      if let v6 { server.accessIPv6 = v6 }
      if let metadata { server.metadata = metadata }
      if input.has("user_data") { server.userData = userData }
      if input.has("description") { server.description = description }
      if let hostname { server.hostname = hostname }
      if input.has("key_name") {
        let key = try keyName.flatMap { try KeypairStore.get($0, user: actor.userID, in: session) }
        guard (key == nil) == (keyName == nil) else { throw APIError.badRequest("Invalid key_name provided.") }
        server.keyName = keyName
        server.publicKey = key?.publicKey
      }
      server.updatedAt = request.now
      do {
        try nova.conductor.rebuild(
          server, by: Requester(actor, requestID: request.requestID), in: session)
      } catch let error as ConductorError { throw APIError.conflict(error.description) }
      let row = try Lookup.server(id, actor, session)
      return (
        try ServerRoutes.shown(row, view, session, isShort: version.minor < 75), row.server.keyName
      )
    }
    var answer = shown
    if version.minor < 75 {
      if version.minor >= 54 { answer["key_name"] = JSON(keyNameNow) }
      if version.minor >= 57 { answer["user_data"] = JSON(userData) }
    } else {
      answer["OS-EXT-SRV-ATTR:user_data"] = nil
      answer["user_data"] = JSON(input.has("user_data") ? userData : nil)
    }
    return APIResponse(
      .accepted, json: ["server": .object(answer)],
      headers: [.location: "\(request.serviceURL)/v2.1/servers/\(id)"])
  }
}
