import HTTPTypes
import Hummingbird
import NIOCore
import Wire

/// An answer. An empty one has no content type: a client dies of a JSON content type on an empty body.
public struct APIResponse: Sendable {
  public var status: HTTPResponse.Status
  public var headers: HTTPFields
  var body: ResponseBody

  public init(_ status: HTTPResponse.Status, headers: HTTPFields = [:]) {
    self.status = status
    self.headers = headers
    body = .init()
  }
  /// A JSON answer from a writer: one copy.
  public init(_ status: HTTPResponse.Status = .ok, _ writer: borrowing JSONWriter, headers: HTTPFields = [:]) {
    self.status = status
    self.headers = headers
    self.headers[.contentType] = "application/json"
    body = .init(byteBuffer: ByteBuffer(writer))
  }
  /// A JSON answer that is written already.
  public init(_ status: HTTPResponse.Status = .ok, json: ByteBuffer, headers: HTTPFields = [:]) {
    self.status = status
    self.headers = headers
    self.headers[.contentType] = "application/json"
    body = .init(byteBuffer: json)
  }
  public init(_ status: HTTPResponse.Status = .ok, json: JSON, headers: HTTPFields = [:]) {
    var writer = JSONWriter()
    writer.value(json)
    self.init(status, writer, headers: headers)
  }
  public init(_ status: HTTPResponse.Status = .ok, text: String, contentType: String = "text/plain; charset=utf-8") {
    self.status = status
    headers = [.contentType: contentType]
    body = .init(byteBuffer: ByteBuffer(string: text))
  }
  /// A streamed answer. `write` runs while the client reads; it may throw to cut the connection.
  public init(
    _ status: HTTPResponse.Status = .ok, contentType: String, length: Int?, headers: HTTPFields = [:],
    write: @escaping @Sendable (inout any ResponseBodyWriter) async throws -> Void
  ) {
    self.status = status
    self.headers = headers
    self.headers[.contentType] = contentType
    body = .init(contentLength: length) { writer in
      try await write(&writer)
      try await writer.finish(nil)
    }
    isStreamed = true
  }
  private(set) var isStreamed = false

  /// Readies a streamed body for its connection.
  /// - Parameters:
  ///   - socket: of a connection that is not encrypted.
  ///   - tell: is told of an error in the midst of it: the status is at the client by then, and the connection is cut.
  mutating func attach(to socket: (any Channel)?, onFailure tell: @escaping @Sendable (any Error) -> Void) {
    let body = body
    self.body = .init(contentLength: body.contentLength) { writer in
      do {
        if let socket { try await body.write(SocketBodyWriter(writer, socket)) } else { try await body.write(writer) }
      } catch {
        tell(error)
        throw error
      }
    }
  }
  public static let noContent = APIResponse(.noContent)
  public static let accepted = APIResponse(.accepted)
}

extension ByteBuffer {
  /// The text of a writer: one copy.
  public init(_ writer: borrowing JSONWriter) { self = writer.withBytes { ByteBuffer(bytes: $0) } }
}
