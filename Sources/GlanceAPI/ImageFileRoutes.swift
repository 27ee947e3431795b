import APISupport
import Conductor
import Domain
import HTTPTypes
import Hummingbird
import NIOCore
import Store
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

  /// Content is read from the disk in pieces of this many bytes.
  private static let pieceLength = 512 << 10

  /// - Parameter status: what the image is when all of it is here.
  private func upload(_ request: APIRequest, becoming status: Image.Status) async throws -> APIResponse {
    let (actor, id) = (try request.actor(), try request.parameter("image"))
    let type = request.headers[.contentType]?.split(separator: ";").first.map { String($0) } ?? ""
    guard type == "application/octet-stream" else {
      throw APIError(.unsupportedMediaType, "An image's content is sent as application/octet-stream.")
    }
    let uploadID = Identifier.uuid()
    let intake = glance.intake
    let underway = glance.folder.uploadsUnderway
    underway.begin(uploadID)
    defer { underway.end(uploadID) }
    do {
      let content = try await glance.database.write { session in
        // One whose end could not be written down must not keep its image from being uploaded.
        _ = try ImageStore.resetUploads(besides: underway.ids, in: session)
        var image = try ImageLookup.changeable(id, actor, verb: "upload data to", session)
        guard image.status == .queued else {
          let next = status == .active ? "saving" : "uploading"
          throw APIError.conflict("Image status transition from \(image.status.rawValue) to \(next) is not allowed.")
        }
        guard let declared = image.declared else {
          throw APIError.badRequest("Properties disk_format, container_format must be set prior to saving data.")
        }
        return try intake.admit(
          &image, declared: declared, uploadID: uploadID, as: .saving, becoming: status, in: session)
      }
      let length = request.headers[.contentLength].flatMap { Int($0) }
      try await intake.take(content, length: length, now: { request.now }) { upload, arrival in
        try await Self.feed(request.stream, into: upload, arrival)
      }
    } catch { throw Self.apiError(error) }
    return .noContent
  }

  /// Hands over a request's body.
  private static func feed(_ body: RequestBody, into upload: ImageUpload, _ arrival: ImageIntake.Arrival) async throws {
    do {
      for try await var chunk in body {
        arrival.note()
        while chunk.readableBytes > 0 {
          chunk.moveReaderIndex(forwardBy: chunk.withUnsafeReadableBytes { upload.fill($0) })
          guard upload.isFull else { continue }
          try await upload.flush()
          arrival.note()
        }
      }
    } catch let error as UploadError { throw error } catch {
      // Nobody hears it; the log shows a client that left, not a fault of ours.
      throw error is any APIErrorConvertible ? error : UploadError.cutOff
    }
    // A cancelled task sees the end of the body where there is none.
    if Task.isCancelled { throw UploadError.cutOff }
  }

  static func apiError(_ error: any Error) -> any Error {
    guard let error = error as? UploadError else { return error }
    switch error {
    case .tooMany(let sentence): return APIError.conflict(sentence)
    case .tooLarge, .diskFull: return APIError(.contentTooLarge, error.description)
    case .refused, .cutOff: return APIError.badRequest(error.description)
    case .deleted: return APIError(.gone, error.description)
    case .storage: return error
    case .missing: return APIError(.internalServerError, error.description)
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
    return APIResponse(status, contentType: "application/octet-stream", length: range.count, headers: headers) {
      [range] writer in
      var offset = range.lowerBound
      while offset < range.upperBound {
        let piece = try await Self.piece(offset..<range.upperBound, of: reader)
        offset += piece.readableBytes
        try await writer.write(piece)
      }
    }
  }
  /// The first bytes of a part of the content.
  private static func piece(_ range: Range<Int>, of reader: ImageReader) async throws -> ByteBuffer {
    let count = min(pieceLength, range.count)
    let bytes = try await reader.read { fill in
      var bytes = ByteBufferAllocator().buffer(capacity: count)
      try bytes.writeWithUnsafeMutableBytes(minimumWritableBytes: count) { room in
        try fill(UnsafeMutableRawBufferPointer(rebasing: room[..<count]), range.lowerBound)
      }
      return bytes
    }
    guard bytes.readableBytes > 0 else { throw UploadError.missing }
    return bytes
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
