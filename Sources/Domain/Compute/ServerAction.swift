import Wire

/// What was asked of a server, and the workflow that does it. Source: Nova API v2.1, "Servers actions" (`os-instance-actions`).
public struct ServerAction: Sendable, Equatable {
  public var serverID: String
  /// "create", "stop", "rebuild".
  public var name: String
  public var requestID: String
  public var userID: String?
  public var projectID: String?
  /// The workflow; nil for what was done at once.
  public var workflowID: String?
  public var message: String?
  public var startedAt: Timestamp
  public init(_ name: String, of serverID: String, requestID: String, startedAt: Timestamp) {
    self.name = name
    self.serverID = serverID
    self.requestID = requestID
    self.startedAt = startedAt
  }
}

/// A network port of a server.
public struct ServerPort: Sendable, Equatable {
  public var portID: String
  /// The server made it: it goes with the server, or when it is detached.
  public var isMade: Bool
  /// The NIC's role, for the system (`tag`).
  public var tag: String?
  public init(_ portID: String, isMade: Bool, tag: String? = nil) {
    self.portID = portID
    self.isMade = isMade
    self.tag = tag
  }
}
