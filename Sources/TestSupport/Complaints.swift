import Logging
import Synchronization

/// What is logged as an error, or from another level on, kept for a test to read.
public final class Complaints: Sendable {
  private let said = Mutex<[String]>([])
  private let level: Logger.Level
  public init(from level: Logger.Level = .error) { self.level = level }
  /// Oldest first.
  public var all: [String] { said.withLock { $0 } }
  public var logger: Logger { Logger(label: "complaints") { _ in Handler(complaints: self) } }

  private struct Handler: LogHandler {
    let complaints: Complaints
    var metadata: Logger.Metadata = [:]
    var logLevel: Logger.Level
    init(complaints: Complaints) { (self.complaints, logLevel) = (complaints, complaints.level) }
    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
      get { metadata[key] }
      set { metadata[key] = newValue }
    }
    func log(event: LogEvent) { complaints.said.withLock { $0.append("\(event.message)") } }
  }
}
