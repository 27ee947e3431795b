/// Fetches what a URL names, for somebody whose word is not trusted.
///
/// The URL may lead anywhere; so what it leads to is looked at before anything is sent there, and looked at again for each
/// redirect (CVE-2026-34881).
public protocol WebContentInterface: Sendable {
  /// Refuses what can be told without asking anybody: no URL of http or https, a port that is not meant, an address that is
  /// not on the public Internet.
  /// - Throws: ``WebContentError``.
  func check(_ url: String) throws(WebContentError)

  /// Fetches it once, from its beginning to its end.
  /// - Parameters:
  ///   - limit: most bytes; more are refused as soon as they are announced, else as they come.
  ///   - patience: how long it may stand still.
  ///   - take: gets the pieces in their order; its error ends the transfer and is thrown on.
  /// - Throws: ``WebContentError``, when it ends before the announced end too.
  func fetch(
    _ url: String, limit: Int, patience: Duration, take: @escaping @Sendable ([UInt8]) async throws -> Void
  ) async throws
}

/// Why there is no content: a sentence for whoever gave the URL. It does not tell what a name resolves to.
public struct WebContentError: Error, Sendable, Equatable, CustomStringConvertible {
  public let description: String
  public init(_ description: String) { self.description = description }
}
