import APISupport
import NIOCore
import Store
import Wire

extension ResourceView {
  /// So many are read and written at a time; of a longer list the client gets the beginning while the rest is read. As many as
  /// the store picks by their ids in one statement.
  private static var part: Int { 400 }

  /// Whether a list comes in the order in which it is read, and whole.
  func isWhole(_ query: QueryParameters) -> Bool {
    query.allSatisfy { !["sort_key", "sort_dir", "limit", "marker", "page_reverse"].contains($0.name) }
  }

  /// `{"ports": […]}` for a list that ``isWhole(_:)``, written in parts.
  ///
  /// - Parameters:
  ///   - ids: those of the list, in its order.
  ///   - read: the resources with these ids, in that order; those that are gone meanwhile are missing.
  /// - Throws: 400 for a filter that the resource does not have.
  func listInParts(
    _ request: APIRequest, _ database: Database,
    ids: @escaping @Sendable (any Session) throws -> [String],
    read: @escaping @Sendable ([String], any Session) throws -> [Resource]
  ) async throws -> APIResponse {
    let matches = try filters(request.query)
    let (all, first) = try await database.read { session in
      let all = try ids(session)
      return (all, try text(try read(Array(all.prefix(Self.part)), session).filter(matches), request, isFirst: true))
    }
    guard all.count > Self.part else { return APIResponse(.ok, json: close(first)) }
    return APIResponse(.ok, contentType: "application/json", length: nil) { writer in
      try await writer.write(first.text)
      var isEmpty = first.isEmpty
      var rest = all.dropFirst(Self.part)
      while !rest.isEmpty {
        let next = Array(rest.prefix(Self.part))
        rest = rest.dropFirst(Self.part)
        let part = try await database.read { [isEmpty] session in
          try text(try read(next, session).filter(matches), request, isFirst: false, isEmpty: isEmpty)
        }
        isEmpty = isEmpty && part.isEmpty
        try await writer.write(rest.isEmpty ? close(part) : part.text)
      }
    }
  }

  private struct Part: Sendable {
    var text: ByteBuffer
    /// Nothing was written of the list so far.
    var isEmpty: Bool
  }
  private func text(
    _ resources: [Resource], _ request: APIRequest, isFirst: Bool, isEmpty: Bool = true
  ) throws -> Part {
    let chosen = chosen(request)
    var writer = JSONWriter(capacity: 1024 * max(resources.count, 1), isContinued: !isFirst && !isEmpty)
    if isFirst {
      writer.beginObject()
      writer.key(plural)
      writer.beginArray()
    }
    for resource in resources { write(resource, chosen, to: &writer) }
    return Part(text: ByteBuffer(writer), isEmpty: isEmpty && resources.isEmpty)
  }
  private func close(_ part: Part) -> ByteBuffer {
    var text = part.text
    text.writeString("]}")
    return text
  }
}
