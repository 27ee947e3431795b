import APISupport
import Domain
import Store
import Wire

/// `/v2/info`: what the service offers, and what a project uses of it. Source: Glance API reference, "Discovery", "Quota usage".
struct ImageInfoRoutes: Sendable {
  let glance: GlanceAPI

  var endpoints: [Endpoint] {
    [
      Endpoint(.get, "/v2/info/import", .authenticated, "Lists ways to import") { _ in
        APIResponse(json: [
          "import-methods": [
            "description": "Import methods available.", "type": "array", "value": JSON(glance.importMethods),
          ]
        ])
      },
      // In the words of an upstream service that has one store.
      Endpoint(.get, "/v2/info/stores", .authenticated, "Says that there is one store") { _ in
        throw APIError.notFound("Multi backend is not supported at this site.")
      },
      Endpoint(.get, "/v2/info/usage", .authenticated, "Shows what the project uses", handler: usage),
    ]
  }

  /// Sizes in MiB, as upstream. What waits for its import counts twice: for itself and in the whole.
  private func usage(_ request: APIRequest) async throws -> APIResponse {
    guard let project = try request.actor().projectID else { return APIResponse(json: ["usage": .emptyObject]) }
    let settings = glance.folder.settings
    return try await glance.database.read { session in
      func object(_ usage: Int, _ limit: Int) -> JSON { ["usage": .int(usage), "limit": .int(limit)] }
      let most = settings.largestPerProject >> 20
      return APIResponse(json: [
        "usage": [
          "image_size_total": object(try ImageStore.bytesUsed(owner: project, in: session) >> 20, most),
          "image_stage_total": object(try ImageStore.bytesStaged(owner: project, in: session) >> 20, most),
          "image_count_total": object(try ImageStore.count(owner: project, in: session), settings.mostPerProject),
          "image_count_uploading": object(
            try ImageStore.uploadsUnderway(owner: project, in: session), settings.mostUploadsAtOnce),
        ]
      ])
    }
  }
}
