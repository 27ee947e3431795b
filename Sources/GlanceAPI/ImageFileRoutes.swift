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
        try await Self.feed(request, into: upload, arrival)
      }
    } catch { throw Self.apiError(error) }
    return .noContent
  }

  /// Hands over a request's body.
  private static func feed(_ request: APIRequest, into upload: ImageUpload, _ arrival: ImageIntake.Arrival) async throws
  {
    do {
      try await request.withBody { body in
        while true {
          let count = try await body.read(into: upload.room)
          if count == 0 { break }
          arrival.note()
          upload.took(count)
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
    guard let file = try await ServedFile.open(glance.folder.content(of: id)), file.size == size else {
      throw Self.apiError(UploadError.missing)
    }
    var digest: HTTPFields = [:]
    if let md5 = image.md5 { digest[.init(known: "Content-MD5")] = md5 }
    return try file.answer(request, wholeOnly: digest, noun: "image")
  }
}
