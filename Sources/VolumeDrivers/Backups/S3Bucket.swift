import AsyncHTTPClient
import DriverInterfaces
import Glibc
import NIOCore
import NIOSSL

/// Backups' parts as objects of an S3-compatible bucket. Source: Amazon S3 API reference: GetObject, HeadObject, PutObject,
/// DeleteObject, ListObjectsV2; the bucket in the path, which every store of the kind takes.
public struct S3Bucket: BackupObjects {
  private let http: HTTPClient
  /// "https://s3.example.org:9000".
  private let origin: String
  private let host: String
  private let bucket: String
  /// Stands before every name; empty, or ends with a slash.
  private let prefix: String
  private let signature: SignatureV4

  /// Who the store is asked as.
  public struct Credentials: Sendable, Equatable {
    public var accessKey: String
    public var secretKey: String
    public var region: String
    public init(accessKey: String, secretKey: String, region: String = "us-east-1") {
      self.accessKey = accessKey
      self.secretKey = secretKey
      self.region = region
    }
    /// Reads a shared credentials file: the profile `[default]` with `aws_access_key_id`, `aws_secret_access_key` and, if the store
    /// has regions, `region`. Source: AWS SDKs and Tools reference guide, "Shared config and credentials files".
    /// - Throws: ``DriverError`` `.misconfigured` when one of the keys is missing.
    public init(parsing text: String) throws {
      var (values, profile) = ([String: String](), "")
      for line in text.split(separator: "\n") {
        let line = line.trimmed
        if line.hasPrefix("[") { profile = String(line.dropFirst().prefix { $0 != "]" }) }
        guard profile == "default", !line.hasPrefix("#"), let equals = line.firstIndex(of: "=") else { continue }
        values[line[..<equals].trimmed.lowercased()] = String(line[line.index(after: equals)...].trimmed)
      }
      guard let accessKey = values["aws_access_key_id"], let secretKey = values["aws_secret_access_key"],
        !accessKey.isEmpty, !secretKey.isEmpty
      else {
        throw DriverError(
          .misconfigured, device: BackupPieces.device,
          detail: "the credentials file needs aws_access_key_id and aws_secret_access_key under [default]")
      }
      self.init(accessKey: accessKey, secretKey: secretKey, region: values["region"] ?? "us-east-1")
    }
  }

  /// - Parameters:
  ///   - url: `https://HOST[:PORT]/BUCKET[/PREFIX]`, or `http:` for a store on a network of its own.
  ///   - authority: a file of certificates to trust instead of the system's.
  /// - Throws: ``DriverError`` `.misconfigured` for another URL.
  public init(url: String, credentials: Credentials, authority: String? = nil) throws {
    let scheme = url.hasPrefix("https://") ? "https://" : url.hasPrefix("http://") ? "http://" : ""
    let parts = url.dropFirst(scheme.utf8.count).split(separator: "/", omittingEmptySubsequences: true)
    guard !scheme.isEmpty, parts.count >= 2, !parts.joined().contains(where: { "@?#%&\\ ".contains($0) }) else {
      throw DriverError(
        .misconfigured, device: BackupPieces.device,
        detail: "\(url): https://HOST/BUCKET is expected, and a prefix behind it if there is one")
    }
    (host, bucket) = (String(parts[0]), String(parts[1]))
    origin = scheme + host
    prefix = parts.dropFirst(2).map { "\($0)/" }.joined()
    signature = SignatureV4(
      accessKey: credentials.accessKey, secretKey: credentials.secretKey, region: credentials.region)
    var tls = TLSConfiguration.makeClientConfiguration()
    if let authority { tls.trustRoots = .file(authority) }
    var configuration = HTTPClient.Configuration(tlsConfiguration: tls)
    configuration.redirectConfiguration = .disallow
    http = HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
  }

  /// Closes the connections; nothing is asked after it.
  public func close() async throws { try await http.shutdown() }

  private struct Answer {
    var status: Int
    var body: [UInt8]
  }
  private static let largest = 64 << 20

