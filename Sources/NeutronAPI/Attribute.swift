import Wire

/// One attribute of a resource as the API shows it: the same line writes it, filters by it and sorts by it.
struct Attribute<Resource>: Sendable {
  enum Value: Sendable {
    case text(@Sendable (Resource) -> String)
    case optionalText(@Sendable (Resource) -> String?)
    case bool(@Sendable (Resource) -> Bool)
    case int(@Sendable (Resource) -> Int)
    case optionalInt(@Sendable (Resource) -> Int?)
    case strings(@Sendable (Resource) -> [String])
    /// Written without a text in between: a list of ten thousand ports has twenty thousand of them.
    case time(@Sendable (Resource) -> Timestamp)
    /// Shown only: neither filter nor sort key.
    case json(@Sendable (Resource) -> JSON)
    /// Shown only, and written straight into the answer.
    case written(@Sendable (Resource, inout JSONWriter) -> Void)
    /// The same for every resource: JSON text.
    case constant(StaticString)
  }
  let name: StaticString
  let value: Value

  static func text(_ name: StaticString, _ get: @escaping @Sendable (Resource) -> String) -> Attribute {
    Attribute(name: name, value: .text(get))
  }
  static func optionalText(_ name: StaticString, _ get: @escaping @Sendable (Resource) -> String?) -> Attribute {
    Attribute(name: name, value: .optionalText(get))
  }
  static func bool(_ name: StaticString, _ get: @escaping @Sendable (Resource) -> Bool) -> Attribute {
    Attribute(name: name, value: .bool(get))
  }
  static func int(_ name: StaticString, _ get: @escaping @Sendable (Resource) -> Int) -> Attribute {
    Attribute(name: name, value: .int(get))
  }
  static func optionalInt(_ name: StaticString, _ get: @escaping @Sendable (Resource) -> Int?) -> Attribute {
    Attribute(name: name, value: .optionalInt(get))
  }
  static func strings(_ name: StaticString, _ get: @escaping @Sendable (Resource) -> [String]) -> Attribute {
    Attribute(name: name, value: .strings(get))
  }
  static func json(_ name: StaticString, _ get: @escaping @Sendable (Resource) -> JSON) -> Attribute {
    Attribute(name: name, value: .json(get))
  }
  static func time(_ name: StaticString, _ get: @escaping @Sendable (Resource) -> Timestamp) -> Attribute {
    Attribute(name: name, value: .time(get))
  }
  static func written(
    _ name: StaticString, _ write: @escaping @Sendable (Resource, inout JSONWriter) -> Void
  ) -> Attribute {
    Attribute(name: name, value: .written(write))
  }
  static func constant(_ name: StaticString, _ json: StaticString) -> Attribute {
    Attribute(name: name, value: .constant(json))
  }

  func write(_ resource: Resource, to writer: inout JSONWriter) {
    writer.key(name)
    writeValue(resource, to: &writer)
  }
  private func writeValue(_ resource: Resource, to writer: inout JSONWriter) {
    switch value {
    case .text(let get): writer.value(get(resource))
    case .optionalText(let get): if let text = get(resource) { writer.value(text) } else { writer.null() }
    case .bool(let get): writer.value(get(resource))
    case .int(let get): writer.value(get(resource))
    case .optionalInt(let get): if let number = get(resource) { writer.value(number) } else { writer.null() }
    case .strings(let get):
      writer.beginArray()
      for text in get(resource) { writer.value(text) }
      writer.endArray()
    case .time(let get): writer.value(zulu: get(resource))
    case .json(let get): writer.value(get(resource))
    case .written(let write): write(resource, &writer)
    case .constant(let json): writer.constant(json)
    }
  }

  /// What ``write(_:to:)`` writes.
  func json(_ resource: Resource) -> JSON {
    switch value {
    case .text(let get): .string(get(resource))
    case .optionalText(let get): get(resource).map { .string($0) } ?? .null
    case .bool(let get): .bool(get(resource))
    case .int(let get): .int(get(resource))
    case .optionalInt(let get): get(resource).map { .int($0) } ?? .null
    case .strings(let get): JSON(get(resource))
    case .time(let get): .string(get(resource).iso8601Zulu)
    case .json(let get): get(resource)
    case .written, .constant:
      {
        var writer = JSONWriter(capacity: 256)
        writeValue(resource, to: &writer)
        return (try? JSON.parse(writer.bytes)) ?? .null
      }()
    }
  }

  /// Whether the attribute has one of the values that a query names; nil when it is no filter, or the text is none of
  /// its values.
  func matcher(_ texts: [String]) -> (@Sendable (Resource) -> Bool)? {
    switch value {
    case .text(let get): return { texts.contains(get($0)) }
    case .optionalText(let get): return { texts.contains(get($0) ?? "") }
    case .bool(let get):
      let flags = texts.compactMap { Self.flag($0) }
      guard flags.count == texts.count else { return nil }
      return { flags.contains(get($0)) }
    case .int(let get):
      let numbers = texts.compactMap { Int($0) }
      guard numbers.count == texts.count else { return nil }
      return { numbers.contains(get($0)) }
    case .optionalInt(let get):
      let numbers = texts.compactMap { Int($0) }
      guard numbers.count == texts.count else { return nil }
      return { resource in get(resource).map { numbers.contains($0) } ?? false }
    case .strings(let get): return { resource in get(resource).contains { texts.contains($0) } }
    case .time(let get): return { texts.contains(get($0).iso8601Zulu) }
    case .json, .written, .constant: return nil
    }
  }
  /// Orders two resources by this attribute: negative, 0 or positive; nil when it is no sort key.
  var comparator: ((Resource, Resource) -> Int)? {
    func order<T: Comparable>(_ a: T, _ b: T) -> Int { a < b ? -1 : a == b ? 0 : 1 }
    switch value {
    case .text(let get): return { order(get($0), get($1)) }
    case .optionalText(let get): return { order(get($0) ?? "", get($1) ?? "") }
    case .bool(let get): return { order(get($0) ? 1 : 0, get($1) ? 1 : 0) }
    case .int(let get): return { order(get($0), get($1)) }
    case .optionalInt(let get): return { order(get($0) ?? -1, get($1) ?? -1) }
    case .time(let get): return { order(get($0), get($1)) }
    case .strings, .json, .written, .constant: return nil
    }
  }

  private static func flag(_ text: String) -> Bool? {
    switch text.lowercased() {
    case "true", "1", "t", "yes", "on": true
    case "false", "0", "f", "no", "off": false
    default: nil
    }
  }
}
