import AsyncHTTPClient
import Domain
import DriverInterfaces
import NIOCore
import NIOHTTP1
import NIOPosix
import Processes

/// What may be fetched for tenants.
public struct WebContentRules: Sendable {
  /// Names that may lead anywhere; in lower case.
  public var hosts: Set<String> = []
  /// Where addresses may lie beside the public Internet.
  public var networks: [CIDR] = []
  public var ports: Set<Int> = [80, 443]
  public var mostRedirects = 3
  /// Of one connection, to its answer.
  public var connectPatience: Duration = .seconds(10)
  public init() {}
}

/// Content from the web for tenants: from the public Internet, and from where the administrator says.
///
/// A name is looked up once and the connection goes to an address that was looked at. No credentials are sent, nothing is
/// unpacked, and at most three redirects are followed, each looked at like the first URL and none from https to http.
public struct WebContent: WebContentInterface {
  /// The addresses of a name; blocks.
  public typealias LookUp = @Sendable (String) throws(RemoteAddress.LookUpFailure) -> [RemoteAddress]

  private let rules: WebContentRules
  private let lookUp: LookUp

  public init(
    _ rules: WebContentRules = .init(),
    lookUp: @escaping LookUp = { (host) throws(RemoteAddress.LookUpFailure) in try RemoteAddress.lookUp(host) }
  ) {
    self.rules = rules
    self.lookUp = lookUp
  }

  public func check(_ url: String) throws(WebContentError) {
    let location = try location(url)
    if let address = RemoteAddress.numeric(location.host) { try check([address], of: location) }
  }

  private func location(_ url: String) throws(WebContentError) -> WebLocation {
    guard let location = WebLocation(url) else {
      throw WebContentError("It is no URL of the form http://HOST/PATH or https://HOST/PATH without user and password.")
    }
    guard rules.ports.contains(location.port) else {
      throw WebContentError(
        "Port \(location.port) is not fetched from; \(rules.ports.sorted().map { "\($0)" }.joined(separator: ", ")) are."
      )
    }
    return location
  }

  private func check(_ addresses: [RemoteAddress], of location: WebLocation) throws(WebContentError) {
    guard !addresses.isEmpty else { throw WebContentError("\(location.host) has no address.") }
    if rules.hosts.contains(location.host) { return }
    let own = RemoteAddress.own()
    for address in addresses where !rules.networks.contains(where: { address.isIn($0) }) {
      guard address.kind == .global, !own.contains(address) else {
        throw WebContentError(
          "\(location.host) is not on the public Internet: only an administrator can allow it (images.web_download_hosts)."
        )
      }
    }
  }

  public func fetch(
    _ url: String, limit: Int, patience: Duration, take: @escaping @Sendable ([UInt8]) async throws -> Void
  ) async throws {
    var location = try location(url)
    for _ in 0...rules.mostRedirects {
      guard let next = try await visit(location, limit: limit, patience: patience, take: take) else { return }
      location = next
    }
    throw WebContentError("It is redirected more than \(rules.mostRedirects) times.")
  }

  /// - Returns: where the answer leads on; nil when the content was there.
  private func visit(
    _ location: WebLocation, limit: Int, patience: Duration, take: @escaping @Sendable ([UInt8]) async throws -> Void
  ) async throws -> WebLocation? {
    let addresses = try await addresses(of: location)
    // A name may have several, not all of which this machine reaches.
    for address in addresses.prefix(3).dropLast() {
      do {
        return try await visit(location, at: address, limit: limit, patience: patience, take: take)
      } catch is NoConnection {
        continue
      }
    }
    guard let last = addresses.prefix(3).last else { return nil }
    do {
      return try await visit(location, at: last, limit: limit, patience: patience, take: take)
    } catch is NoConnection {
      throw WebContentError("\(location.host) cannot be reached at port \(location.port).")
    }
  }
  private struct NoConnection: Error {}

  private func addresses(of location: WebLocation) async throws -> [RemoteAddress] {
    let lookUp = lookUp
    let found: Result<[RemoteAddress], WebContentError> = await withCheckedContinuation { waiter in
      startThread("image name") {
        do throws(RemoteAddress.LookUpFailure) {
          waiter.resume(returning: .success(try lookUp(location.host)))
        } catch {
          waiter.resume(returning: .failure(WebContentError("\(location.host) cannot be found: \(error.description).")))
        }
      }
    }
    let addresses = try found.get()
    try check(addresses, of: location)
    return addresses
  }

  private func visit(
    _ location: WebLocation, at address: RemoteAddress, limit: Int, patience: Duration,
    take: @escaping @Sendable ([UInt8]) async throws -> Void
  ) async throws -> WebLocation? {
    var configuration = HTTPClient.Configuration()
    configuration.redirectConfiguration = .disallow
    configuration.timeout = .init(
      connect: TimeAmount(rules.connectPatience), read: TimeAmount(patience), write: TimeAmount(patience))
    configuration.dnsOverride = [location.host: address.text]
    configuration.connectionPool.retryConnectionEstablishment = false
    configuration.httpVersion = .http1Only
    let client = HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
    do {
      let next = try await transfer(client, location, limit: limit, patience: patience, take: take)
      try? await client.shutdown()
      return next
    } catch {
      try? await client.shutdown()
      switch error {
      case let error as HTTPClientError:
        if error == .connectTimeout { throw NoConnection() }
        throw WebContentError("\(location.host) did not send it to its end: \(error.shortDescription).")
      case HTTPParserError.invalidEOFState:
        throw WebContentError("\(location.host) did not send it to its end: the connection was closed.")
      case is HTTPParserError: throw WebContentError("\(location.host) does not speak HTTP as it should: \(error).")
      case is IOError, is ChannelError, is NIOConnectionError: throw NoConnection()
      default: throw error
      }
    }
  }

  private func transfer(
    _ client: HTTPClient, _ location: WebLocation, limit: Int, patience: Duration,
    take: @escaping @Sendable ([UInt8]) async throws -> Void
  ) async throws -> WebLocation? {
    var request = HTTPClientRequest(url: location.text)
    request.headers.add(name: "User-Agent", value: "steelyard")
    let response = try await client.execute(request, timeout: TimeAmount(rules.connectPatience + patience))
    switch response.status.code {
    case 200: break
    case 301, 302, 303, 307, 308:
      guard let text = response.headers.first(name: "Location"), let next = location.redirected(to: text) else {
        throw WebContentError("\(location.host) redirects to what is no URL of http or https.")
      }
      guard next.isSecure || !location.isSecure else {
        throw WebContentError("\(location.host) redirects from https to http.")
      }
      // The port is looked at here, the address when it is visited.
      return try self.location(next.text)
    default: throw WebContentError("\(location.host) answered \(response.status.code).")
    }
    if let coding = response.headers.first(name: "Content-Encoding"), coding.lowercased() != "identity" {
      throw WebContentError("\(location.host) sends it in the coding '\(coding.prefix(40))', which was not asked for.")
    }
    let length = response.headers.first(name: "Content-Length").flatMap { Int($0) }
    if let length, length > limit {
      throw WebContentError("It has \(length) bytes; \(limit) are left for it (the site's limit, or the project's).")
    }
    guard length != nil || response.headers[canonicalForm: "Transfer-Encoding"].last?.lowercased() == "chunked" else {
      throw WebContentError("\(location.host) does not say how long it is, so that its end cannot be told.")
    }
    for try await piece in response.body { try await take(Array(piece.readableBytesView)) }
    return nil
  }
}
