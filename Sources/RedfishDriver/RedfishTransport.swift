import AsyncHTTPClient
import DriverInterfaces
import NIOCore
import NIOHTTP1
import Wire

/// HTTP to one controller and back.
extension RedfishConnection {
  /// Most bytes of one answer.
  private static let bodyLimit = 8 << 20

  /// One request and its answer, whatever its status.
  ///
  /// Nothing is asked twice but what does no more when it is.
  /// - Throws: ``DriverError`` when there is no answer that can be read; `CancellationError`.
  nonisolated func exchange(
    _ method: String, _ path: String, _ body: JSON?, _ headers: [(String, String)], limit: Duration
  ) async throws -> RedfishReply {
    guard RedfishSettings.isPath(path) else {
      throw DriverError(.badReply, device: settings.device, detail: "it names a resource that is no path.")
    }
    var request = HTTPClientRequest(url: settings.base + path)
    request.method = HTTPMethod(rawValue: method)
    request.tlsConfiguration = tls
    request.headers.add(name: "Accept", value: "application/json")
    request.headers.add(name: "OData-Version", value: "4.0")
    request.headers.add(name: "User-Agent", value: "steelyard")
    for (name, value) in headers { request.headers.add(name: name, value: value) }
    if let body {
      request.headers.add(name: "Content-Type", value: "application/json")
      request.body = .bytes(ByteBuffer(string: body.description))
    }
    let started = ContinuousClock.now
    do {
      let reply: RedfishReply
      do {
        reply = try await attempt(request, limit)
      } catch let error as HTTPClientError where error == .remoteConnectionClosed && method != "POST" {
        // It closed an idle connection as we took it up. Nothing but POST does more when it is done twice.
        reply = try await attempt(request, limit)
      }
      logger.debug(
        "redfish",
        metadata: [
          "bmc": "\(settings.device)", "request": "\(method) \(path)", "status": "\(reply.status)",
          "seconds": "\((ContinuousClock.now - started).inSeconds)",
        ])
      return reply
    } catch {
      throw try translated(error, limit)
    }
  }

  private nonisolated func attempt(_ request: HTTPClientRequest, _ limit: Duration) async throws -> RedfishReply {
    try await withThrowingTaskGroup(of: RedfishReply.self) { group in
      group.addTask { [client, settings] in
        let response = try await client.execute(request, deadline: .now() + .nanoseconds(limit.nanoseconds))
        let headers = response.headers
        var reply = RedfishReply(
          status: Int(response.status.code), etag: headers.first(name: "ETag"),
          location: headers.first(name: "Location"), token: headers.first(name: "X-Auth-Token"),
          retryAfter: headers.first(name: "Retry-After").flatMap { Int($0) }, body: .null)
        var bytes: [UInt8] = []
        for try await chunk in response.body {
          bytes.append(contentsOf: chunk.readableBytesView)
          if bytes.count > Self.bodyLimit {
            throw DriverError(
              .badReply, device: settings.device, detail: "its answer is larger than \(Self.bodyLimit >> 20) MiB.")
          }
        }
        if !bytes.isEmpty {
          do { reply.body = try JSON.parse(bytes) } catch {
            // The body of a failure is only for people; pages of proxies and web servers come here.
            if (200..<300).contains(reply.status) && request.method != .DELETE {
              throw DriverError(
                .badReply, device: settings.device,
                detail: "its answer is not JSON: \(error); is there a Redfish service at redfish_address?")
            }
          }
        }
        return reply
      }
      // The client's own limit ends with the head of the answer.
      group.addTask {
        try await Task.sleep(for: limit)
        throw HTTPClientError.readTimeout
      }
      defer { group.cancelAll() }
      guard let reply = try await group.next() else { throw CancellationError() }
      return reply
    }
  }
}

extension Duration {
  fileprivate var nanoseconds: Int64 { components.seconds * 1_000_000_000 + components.attoseconds / 1_000_000_000 }
}
