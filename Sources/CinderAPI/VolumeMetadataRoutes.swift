import APISupport
import Domain
import Store
import Wire

/// `/v3/volumes/{volume}/metadata` and the same of snapshots. Source: Block Storage API reference v3, "Create metadata for volume".
struct VolumeMetadataRoutes: Sendable {
  let cinder: CinderAPI

  var endpoints: [Endpoint] { endpoints(of: "volume") + endpoints(of: "snapshot") }

  private func endpoints(of noun: String) -> [Endpoint] {
    let path = "/v3/\(noun)s/{\(noun)}/metadata"
    return [
      Endpoint(.get, path, .authenticated, "Shows a \(noun)'s metadata") { request in
        APIResponse(json: ["metadata": .object(try await metadata(request, noun))])
      },
      Endpoint(.post, path, .member("metadata"), "Adds to a \(noun)'s metadata") { request in
        let given = try Reading.metadata(.object(try Reading.object(try await request.object(), "metadata")))
        return APIResponse(
          json: [
            "metadata": .object(
              try await change(request, noun) { pairs in for pair in given { pairs[pair.key] = pair.value } })
          ])
      },
      Endpoint(.put, path, .member("metadata"), "Replaces a \(noun)'s metadata") { request in
        let given = try Reading.metadata(.object(try Reading.object(try await request.object(), "metadata")))
        return APIResponse(json: ["metadata": .object(try await change(request, noun) { $0 = given })])
      },
      Endpoint(.get, path + "/{key}", .authenticated, "Shows an item of a \(noun)'s metadata") { request in
        let key = try request.parameter("key")
        guard let value = try await metadata(request, noun)[key] else { throw Self.missing(noun, key) }
        return APIResponse(json: ["meta": .object([key: value])])
      },
      Endpoint(.put, path + "/{key}", .member("metadata"), "Sets an item of a \(noun)'s metadata") { request in
        let key = try request.parameter("key")
        let given = try Reading.metadata(.object(try Reading.object(try await request.object(), "meta")))
        guard given.count == 1, let value = given[key] else {
          throw APIError.badRequest("The request body is expected to have one item, \(key.prefix(80)).")
        }
        _ = try await change(request, noun) { $0[key] = value }
        return APIResponse(json: ["meta": .object(given)])
      },
      Endpoint(.delete, path + "/{key}", .member("metadata"), "Removes an item of a \(noun)'s metadata") { request in
        let key = try request.parameter("key")
        _ = try await change(request, noun) { pairs in
          guard pairs[key] != nil else { throw Self.missing(noun, key) }
          pairs[key] = nil
        }
        return APIResponse(.ok)
      },
    ]
  }
  private static func missing(_ noun: String, _ key: String) -> APIError {
    .notFound("\(noun == "volume" ? "Volume" : "Snapshot") has no metadata with key \(key.prefix(255)).")
  }

  private func metadata(_ request: APIRequest, _ noun: String) async throws -> JSONObject {
    let (actor, id) = (try request.actor(), try request.parameter(noun))
    return try await cinder.database.read { session in
      noun == "volume"
        ? try Lookup.volume(id, actor, session).metadata : try Lookup.snapshot(id, actor, session).metadata
    }
  }
  private func change(
    _ request: APIRequest, _ noun: String, _ body: @escaping @Sendable (inout JSONObject) throws -> Void
  ) async throws -> JSONObject {
    let (actor, id, now) = (try request.actor(), try request.parameter(noun), request.now)
    return try await cinder.database.write { session in
      if noun == "volume" {
        var volume = try Lookup.ownVolume(id, actor, session)
        guard volume.status != .deleting, volume.status != .awaitingTransfer else {
          throw APIError.badRequest(
            "Invalid volume: its metadata cannot be changed while it is \(volume.status.rawValue).")
        }
        try body(&volume.metadata)
        volume.metadata = try Reading.metadata(.object(volume.metadata))
        volume.updatedAt = now
        try VolumeStore.update(volume, in: session)
        return volume.metadata
      }
      var snapshot = try Lookup.ownSnapshot(id, actor, session)
      try body(&snapshot.metadata)
      snapshot.metadata = try Reading.metadata(.object(snapshot.metadata))
      snapshot.updatedAt = now
      try VolumeSnapshotStore.update(snapshot, in: session)
      return snapshot.metadata
    }
  }
}
