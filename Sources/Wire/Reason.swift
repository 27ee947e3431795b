/// Why something did not work, for two kinds of readers.
///
/// Whoever uses a machine is told what happened and what to do; whoever runs it also reads which device it was, at what
/// address, and that device's own words. What an error says is for the second kind unless it says otherwise
/// (``ReasonedError``), so nothing of the site is shown to a tenant by forgetting.
public struct Reason: Sendable, Equatable, CustomStringConvertible, ExpressibleByStringInterpolation {
  /// For everyone who sees the thing that it is about: no address, user name, path or device of the site in it.
  public var sentence: String
  /// For whoever runs the thing, in place of ``sentence``, which it includes in sense. Nil when there is no more to tell.
  public var detail: String?

  public init(_ sentence: String, detail: String? = nil) {
    self.sentence = sentence
    self.detail = detail
  }
  public init(stringLiteral value: String) { self.init(value) }

  /// What whoever runs the thing reads.
  public var whole: String { detail ?? sentence }
  /// The words for everyone: a reason that slips into a text tells nothing of the site.
  public var description: String { sentence }

  /// "Cleaning failed: " and the reason, for both kinds of readers.
  public func following(_ words: String) -> Reason {
    Reason(words + sentence, detail: detail.map { words + $0 })
  }

  /// What is known of an error: its own words where it has some for everyone, else words that only whoever runs the thing reads.
  /// - Parameter doing: what failed, as the end of "The server failed to …".
  public init(_ error: any Error, doing: String) {
    if let known = error as? any ReasonedError {
      self = known.reason
    } else {
      self.init(
        "The server failed to \(doing). Try again; if it stays so, ask the administrator, who sees why.",
        detail: "\(error)")
    }
  }
}

/// An error that knows what everyone may read of it.
public protocol ReasonedError: Error { var reason: Reason { get } }