  /// Asks, and asks again where the store is busy or the connection broke: every request may be repeated.
  private func send(
    _ method: String, _ name: String? = nil, query: [(String, String)] = [], _ payload: [UInt8] = []
  ) async throws -> Answer {
    var pause = Duration.milliseconds(500)
    for attempt in 1... {
      do {
        let answer = try await sendOnce(method, name, query, payload)
        if attempt == 4 || !(answer.status >= 500 || answer.status == 429) { return answer }
      } catch let error as CancellationError {
        throw error
      } catch {
        if attempt == 4 {
          throw DriverError(.unreachable, device: BackupPieces.device, detail: "\(origin) does not answer: \(error)")
        }
      }
      try await Task.sleep(for: pause)
      pause *= 2
    }
    throw CancellationError()
  }
  private func sendOnce(
    _ method: String, _ name: String?, _ query: [(String, String)], _ payload: [UInt8]
  ) async throws -> Answer {
    let path =
      "/" + SignatureV4.encoded(bucket)
      + (name.map { "/" + SignatureV4.encoded(prefix + $0, keepingSlashes: true) } ?? "")
    let text = SignatureV4.canonicalQuery(query)
    var request = HTTPClientRequest(url: origin + path + (text.isEmpty ? "" : "?" + text))
    request.method = .init(rawValue: method)
    let headers = signature.headers(
      method, host: host, path: path, query: query, payload: payload, time: time(nil))
    for header in headers where header.0 != "host" { request.headers.add(name: header.0, value: header.1) }
    if method == "PUT" { request.body = .bytes(ByteBuffer(bytes: payload)) }
    let response = try await http.execute(request, timeout: .seconds(120))
    let body = try await response.body.collect(upTo: Self.largest)
    return Answer(status: Int(response.status.code), body: Array(body.readableBytesView))
  }
  private func refusal(_ what: String, _ answer: Answer) -> DriverError {
    let text = String(decoding: answer.body.prefix(4096), as: UTF8.self)
    let code = Self.elements("Code", in: text).first ?? "status \(answer.status)"
    return DriverError(
      answer.status >= 500 || answer.status == 429 ? .busy : .refused, device: BackupPieces.device,
      detail: "the bucket \(bucket) at \(host) does not \(what): \(code.prefix(100))")
  }

  func has(_ name: String) async throws -> Bool {
    let answer = try await send("HEAD", name)
    if answer.status == 404 { return false }
    guard answer.status == 200 else { throw refusal("say what it has", answer) }
    return true
  }
  func get(_ name: String) async throws -> [UInt8]? {
    let answer = try await send("GET", name)
    // A bucket that is not there is not the same as an object that is not.
    if answer.status == 404, Self.elements("Code", in: String(decoding: answer.body, as: UTF8.self)) == ["NoSuchKey"] {
      return nil
    }
    guard answer.status == 200 else { throw refusal("hand out \(name)", answer) }
    return answer.body
  }
  func put(_ name: String, _ bytes: [UInt8]) async throws {
    let answer = try await send("PUT", name, bytes)
    guard answer.status == 200 else { throw refusal("take \(name)", answer) }
  }
  func remove(_ name: String) async throws {
    let answer = try await send("DELETE", name)
    guard [200, 204, 404].contains(answer.status) else { throw refusal("remove \(name)", answer) }
  }
  func names(_ prefix: String, deep: Bool) async throws -> [String] {
    var (found, token) = ([String](), "")
    repeat {
      var query = [("list-type", "2"), ("prefix", self.prefix + prefix)]
      if !deep { query.append(("delimiter", "/")) }
      if !token.isEmpty { query.append(("continuation-token", token)) }
      let answer = try await send("GET", query: query)
      guard answer.status == 200 else { throw refusal("list what it has", answer) }
      let text = String(decoding: answer.body, as: UTF8.self)
      let folders = Self.elements("CommonPrefixes", in: text).flatMap { Self.elements("Prefix", in: $0) }
      found += (Self.elements("Key", in: text) + folders).map { String($0.dropFirst(self.prefix.utf8.count)) }
      token = Self.elements("NextContinuationToken", in: text).first ?? ""
    } while !token.isEmpty
    return found
  }

  /// The content of every element of a name. Names of ours have no letter that XML writes in another way.
  private static func elements(_ name: String, in text: String) -> [String] {
    let (bytes, begin, end) = (Array(text.utf8), Array("<\(name)>".utf8), Array("</\(name)>".utf8))
    func find(_ mark: [UInt8], from start: Int) -> Int? {
      guard start + mark.count <= bytes.count else { return nil }
      return (start...(bytes.count - mark.count)).first { bytes[$0..<($0 + mark.count)].elementsEqual(mark) }
    }
    var (found, index) = ([String](), 0)
    while let first = find(begin, from: index), let last = find(end, from: first + begin.count) {
      found.append(String(decoding: bytes[(first + begin.count)..<last], as: UTF8.self))
      index = last + end.count
    }
    return found
  }
}

extension StringProtocol {
  fileprivate var trimmed: String {
    var view = Substring(self)
    while let last = view.last, last.isWhitespace { view.removeLast() }
    return String(view.drop { $0.isWhitespace })
  }
}
