import Domain
import DriverInterfaces
import Store
import Wire
import Workflows

extension Conductor {
  /// `uploading`: a volume's content becomes that of an image that was made for it. The subject is the volume.
  ///
  /// Params: `image`, and `status` that the volume goes back to. Nothing else is done with the volume meanwhile, so it stands still.
  static func uploadVolume(_ parts: Parts) -> WorkflowDefinition {
    @Sendable func endReading(_ context: StepContext) async throws {
      guard let volume = try await parts.volume(context.subject) else { return }
      try await parts.backend(volume).removeReading(context.workflow)
    }
    return WorkflowDefinition(
      kind: "upload-volume",
      steps: [
        Step(
          "upload-volume",
          run: { context in
            guard let volume = try await parts.volume(context.subject), let image = context.params["image"]?.string
            else { return .done }
            let path = try await parts.backend(volume).ensureReading(.volume(volume.id), reader: context.workflow)
            do { try await parts.images.take(file: path, as: image, clock: parts.clock) } catch let error as UploadError
            {
              throw DriverError(.refused, device: .image(image), detail: error.description)
            }
            return .done
          },
          undo: { context in try await endReading(context) }),
        Step(
          "release-volume", retries: 6,
          run: { context in
            try await endReading(context)
            return .done
          }),
      ],
      done: { context, session in try giveBackUploaded(context, session) },
      undone: { context, session in
        // What got no content is not left lying about.
        if let id = context.params["image"]?.string, let image = try ImageStore.get(id, in: session),
          image.status == .queued
        {
          try ImageStore.delete(id, in: session)
        }
        try giveBackUploaded(context, session)
      })
  }
  private static func giveBackUploaded(_ context: StepContext, _ session: any Session) throws {
    try change(volume: context.subject, session) { volume in
      guard volume.status == .uploading else { return }
      volume.status = formerStatus(context)
      volume.fault = context.failure
      volume.updatedAt = context.now
    }
  }

  /// - Parameter volume: available; it is that again when its content is the image's.
  public func uploadVolume(
    _ volume: inout Volume, as image: Image, by requester: Requester, in session: any Session
  ) throws {
    let params: JSONObject = ["image": .string(image.id), "status": .string(volume.status.rawValue)]
    volume.status = .uploading
    volume.updatedAt = clock()
    try VolumeStore.update(volume, in: session)
    _ = try start("upload-volume", subject: volume.id, params: params, by: requester, in: session)
  }
}

/// The image service as others use it: with the rights of whoever asks, and the checks that an image has there.
public protocol ImageCatalog: Sendable {
  /// Makes an image without content, in the caller's transaction.
  /// - Parameter members: as in a request for one.
  func makeImage(_ members: JSONObject, for actor: Actor, at now: Timestamp, in session: any Session) throws -> Image
  /// Deletes an image and, when the caller's transaction is done, its content.
  func deleteImage(_ id: String, for actor: Actor, in session: any Session) throws
}
