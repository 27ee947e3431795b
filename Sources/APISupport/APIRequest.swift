import Domain
import HTTPTypes
import Hummingbird
import NIOCore
import Wire

/// A request to one service, with the token checked and the path taken apart.
public struct APIRequest: Sendable {
  public let method: HTTPRequest.Method
  /// The path below the service's prefix, decoded, without a trailing slash: "/v1/nodes/n1".
  public let path: String
  public let headers: HTTPFields
  /// The values of the endpoint's `{names}`, percent-decoded.
  public let parameters: [String: String]
  /// The query in the order it was written, decoded.
  public let query: QueryParameters
  /// "http://host:port" as the client wrote it: for links.
  public let origin: String
  /// `origin` and the service's prefix: "http://host:port/baremetal".
  public let serviceURL: String
  /// "req-<uuid>", also in the answer's `X-Openstack-Request-Id` and in the log.
  public let requestID: String
  /// When the request came in.
  public let now: Timestamp
  /// Nil only at an endpoint whose rule is ``EndpointRule/open``.
  public let caller: Actor?
  /// The peer's address, numeric; nil for a Unix socket.
  public let peer: String?
  let bodyStream: RequestBody
  /// Where the body's bytes come from as they are; nil where they are encrypted.
  let socket: (any Channel)?

  /// The caller.
  /// - Throws: 401 when there is none.
  public func actor() throws -> Actor {
    guard let caller else { throw APIError(.unauthorized, "The request you have made requires authentication.") }
    return caller
  }

  /// A path parameter by its name.
  public func parameter(_ name: String) throws -> String {
    guard let value = parameters[name], !value.isEmpty else {
      throw APIError.notFound("The resource could not be found.")
    }
    return value
  }

  /// The body as JSON; an empty body is an empty object.
  /// - Throws: 413 beyond `limit` bytes, 400 for what is not JSON.
  public func json(limit: Int = 1 << 20) async throws -> JSON {
    let bytes = try await body(limit: limit)
    if bytes.isEmpty { return .emptyObject }
    do { return try JSON.parse(bytes) } catch {
      throw APIError.badRequest("The body is not valid JSON: \(error.message) at byte \(error.offset).")
    }
  }
  /// The body as a JSON object.
  public func object(limit: Int = 1 << 20) async throws -> JSONObject {
    guard case .object(let object) = try await json(limit: limit) else {
      throw APIError.badRequest("The body must be a JSON object.")
    }
    return object
  }
  public func body(limit: Int) async throws -> [UInt8] {
    var bytes: [UInt8] = []
    for try await chunk in bodyStream {
      bytes.append(contentsOf: chunk.readableBytesView)
      if bytes.count > limit { throw APIError(.contentTooLarge, "The body is larger than \(limit) bytes.") }
    }
    return bytes
  }
  /// Reads the body piece by piece, with back-pressure: for uploads.
  public func withBody(_ use: (inout BodyReader) async throws -> Void) async throws {
    var reader = BodyReader(self)
    defer { reader.end() }
    try await use(&reader)
  }
}

/// Query parameters, decoded, in order; a name may come more than once.
public struct QueryParameters: Sendable, Sequence {
  public let items: [(name: String, value: String)]
  public init(_ text: Substring) {
    items = text.split(separator: "&").map { item in
      let parts = item.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      return (
        percentDecoded(parts[0], plusIsSpace: true), parts.count > 1 ? percentDecoded(parts[1], plusIsSpace: true) : ""
      )
    }
  }
  /// The first value of `name`.
  public subscript(_ name: String) -> String? { items.first { $0.name == name }?.value }
  public func all(_ name: String) -> [String] { items.filter { $0.name == name }.map(\.value) }
  public var isEmpty: Bool { items.isEmpty }
  public func makeIterator() -> IndexingIterator<[(name: String, value: String)]> { items.makeIterator() }

  /// A flag as OpenStack's services read one (oslo.utils `bool_from_string`).
  /// - Throws: 400 for anything else.
  public func bool(_ name: String) throws -> Bool? {
    guard let text = self[name] else { return nil }
    switch text.lowercased() {
    case "true", "1", "t", "yes", "y", "on": return true
    case "false", "0", "f", "no", "n", "off": return false
    default: throw APIError.badRequest("Invalid value '\(text)' for \(name): true or false is expected.")
    }
  }
  public func int(_ name: String) throws -> Int? {
    guard let text = self[name] else { return nil }
    guard let value = Int(text) else {
      throw APIError.badRequest("Invalid value '\(text)' for \(name): a whole number is expected.")
    }
    return value
  }
}

/// Decodes %XX; bytes that are not UTF-8 become U+FFFD.
public func percentDecoded(_ text: Substring, plusIsSpace: Bool = false) -> String {
  guard text.utf8.contains(where: { $0 == 0x25 || $0 == 0x2b }) else { return String(text) }
  var out: [UInt8] = []
  var bytes = Array(text.utf8)[...]
  while let byte = bytes.popFirst() {
    if byte == 0x25, bytes.count >= 2, let value = UInt8(String(decoding: bytes.prefix(2), as: UTF8.self), radix: 16) {
      out.append(value)
      bytes = bytes.dropFirst(2)
    } else {
      out.append(byte == 0x2b && plusIsSpace ? 0x20 : byte)
    }
  }
  return String(decoding: out, as: UTF8.self)
}

/// Everything but RFC 3986's unreserved characters, as %XX.
public func percentEncoded(_ text: String) -> String {
  var out = ""
  for byte in text.utf8 {
    switch byte {
    case 48...57, 65...90, 97...122, 0x2d, 0x2e, 0x5f, 0x7e: out.unicodeScalars.append(Unicode.Scalar(byte))
    default: out += (byte < 16 ? "%0" : "%") + String(byte, radix: 16, uppercase: true)
    }
  }
  return out
}
