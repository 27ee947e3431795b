import Cryptography
import Domain
import DriverInterfaces
import Logging
import ServiceLifecycle
import Store
import Wire

/// Tells webhooks what happens to leases and offers, event by event and in order.
///
/// How far each has come is in the database, so that nothing is lost when the server or the receiver rests: an event is sent
/// until the receiver has taken it, at growing intervals, and given up after three days. A receiver may get one twice, with
/// the same `X-Steelyard-Event`. One that does not answer holds up nobody else.
public struct WebhookService: Service {
  private let database: Database
  private let webhooks: [Webhook]
  private let sender: any WebhookInterface
  private let logger: Logger
  private let clock: @Sendable () -> Timestamp
  /// Between two looks for something new.
  private static let period: Duration = .seconds(2)
  private static let patience: Duration = .seconds(3 * 86_400)
  /// The longest pause between two attempts.
  private static let longestPause: Duration = .seconds(900)

  public init(
    database: Database, webhooks: [Webhook], sender: any WebhookInterface, logger: Logger,
    clock: @escaping @Sendable () -> Timestamp
  ) {
    self.database = database
    self.webhooks = webhooks
    self.sender = sender
    self.logger = logger
    self.clock = clock
  }

  public func run() async throws {
    await cancelWhenGracefulShutdown {
      await withTaskGroup(of: Void.self) { group in
        for webhook in webhooks {
          group.addTask {
            while !Task.isCancelled {
              do { try await deliver(to: webhook) } catch is CancellationError { return } catch {
                logger.error("webhook \(webhook.url): \(error)")
              }
              try? await Task.sleep(for: Self.period)
            }
          }
        }
      }
    }
  }

  /// Sends what one webhook has not had yet, until it fails or there is no more.
  public func deliver(to webhook: Webhook) async throws {
    while true {
      let now = clock()
      let place = try await database.write { try WebhookStore.place(of: webhook.url, in: $0) }
      guard place.tryAt <= now else { return }
      let events = try await database.read { session in
        var filter = EventStore.Filter()
        filter.afterID = place.lastEventID
        filter.limit = 100
        return try EventStore.list(filter, in: session)
      }
      guard let newest = events.last else { return }
      let wanted = events.first { event in webhook.events.contains { event.type.hasPrefix($0) } }
      guard let wanted else {
        try await database.write { try WebhookStore.advance(webhook.url, to: newest.id, in: $0) }
        continue
      }
      do {
        let body = try await database.read { try Self.message(wanted, in: $0) }
        try await sender.post(Array(body.description.utf8), headers: headers(wanted, body, webhook), to: webhook)
      } catch let error as WebhookError {
        guard now - wanted.at < Self.patience else {
          logger.error("webhook \(webhook.url): event \(wanted.id) is given up: \(error)")
          try await database.write { try WebhookStore.advance(webhook.url, to: wanted.id, in: $0) }
          continue
        }
        if place.attempt == 0 { logger.warning("webhook \(webhook.url): event \(wanted.id): \(error); tried again") }
        let pause = min(.seconds(5) * (1 << min(place.attempt, 10)), Self.longestPause)
        try await database.write { session in
          try WebhookStore.failed(
            webhook.url, attempt: place.attempt + 1, tryAt: now + pause, error: "\(error)", in: session)
        }
        return
      }
      try await database.write { try WebhookStore.advance(webhook.url, to: wanted.id, in: $0) }
    }
  }

  /// The signature covers the time too, so that what somebody recorded is of no use later.
  private func headers(_ event: LeaseEvent, _ body: JSON, _ webhook: Webhook) -> [(String, String)] {
    let time = String(clock().microseconds / 1_000_000)
    var headers = [("X-Steelyard-Event", String(event.id)), ("X-Steelyard-Time", time)]
    if let secret = webhook.secret {
      let code = Digest.hmacSHA256(key: secret, Array("\(time).\(body.description)".utf8))
      headers.append(("X-Steelyard-Signature", "sha256=" + Digest.hex(code)))
    }
    return headers
  }

  /// The event as `GET /v1/events` shows it, with the lease or offer as it is now.
  static func message(_ event: LeaseEvent, in session: any Session) throws -> JSON {
    var message: JSONObject = [
      "id": .int(event.id), "event_type": .string(event.type), "event_time": .string(event.at.iso8601),
      "object_type": .string(event.objectType), "object_uuid": .string(event.objectUUID),
      "resource_type": .string(event.resourceType), "resource_uuid": .string(event.resourceUUID),
      "lessee_id": JSON(event.lesseeID), "owner_id": JSON(event.ownerID),
    ]
    func project(_ id: String?) throws -> JSON { JSON(try id.flatMap { try ProjectStore.get($0, in: session)?.name }) }
    message["lessee"] = try project(event.lesseeID)
    message["owner"] = try project(event.ownerID)
    message["resource"] = JSON(
      try LeaseResourceStore.shown(event.resourceUUID, in: session) { name, _, _ in name ?? "" })
    if let detail = event.detail { message["detail"] = .string(detail) }
    if event.objectType == "lease", let lease = try LeaseStore.get(event.objectUUID, in: session) {
      message["lease"] = [
        "name": JSON(lease.name), "status": .string(lease.status.rawValue), "purpose": JSON(lease.purpose),
        "start_time": .string(lease.time.start.iso8601), "end_time": .string(lease.time.end.iso8601),
        "status_reason": JSON(lease.statusReason),
      ]
    }
    return .object(message)
  }
}
