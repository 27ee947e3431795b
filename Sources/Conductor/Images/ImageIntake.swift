import Domain
import DriverInterfaces
import Store
import Synchronization
import Wire

/// Takes an image's content in, whoever sends it: from the transaction that admits it to the one that says that it is here.
///
/// An intake that ends in any other way leaves nothing: no bytes, no quota, and the image is `queued` again.
public struct ImageIntake: Sendable {
  public let database: Database
  public let folder: ImageFolder

  public init(database: Database, folder: ImageFolder) {
    self.database = database
    self.folder = folder
  }

  /// Content that was admitted.
  public struct Admitted: Sendable {
    public var imageID: String
    public var uploadID: String
    public var declared: ImageContent.Declared
    /// Most bytes.
    public var limit: Int
    /// What the image is when all of it is here.
    public var becomes: Image.Status
    /// The task that tells of it; nil for an upload.
    public var taskID: String?
  }

  /// Admits content for an image, in the caller's transaction.
  /// - Parameters:
  ///   - uploadID: under way (``UploadsUnderway``) since before the transaction.
  ///   - status: `saving`, or `importing`.
  /// - Throws: ``UploadError/tooMany(_:)``.
  public func admit(
    _ image: inout Image, declared: ImageContent.Declared, uploadID: String, as status: Image.Status,
    becoming: Image.Status, taskID: String? = nil, in session: any Session
  ) throws -> Admitted {
    let settings = folder.settings
    guard try ImageStore.uploadsUnderway(owner: image.owner, in: session) < settings.mostUploadsAtOnce else {
      throw UploadError.tooMany(
        "The project has \(settings.mostUploadsAtOnce) uploads going on, which is the most; wait for one to end.")
    }
    if status == .importing, try ImageStore.downloadsUnderway(in: session) >= settings.mostDownloads {
      throw UploadError.tooMany(
        "The site has \(settings.mostDownloads) downloads going on, which is the most; wait for one to end.")
    }
    let left = settings.largestPerProject - (try ImageStore.bytesUsed(owner: image.owner, in: session))
    image.status = status
    image.uploadID = uploadID
    try ImageStore.update(image, in: session)
    return Admitted(
      imageID: image.id, uploadID: uploadID, declared: declared, limit: max(0, min(settings.largestImage, left)),
      becomes: becoming, taskID: taskID)
  }

  /// When the last bytes came in.
  public final class Arrival: Sendable {
    private let last = Mutex(ContinuousClock.now)
    public func note() { last.withLock { $0 = .now } }
    var age: Duration { last.withLock { .now - $0 } }
  }

  /// Takes the content.
  /// - Parameters:
  ///   - length: bytes that the sender announced; nil when it did not.
  ///   - now: for what is written at the end.
  ///   - feed: hands all of it over, and notes what arrives; a sender that stands still is cut off.
  /// - Throws: ``UploadError``, and what `feed` throws.
  public func take(
    _ content: Admitted, length: Int? = nil, now: @Sendable () -> Timestamp,
    feed: @escaping @Sendable (ImageUpload, Arrival) async throws -> Void
  ) async throws {
    do {
      let facts = try await receive(content, length: length, feed: feed)
      try await finish(content, facts, at: now())
    } catch {
      // Cut off, too large or refused: nothing of it is left, and the owner can begin again. The task may be cancelled by
      // now, and this must happen all the same.
      let (time, message) = (now(), Self.sentence(error))
      await Task { await giveUp(content, because: message, at: time) }.value
      throw error
    }
  }

  private static func sentence(_ error: any Error) -> String {
    switch error {
    case let error as UploadError: error.description
    case let error as WebContentError: error.description
    case is CancellationError: "The server was stopped during the import; import again."
    default: "The server failed; the administrator finds the reason in the log."
    }
  }

  private func receive(
    _ content: Admitted, length: Int?, feed: @escaping @Sendable (ImageUpload, Arrival) async throws -> Void
  ) async throws -> ImageFacts {
    if let length, length > content.limit { throw UploadError.tooLarge(limit: content.limit) }
    let upload = try await folder.upload(content.imageID, uploadID: content.uploadID, limit: content.limit)
    do {
      let patience = folder.settings.uploadPatience
      let arrival = Arrival()
      try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask { try await feed(upload, arrival) }
        group.addTask {
          while true {
            try await Task.sleep(for: min(max(patience / 4, .milliseconds(50)), .seconds(5)))
            if arrival.age > patience { throw UploadError.cutOff }
            // Nobody waits for what has no image any more.
            guard try await isWanted(content) else { throw UploadError.deleted }
          }
        }
        defer { group.cancelAll() }
        try await group.next()
      }
      return try await upload.publish(
        declared: content.declared, length: length, largestDisk: folder.settings.largestDisk)
    } catch {
      upload.discard()
      throw error
    }
  }

  private func isWanted(_ content: Admitted) async throws -> Bool {
    try await database.read { try ImageStore.get(content.imageID, in: $0)?.uploadID == content.uploadID }
  }

  private func finish(_ content: Admitted, _ facts: ImageFacts, at now: Timestamp) async throws {
    let settings = folder.settings
    let isThere = try await database.write { session in
      guard var image = try ImageStore.get(content.imageID, in: session), image.uploadID == content.uploadID else {
        return false
      }
      // Others of the project may have come to their end meanwhile.
      let left = settings.largestPerProject - (try ImageStore.bytesUsed(owner: image.owner, in: session))
      guard facts.size <= left else { throw UploadError.tooLarge(limit: max(0, left)) }
      image.status = content.becomes
      image.uploadID = nil
      image.size = facts.size
      image.virtualSize = facts.virtualSize
      image.md5 = facts.md5
      image.sha512 = facts.sha512
      image.updatedAt = now
      try ImageStore.update(image, in: session)
      if let task = content.taskID { try ImageTaskStore.end(task, .success, message: "", at: now, in: session) }
      return true
    }
    guard isThere else {
      folder.removeContent(of: content.imageID)
      throw UploadError.deleted
    }
  }

  private func giveUp(_ content: Admitted, because message: String, at now: Timestamp) async {
    let folder = folder
    // A database that fails here has failed before (a full disk): the next upload, or the sweeper, puts the image back to
    // queued, and the sweeper removes what is left of it.
    try? await database.write { session in
      guard var image = try ImageStore.get(content.imageID, in: session), image.uploadID == content.uploadID else {
        return
      }
      image.status = .queued
      image.uploadID = nil
      try ImageStore.update(image, in: session)
      if let task = content.taskID { try ImageTaskStore.end(task, .failure, message: message, at: now, in: session) }
      // It may have got its name before the database failed.
      session.afterCommit { folder.removeContent(of: content.imageID) }
    }
  }
}
