import APISupport
import Conductor
import Domain
import HTTPTypes
import NIOCore
import Store
import Synchronization
import Wire

/// `/v2/images/{image}/file` and `stage`: an image's content. Source: Glance API reference, "Image data" and "Stage binary image
/// data".
struct ImageFileRoutes: Sendable {
  let glance: GlanceAPI

  var endpoints: [Endpoint] {
    [
      Endpoint(.put, "/v2/images/{image}/file", .member("upload"), "Uploads an image's content") { request in
        try await upload(request, becoming: .active)
      },
      // Hashed and looked at like an upload, so that the import has nothing left to do.
      Endpoint(.put, "/v2/images/{image}/stage", .member("stage"), "Uploads content to be imported") { request in
        try await upload(request, becoming: .uploading)
      },
      Endpoint(.get, "/v2/images/{image}/file", .authenticated, "Downloads an image's content", handler: download),
    ]
  }

  /// Pieces are gathered to this many bytes before they go to the disk's thread, and read in the same.
  private static let pieceLength = 1 << 20

  /// - Parameter status: what the image is when all of it is here.
  private func upload(_ request: APIRequest, becoming status: Image.Status) async throws -> APIResponse {
    let (actor, id) = (try request.actor(), try request.parameter("image"))
    let type = request.headers[.contentType]?.split(separator: ";").first.map { String($0) } ?? ""
    guard type == "application/octet-stream" else {
      throw APIError(.unsupportedMediaType, "An image's content is sent as application/octet-stream.")
    }
    let uploadID = Identifier.uuid()
    let settings = glance.folder.settings
    let underway = glance.folder.uploadsUnderway
    underway.begin(uploadID)
    defer { underway.end(uploadID) }
    let (declared, limit) = try await glance.database.write { session -> (String, Int) in
      // One whose end could not be written down must not keep its image from being uploaded.
      _ = try ImageStore.resetUploads(besides: underway.ids, in: session)
      var image = try ImageLookup.changeable(id, actor, verb: "upload data to", session)
      guard image.status == .queued else {
        let next = status == .active ? "saving" : "uploading"
        throw APIError.conflict("Image status transition from \(image.status.rawValue) to \(next) is not allowed.")
      }
      guard let format = image.diskFormat, image.containerFormat != nil else {
        throw APIError.badRequest("Properties disk_format, container_format must be set prior to saving data.")
      }
      guard try ImageStore.uploadsUnderway(owner: image.owner, in: session) < settings.mostUploadsAtOnce else {
        throw APIError.conflict(
          "The project has \(settings.mostUploadsAtOnce) uploads going on, which is the most; wait for one to end.")
      }
      let left = settings.largestPerProject - (try ImageStore.bytesUsed(owner: image.owner, in: session))
      image.status = .saving
      image.uploadID = uploadID
      try ImageStore.update(image, in: session)
      return (format, max(0, min(settings.largestImage, left)))
    }
    do {
      let facts = try await receive(request, id, uploadID, declared: declared, limit: limit)
      try await finish(id, uploadID, facts, becoming: status, at: request.now)
    } catch {
      // Cut off, too large or refused: nothing of it is left, and the owner can upload again. The connection's task may be
      // cancelled by now, and this must happen all the same.
      await Task { await giveUp(id, uploadID) }.value
      throw Self.apiError(error)
    }
    return .noContent
  }

  private func receive(_ request: APIRequest, _ id: String, _ uploadID: String, declared: String, limit: Int)
    async throws -> ImageFacts
  {
    let length = request.headers[.contentLength].flatMap { Int($0) }
    if let length, length > limit { throw UploadError.tooLarge(limit: limit) }
    let upload = try await glance.folder.upload(id, uploadID: uploadID, limit: limit)
    do {
      try await take(request, into: upload)
      let settings = glance.folder.settings
      return try await upload.publish(declared: declared, length: length, largestDisk: settings.largestDisk)
    } catch {
      upload.discard()
      throw error
    }
  }

