import APISupport
import Wire

/// What the short verbs for disks and machines ask of a site: things found by name, and changes waited for.
extension CloudClient {
  /// Logs in, runs `body`, and closes the connections whatever happens.
  static func session(_ body: (CloudClient) async throws -> Void) async throws {
    let client = try await login()
    do { try await body(client) } catch {
      await client.close()
      throw error
    }
    await client.close()
  }

  /// Asks, and takes what is not a success for the error that it is.
  @discardableResult
  func ask(_ method: String, _ url: String, _ body: JSON? = nil) async throws -> JSON {
    let answer = try await send(method, url, body)
    guard (200...299).contains(answer.status) else { throw Failure(answer.fault) }
    return answer.json
  }

  /// The one thing of this id or name.
  /// - Parameter list: the URL of a list that `name` filters, `member` where its items are.
  /// - Throws: ``Failure`` when there is none, or more than one of the name.
  func find(_ what: String, _ name: String, in list: String, _ member: String) async throws -> JSON {
    let shown = try await send("GET", "\(list)/\(percentEncoded(name))")
    if shown.status == 200 {
      let singular = String(member.dropLast())
      return shown.json[singular] ?? shown.json
    }
    let named = try await ask("GET", "\(list)?name=\(percentEncoded(name))")[member]?.array ?? []
    guard let first = named.first else { throw Failure("there is no \(what) '\(name)'") }
    guard named.count == 1 else {
      let ids = named.compactMap { $0["id"]?.string }.joined(separator: ", ")
      throw Failure("there are \(named.count) of the name '\(name)': say which by its id: \(ids)")
    }
    return first
  }

  /// Makes an image with the content of a file.
  /// - Returns: its id.
  func makeImage(_ members: JSONObject, of path: String, in images: String) async throws -> String {
    let id = try await ask("POST", images, .object(members))["id"]?.string ?? ""
    let answer = try await upload(path, to: "\(images)/\(id)/file")
    guard answer.status == 204 else { throw Failure("\(path): \(answer.fault)") }
    return id
  }

  /// Looks once a second until `state` is one of `ends`, and tells each change.
  /// - Parameter look: the state in one word, and more about it.
  /// - Throws: ``Failure`` when it is none of `ends` after `limit`.
  func wait(
    until ends: Set<String>, limit: Duration, _ look: () async throws -> (state: String, detail: String)
  ) async throws -> (state: String, detail: String) {
    let deadline = ContinuousClock.now + limit
    var told = ""
    while true {
      let seen = try await look()
      if ends.contains(seen.state) { return seen }
      let line = seen.detail.isEmpty ? seen.state : "\(seen.state): \(seen.detail)"
      if line != told { print(line) }
      told = line
      guard ContinuousClock.now < deadline else {
        throw Failure("it is still \(seen.state) after \(limit); it goes on without this command")
      }
      try await Task.sleep(for: .seconds(1))
    }
  }
}

/// Columns of equal width, the first line their names.
func textTable(_ rows: [[String]]) -> String {
  let columns = rows.map(\.count).max() ?? 0
  let widths = (0..<columns).map { column in rows.map { column < $0.count ? $0[column].count : 0 }.max() ?? 0 }
  return rows.map { row in
    row.enumerated().map { column, text in
      column + 1 == row.count ? text : text + String(repeating: " ", count: widths[column] - text.count)
    }.joined(separator: "  ")
  }.joined(separator: "\n")
}
