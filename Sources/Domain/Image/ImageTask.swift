import Wire

/// An import of an image's content, as the API tells of it. It goes with its image.
///
/// Source: Glance API reference, "Tasks" and "Show tasks associated with image".
public struct ImageTask: Sendable, Equatable {
  public enum Status: String, Sendable, CaseIterable { case pending, processing, success, failure }

  public var id: String
  public var imageID: String
  /// The image's project.
  public var owner: String
  /// Who asked for it, in which request ("req-…").
  public var userID: String
  public var requestID: String
  /// What was asked for: `name`, and what belongs to it.
  public var method: JSONObject
  public var status: Status
  /// Why it failed; empty else.
  public var message: String
  public var createdAt: Timestamp
  public var updatedAt: Timestamp

  public init(
    id: String = Identifier.uuid(), imageID: String, owner: String, userID: String, requestID: String,
    method: JSONObject, status: Status, createdAt: Timestamp
  ) {
    self.id = id
    self.imageID = imageID
    self.owner = owner
    self.userID = userID
    self.requestID = requestID
    self.method = method
    self.status = status
    message = ""
    self.createdAt = createdAt
    updatedAt = createdAt
  }
}