  /// Takes the whole body; a sender that stands still is cut off.
  private func take(_ request: APIRequest, into upload: ImageUpload) async throws {
    let patience = glance.folder.settings.uploadPatience
    let arrival = Arrival()
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask {
        var piece: [UInt8] = []
        piece.reserveCapacity(Self.pieceLength + (64 << 10))
        do {
          for try await chunk in request.stream {
            arrival.note()
            piece.append(contentsOf: chunk.readableBytesView)
            if piece.count >= Self.pieceLength {
              try await upload.append(piece)
              piece.removeAll(keepingCapacity: true)
              arrival.note()
            }
          }
        } catch let error as UploadError { throw error } catch {
          // Nobody hears it; the log shows a client that left, not a fault of ours.
          throw error is any APIErrorConvertible ? error : UploadError.cutOff
        }
        // A cancelled task sees the end of the body where there is none.
        if Task.isCancelled { throw UploadError.cutOff }
        if !piece.isEmpty { try await upload.append(piece) }
      }
      group.addTask {
        while true {
          try await Task.sleep(for: max(patience / 4, .milliseconds(50)))
          if arrival.age > patience { throw UploadError.cutOff }
        }
      }
      defer { group.cancelAll() }
      try await group.next()
    }
  }

  private func finish(
    _ id: String, _ uploadID: String, _ facts: ImageFacts, becoming status: Image.Status, at now: Timestamp
  ) async throws {
    let settings = glance.folder.settings
    let isThere = try await glance.database.write { session in
      guard var image = try ImageStore.get(id, in: session), image.uploadID == uploadID else { return false }
      // Others of the project may have come to their end meanwhile.
      let left = settings.largestPerProject - (try ImageStore.bytesUsed(owner: image.owner, in: session))
      guard facts.size <= left else { throw UploadError.tooLarge(limit: max(0, left)) }
      image.status = status
      image.uploadID = nil
      image.size = facts.size
      image.virtualSize = facts.virtualSize
      image.md5 = facts.md5
      image.sha256 = facts.sha256
      image.sha512 = facts.sha512
      image.updatedAt = now
      try ImageStore.update(image, in: session)
      return true
    }
    guard isThere else {
      glance.folder.removeContent(of: id)
      throw APIError(.gone, "Image \(id) was deleted during the upload.")
    }
  }

  private func giveUp(_ id: String, _ uploadID: String) async {
    let folder = glance.folder
    // A database that fails here has failed before (a full disk): the next upload, or the sweeper, puts the image back to
    // queued, and the sweeper removes what is left of it.
    try? await glance.database.write { session in
      guard var image = try ImageStore.get(id, in: session), image.uploadID == uploadID else { return }
      image.status = .queued
      image.uploadID = nil
      try ImageStore.update(image, in: session)
      // It may have got its name before the database failed.
      session.afterCommit { folder.removeContent(of: id) }
    }
  }

  private static func apiError(_ error: any Error) -> any Error {
    guard let error = error as? UploadError else { return error }
    switch error {
    case .tooLarge(let limit):
      return APIError(
        .contentTooLarge,
        "The image is larger than the \(limit) bytes that are left for it (the site's limit, or the project's).")
    case .diskFull:
      return APIError(
        .contentTooLarge, "Image storage media is full: the administrator must free space. Nothing was kept.")
    case .refused(let sentence): return APIError.badRequest(sentence)
    case .cutOff:
      return APIError.badRequest(
        "The upload was cut off before its end, or stood still for too long; nothing of it was kept.")
    case .storage: return error
    case .missing: return APIError(.internalServerError, "The image's content is gone from the server's disk.")
    }
  }

  private func download(_ request: APIRequest) async throws -> APIResponse {
    let (actor, id) = (try request.actor(), try request.parameter("image"))
    let image = try await glance.database.read { session in try ImageLookup.visible(id, actor, session) }
    guard image.status != .deactivated || actor.isSiteAdmin else {
      throw APIError.imageForbidden("The requested image has been deactivated. Image data download is forbidden.")
    }
    guard image.status == .active || image.status == .deactivated, let size = image.size else { return .noContent }
    var headers: HTTPFields = [.acceptRanges: "bytes"]
    if let md5 = image.md5 { headers[.init(known: "Content-MD5")] = md5 }
    var range = 0..<size
    var status: HTTPResponse.Status = .ok
    if let text = request.headers[.range] {
      switch Self.range(text, size: size) {
      case .whole: break
      case .part(let part):
        range = part
        status = .partialContent
        headers[.contentRange] = "bytes \(part.lowerBound)-\(part.upperBound - 1)/\(size)"
        headers[.init(known: "Content-MD5")] = nil
      case .impossible:
        var error = APIError(.rangeNotSatisfiable, "The image has \(size) bytes; the range is outside of them.")
        error.headers[.contentRange] = "bytes */\(size)"
        throw error
      }
    }
    let reader: ImageReader
    do { reader = try await glance.folder.reader(id) } catch { throw Self.apiError(error) }
    let (start, end) = (range.lowerBound, range.upperBound)
    return APIResponse(status, contentType: "application/octet-stream", length: range.count, headers: headers) {
      writer in
      var offset = start
      while offset < end {
        let bytes = try await reader.read(at: offset, count: min(Self.pieceLength, end - offset))
        guard !bytes.isEmpty else { throw UploadError.missing }
        try await writer.write(ByteBuffer(bytes: bytes))
        offset += bytes.count
      }
    }
  }

  enum AskedRange: Equatable {
    case whole
    case part(Range<Int>)
    case impossible
  }
  /// One byte range of RFC 9110, 14.1.2; several, and other units, are answered with the whole.
  static func range(_ text: String, size: Int) -> AskedRange {
    guard text.hasPrefix("bytes="), !text.contains(",") else { return .whole }
    let halves = text.dropFirst(6).split(separator: "-", maxSplits: 1, omittingEmptySubsequences: false)
    guard halves.count == 2 else { return .whole }
    if halves[0].isEmpty {
      guard let count = Int(halves[1]), count >= 0 else { return .whole }
      return count == 0 || size == 0 ? .impossible : .part(max(0, size - count)..<size)
    }
    guard let first = Int(halves[0]), first >= 0 else { return .whole }
    guard let last = halves[1].isEmpty ? Int.max : Int(halves[1]), last >= first else { return .whole }
    return first >= size ? .impossible : .part(first..<(min(size - 1, last) + 1))
  }
}

/// When the last piece came in.
private final class Arrival: Sendable {
  private let last = Mutex(ContinuousClock.now)
  func note() { last.withLock { $0 = .now } }
  var age: Duration { last.withLock { .now - $0 } }
}
