import AsyncHTTPClient
import DriverInterfaces
import Logging
import NIOCore
import NIOHTTP1
import OutboundHTTP
import Processes

/// Webhooks over HTTP and HTTPS.
///
/// What the receiver answers is not read beyond its status, redirects are not followed, and its address is looked at before
/// anything is sent: this machine's own services and the links' (where clouds keep their metadata) are none of a webhook's
/// business unless the operator says so.
public struct HTTPWebhooks: WebhookInterface {
  private let patience: Duration

  /// - Parameter patience: with one receiver, from the look-up of its name to its answer.
  public init(patience: Duration = .seconds(10)) { self.patience = patience }

  public func post(_ body: [UInt8], headers: [(String, String)], to webhook: Webhook) async throws {
    guard let host = Self.host(of: webhook.url) else {
      throw WebhookError("\(webhook.url) is no URL of a receiver: http://HOST/… or https://HOST/… is expected")
    }
    do {
      try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask {
          let address = try await Self.address(of: host, webhook)
          try await send(body, headers, to: webhook, host, address)
        }
        group.addTask { [patience] in
          try await Task.sleep(for: patience)
          throw WebhookError("no answer within \(patience)")
        }
        defer { group.cancelAll() }
        try await group.next()
      }
    } catch let error as WebhookError {
      throw error
    } catch is CancellationError {
      throw CancellationError()
    } catch {
      throw WebhookError("\(error)")
    }
  }

  private func send(
    _ body: [UInt8], _ headers: [(String, String)], to webhook: Webhook, _ host: String, _ address: String
  ) async throws {
    var configuration = HTTPClient.Configuration()
    configuration.redirectConfiguration = .disallow
    configuration.timeout = .init(connect: .seconds(5), read: .seconds(10))
    configuration.dnsOverride = [host: address]
    configuration.connectionPool.retryConnectionEstablishment = false
    let client = HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
    var request = HTTPClientRequest(url: webhook.url)
    request.method = .POST
    request.headers.add(name: "Content-Type", value: "application/json")
    request.headers.add(name: "User-Agent", value: "steelyard")
    for (name, value) in headers { request.headers.add(name: name, value: value) }
    request.body = .bytes(ByteBuffer(bytes: body))
    do {
      let response = try await client.execute(request, deadline: .now() + .seconds(10))
      guard (200..<300).contains(response.status.code) else {
        throw WebhookError("the receiver answered \(response.status.code)")
      }
    } catch {
      try? await client.shutdown()
      throw error
    }
    try? await client.shutdown()
  }

  /// - Throws: ``WebhookError`` for a name without an address, or one with an address on this machine or its links.
  private static func address(of host: String, _ webhook: Webhook) async throws -> String {
    let found: Result<[RemoteAddress], WebhookError> = await withCheckedContinuation { waiter in
      startThread("webhook name") {
        do throws(RemoteAddress.LookUpFailure) {
          waiter.resume(returning: .success(try RemoteAddress.lookUp(host)))
        } catch {
          waiter.resume(returning: .failure(WebhookError("\(host): \(error.description)")))
        }
      }
    }
    let addresses = try found.get()
    if !webhook.isLocalAllowed, let local = addresses.first(where: { $0.kind == .local }) {
      throw WebhookError(
        "\(host) is \(local.text), which is this machine or its link: set allow_local if that is meant")
    }
    guard let first = addresses.first else { throw WebhookError("\(host) has no address") }
    return first.text
  }

  /// The host of an http or https URL, without user, port and brackets; nil for anything else.
  static func host(of url: String) -> String? {
    guard let rest = ["http://", "https://"].first(where: url.lowercased().hasPrefix).map({ url.dropFirst($0.count) })
    else { return nil }
    let authority = rest.prefix { !"/?#".contains($0) }
    guard !authority.contains("@"), !authority.contains("\\"),
      authority.utf8.allSatisfy({ $0 > 32 && $0 < 127 })
    else { return nil }
    if authority.first == "[" {
      guard let end = authority.firstIndex(of: "]") else { return nil }
      return String(authority[authority.index(after: authority.startIndex)..<end])
    }
    let host = authority.prefix { $0 != ":" }
    return host.isEmpty ? nil : String(host)
  }
}
