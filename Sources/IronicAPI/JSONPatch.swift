import APISupport
import Wire

/// One operation of a JSON patch. Source: RFC 6902; like upstream, `add`, `replace` and `remove` only.
struct PatchOperation: Sendable {
  enum Kind: String, Sendable { case add, replace, remove }
  var kind: Kind
  /// The pointer taken apart and unescaped (RFC 6901): `~1` is `/`, `~0` is `~`.
  var path: [String]
  var value: JSON

  /// Reads a patch.
  /// - Throws: 400 for what is not one.
  static func parse(_ json: JSON) throws -> [PatchOperation] {
    guard let items = json.array else {
      throw APIError.badRequest("The patch must be a JSON array of operations (RFC 6902).")
    }
    guard items.count <= 1000 else { throw APIError.badRequest("The patch has more than 1000 operations.") }
    return try items.map { item in
      guard let word = item["op"]?.string, let pointer = item["path"]?.string else {
        throw APIError.badRequest("Each operation of the patch needs 'op' and 'path'.")
      }
      guard let kind = Kind(rawValue: word) else {
        throw APIError.badRequest("'\(word)' is not one of ['add', 'replace', 'remove']")
      }
      guard pointer.hasPrefix("/"), pointer.utf8.count > 1, pointer.utf8.count < 1024 else {
        throw APIError.badRequest("'\(pointer.prefix(80))' is not a path of a patch: it must begin with '/'.")
      }
      if kind != .remove && item["value"] == nil {
        throw APIError.badRequest("The operation '\(word)' at \(pointer) needs a value.")
      }
      return PatchOperation(kind: kind, path: try parts(pointer), value: item["value"] ?? .null)
    }
  }
  private static func parts(_ pointer: String) throws -> [String] {
    try pointer.split(separator: "/", omittingEmptySubsequences: false).dropFirst().map { part in
      var out = ""
      var characters = part.makeIterator()
      while let character = characters.next() {
        guard character == "~" else {
          out.append(character)
          continue
        }
        switch characters.next() {
        case "0": out.append("~")
        case "1": out.append("/")
        default: throw APIError.badRequest("'\(pointer.prefix(80))' has a '~' that is neither ~0 nor ~1.")
        }
      }
      return out
    }
  }
  var pointer: String { "/" + path.joined(separator: "/") }

  /// Applies the operation to `document`.
  /// - Throws: 400 when the path leads nowhere.
  func apply(to document: inout JSON) throws { try apply(path[...], &document) }

  private func apply(_ rest: ArraySlice<String>, _ json: inout JSON) throws {
    guard let first = rest.first else { return }
    let isLast = rest.count == 1
    switch json {
    case .object(var object):
      if isLast {
        if kind != .add && object[first] == nil { throw nowhere }
        if kind == .remove { object[first] = Optional.none } else { object[first] = value }
      } else {
        guard var inner = object[first] else { throw nowhere }
        try apply(rest.dropFirst(), &inner)
        object[first] = inner
      }
      json = .object(object)
    case .array(var items):
      if isLast {
        if kind == .add {
          if first == "-" {
            items.append(value)
          } else {
            items.insert(value, at: try index(first, upTo: items.count))
          }
        } else {
          let at = try index(first, upTo: items.count - 1)
          if kind == .remove { items.remove(at: at) } else { items[at] = value }
        }
      } else {
        let at = try index(first, upTo: items.count - 1)
        try apply(rest.dropFirst(), &items[at])
      }
      json = .array(items)
    default: throw nowhere
    }
  }
  private func index(_ text: String, upTo last: Int) throws -> Int {
    guard let index = Int(text), index >= 0, index <= last, text == "\(index)" else { throw nowhere }
    return index
  }
  private var nowhere: APIError {
    APIError.badRequest("Couldn't apply patch: there is nothing at \(pointer.prefix(200)) to \(kind.rawValue).")
  }
}
