/// A place outside that is told what happens to leases, by HTTP.
public struct Webhook: Sendable, Equatable {
  /// "https://…" or "http://…".
  public var url: String
  /// Signs what is sent, so that the receiver can tell it from anybody else's; nil sends it unsigned.
  public var secret: [UInt8]?
  /// Beginnings of the event types that are sent: "esi_leap.lease.expire.notice", or "esi_leap." for all.
  public var events: [String]
  /// May be on this machine or on a link-local address.
  public var isLocalAllowed: Bool

  public init(
    url: String, secret: [UInt8]? = nil, events: [String] = ["esi_leap.lease.expire.notice"],
    isLocalAllowed: Bool = false
  ) {
    self.url = url
    self.secret = secret
    self.events = events
    self.isLocalAllowed = isLocalAllowed
  }
}

/// Sends one message to a webhook.
public protocol WebhookInterface: Sendable {
  /// POSTs `body` once; no redirect is followed.
  /// - Parameter headers: beside the content type.
  /// - Throws: ``WebhookError`` unless the receiver answered with 2xx.
  func post(_ body: [UInt8], headers: [(String, String)], to webhook: Webhook) async throws
}

/// Why a webhook was not told.
public struct WebhookError: Error, Sendable, Equatable, CustomStringConvertible {
  public let description: String
  public init(_ description: String) { self.description = description }
}
