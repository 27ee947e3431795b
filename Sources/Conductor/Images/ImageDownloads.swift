import Domain
import DriverInterfaces
import Logging
import ServiceLifecycle
import Store
import Wire

/// Fetches images from the web, each like an upload whose sender is the server itself.
///
/// That a download goes on is in the database: the image is `importing`, its task `processing`. A server that begins again
/// finds them so and says that they broke off (``ImageFolder/prepare(_:)``); nothing is taken up in its middle.
public struct ImageDownloads: Service {
  private struct Download: Sendable {
    var content: ImageIntake.Admitted
    var url: String
  }
  public let intake: ImageIntake
  private let web: any WebContentInterface
  private let logger: Logger
  private let clock: @Sendable () -> Timestamp
  private let begun: (stream: AsyncStream<Download>, continuation: AsyncStream<Download>.Continuation)

  public init(
    intake: ImageIntake, web: any WebContentInterface, logger: Logger, clock: @escaping @Sendable () -> Timestamp
  ) {
    self.intake = intake
    self.web = web
    self.logger = logger
    self.clock = clock
    begun = AsyncStream.makeStream()
  }

  /// Refuses what can be told without asking anybody.
  public func check(_ url: String) throws(WebContentError) { try web.check(url) }

  /// Begins a download that was admitted; its upload is under way until the download is over.
  public func begin(_ content: ImageIntake.Admitted, from url: String) {
    begun.continuation.yield(Download(content: content, url: url))
  }

  /// Downloads until the server stops; those that go on then are broken off and say so.
  public func run() async throws {
    await cancelWhenGracefulShutdown {
      await withDiscardingTaskGroup { group in
        for await download in begun.stream { group.addTask { await fetch(download) } }
      }
    }
  }

  private func fetch(_ download: Download) async {
    let content = download.content
    defer { intake.folder.uploadsUnderway.end(content.uploadID) }
    let settings = intake.folder.settings
    do {
      try await intake.take(content, now: clock) { upload, arrival in
        try await withThrowingTaskGroup(of: Void.self) { group in
          group.addTask {
            try await web.fetch(download.url, limit: content.limit, patience: settings.uploadPatience) { piece in
              arrival.note()
              try await upload.append(piece)
              arrival.note()
            }
          }
          group.addTask {
            try await Task.sleep(for: settings.downloadPatience)
            throw WebContentError("It was not here within \(settings.downloadPatience).")
          }
          defer { group.cancelAll() }
          try await group.next()
        }
      }
    } catch let error as UploadError {
      if case .storage(let words) = error { logger.error("image \(content.imageID): \(words)") }
    } catch is WebContentError {
      // Its task says why.
    } catch is CancellationError {
      logger.notice("image \(content.imageID): its download was broken off")
    } catch {
      logger.error("image \(content.imageID): its download failed: \(error)")
    }
  }
}
