import APISupport
import Domain
import Wire

/// A body as ESI-Leap's clients write it. Nulls count as absent; a name that is not known, or that only the server sets,
/// refuses the request.
struct LeapInput {
  private let noun: String
  private let values: JSONObject

  /// - Parameters:
  ///   - accepted: what may be given.
  ///   - ignored: what upstream takes and does not use.
  ///   - readOnly: what only the server sets.
  init(
    _ request: APIRequest, _ noun: String, accepted: Set<String>, ignored: Set<String> = [], readOnly: Set<String> = []
  ) async throws {
    let body = try await request.object(limit: 256 << 10)
    var kept: JSONObject = [:]
    for member in body where !member.value.isNull {
      let key = member.key
      if accepted.contains(key) {
        kept[key] = member.value
      } else if readOnly.contains(key) {
        throw APIError.badRequest(
          "Invalid input for field/attribute \(key). Value: '\(member.value.string ?? member.value.description)'. Cannot set read only field."
        )
      } else if !ignored.contains(key) {
        throw APIError.badRequest("Unknown attribute for argument \(noun): \(key)")
      }
    }
    self.noun = noun
    values = kept
  }

  private func invalid(_ key: String, _ value: JSON, _ problem: String) -> APIError {
    .badRequest("Invalid input for field/attribute \(key). Value: '\(value.string ?? value.description)'. \(problem)")
  }
  func text(_ key: String, limit: Int) throws -> String? {
    guard let value = values[key] else { return nil }
    guard let text = value.string else { throw invalid(key, value, "Wrong type. Expected a string.") }
    guard text.count <= limit, !text.unicodeScalars.contains(where: { $0.value < 32 || $0.value == 127 }) else {
      throw invalid(key, value, "At most \(limit) visible characters are expected.")
    }
    return text.isEmpty ? nil : text
  }
  func required(_ key: String, limit: Int) throws -> String {
    guard let text = try text(key, limit: limit) else {
      throw APIError.badRequest("Invalid input for field/attribute \(key). Value: 'None'. Mandatory field missing.")
    }
    return text
  }
  /// A whole number of seconds; clients send it as a number or as its digits.
  func seconds(_ key: String) throws -> Duration? {
    guard let value = values[key] else { return nil }
    guard let number = value.lenientInt, abs(number) < 1 << 40 else {
      throw invalid(key, value, "A whole number of seconds is expected.")
    }
    return .seconds(number)
  }
  func number(_ key: String, within range: ClosedRange<Int>) throws -> Int? {
    guard let value = values[key] else { return nil }
    guard let number = value.lenientInt, range.contains(number) else {
      throw invalid(key, value, "A whole number from \(range.lowerBound) to \(range.upperBound) is expected.")
    }
    return number
  }
  func time(_ key: String) throws -> Timestamp? {
    guard let value = values[key] else { return nil }
    guard let text = value.string, let time = Timestamp(parsing: text) else {
      throw invalid(key, value, "A time such as 2026-11-21T08:00:00 (UTC) is expected.")
    }
    return time
  }
  func object(_ key: String) throws -> JSONObject {
    guard let value = values[key] else { return [:] }
    guard let object = value.object, value.description.utf8.count <= 65_536 else {
      throw invalid(key, value, "A JSON object of at most 64 KiB is expected.")
    }
    return object
  }
}

extension APIRequest {
  /// - Throws: 400 for a query parameter that is none of `names`, as ESI-Leap does.
  func allowOnly(_ names: Set<String>) throws {
    for (name, _) in query where !names.contains(name) { throw APIError.badRequest("Unknown argument: \"\(name)\"") }
  }
  /// A query parameter that is a time.
  func queryTime(_ name: String) throws -> Timestamp? {
    guard let text = query[name], !text.isEmpty else { return nil }
    guard let time = Timestamp(parsing: text) else {
      throw APIError.badRequest(
        "Invalid input for field/attribute \(name). Value: '\(text)'. A time such as 2026-11-21T08:00:00 (UTC) is expected."
      )
    }
    return time
  }
  /// Two query parameters that make a range: both or none.
  func queryRange(_ first: String, _ last: String, _ refusal: (String, String) -> String) throws -> TimeRange? {
    let (start, end) = (try queryTime(first), try queryTime(last))
    if start == nil && end == nil { return nil }
    guard let start, let end, start < end else {
      throw APIError.badRequest(refusal(start?.pythonText ?? "None", end?.pythonText ?? "None"))
    }
    return TimeRange(start, end)
  }
  /// `limit`, an addition to ESI-Leap's API, as `marker` is.
  func pageLimit() throws -> Int? {
    guard let limit = try query.int("limit") else { return nil }
    guard limit > 0 else { throw APIError.badRequest("Invalid value '\(limit)' for limit: it must be positive.") }
    return limit
  }
  static func unknownMarker(_ marker: String) -> APIError {
    .badRequest("The marker \(marker) is not in the list.")
  }
  /// The part of `items` after `marker` and not more than `limit`.
  func page<T>(_ items: [T], id: (T) -> String) throws -> ArraySlice<T> {
    var rest = items[...]
    if let marker = query["marker"] {
      guard let index = items.firstIndex(where: { id($0) == marker }) else { throw Self.unknownMarker(marker) }
      rest = items[(index + 1)...]
    }
    return try pageLimit().map { rest.prefix($0) } ?? rest
  }
}
