import Conductor
import Cryptography
import Domain
import DriverInterfaces
import Glibc
import HTTPTypes
import Hummingbird
import Logging
import NIOCore
import ServiceLifecycle
import Store
import Synchronization
import TestSupport
import Testing
import Wire

@testable import Webhooks

private final class Clock: Sendable {
  private let time = Mutex(Timestamp(seconds: 1_800_000_000))
  var now: Timestamp { time.withLock { $0 } }
  func advance(by duration: Duration) { time.withLock { $0 = $0 + duration } }
}

@Suite struct WebhookTests {
  private func database() throws -> Database {
    try Database.fresh(at: "/tmp/steelyard-webhook-\(Identifier.uuid()).db", secrets: SecretBox(key: randomBytes(32)))
  }
  private func remove(_ database: Database) {
    database.close()
    for suffix in ["", "-wal", "-shm"] { unlink(database.path + suffix) }
  }
  private func lease(_ now: Timestamp) -> Lease {
    Lease(
      uuid: Identifier.uuid(), name: "l1", projectID: "p", ownerID: "o", resourceUUID: "r",
      time: TimeRange(now, now + .seconds(3600)), createdAt: now)
  }
  private func service(_ database: Database, _ webhook: Webhook, _ clock: Clock) -> WebhookService {
    var logger = Logger(label: "webhook")
    logger.logLevel = .critical
    return WebhookService(
      database: database, webhooks: [webhook], sender: HTTPWebhooks(), logger: logger, clock: { clock.now })
  }

  @Test func aNoticeIsSignedSentOnceTakenAndTriedAgainUntilThen() async throws {
    let receiver = WebhookReceiver(answers: [500, 302])
    let clock = Clock()
    let database = try database()
    defer { remove(database) }
    try await receiver.serve { url in
      let webhook = Webhook(url: url, secret: Array("between us".utf8), isLocalAllowed: true)
      let service = service(database, webhook, clock)
      let lease = lease(clock.now)
      // What happened before the webhook was configured is not told.
      try await database.write { try EventStore.append("expire.notice", lease: lease, at: clock.now, in: $0) }
      try await service.deliver(to: webhook)
      try await database.write { session in
        try LeaseStore.insert(lease, in: session)
        try EventStore.append("create.end", lease: lease, at: clock.now, in: session)
        try EventStore.append("expire.notice", lease: lease, at: clock.now, in: session)
      }

      try await service.deliver(to: webhook)
      #expect(receiver.messages.count == 1, "refused")
      try await service.deliver(to: webhook)
      #expect(receiver.messages.count == 1, "not before its time")
      clock.advance(by: .seconds(5))
      try await service.deliver(to: webhook)
      #expect(receiver.messages.count == 2, "sent elsewhere, where it does not go")
      clock.advance(by: .seconds(9))
      try await service.deliver(to: webhook)
      #expect(receiver.messages.count == 2, "later each time")
      clock.advance(by: .seconds(1))
      // Another process goes on where this one was.
      try await self.service(database, webhook, clock).deliver(to: webhook)
      #expect(receiver.messages.count == 3)
      clock.advance(by: .seconds(1000))
      try await service.deliver(to: webhook)
      #expect(receiver.messages.count == 3, "taken is taken")

      let message = try #require(receiver.messages.last)
      let body = try JSON(parsing: message.body)
      #expect(body["event_type"] == "esi_leap.lease.expire.notice" && body["object_uuid"]?.string == lease.uuid)
      #expect(body["lease"]?["end_time"]?.string == lease.time.end.iso8601 && body["lease"]?["name"] == "l1")
      func header(_ name: String) -> String? { HTTPField.Name(name).flatMap { message.headers[$0] } }
      let time = try #require(header("X-Steelyard-Time"))
      let expected = Digest.hex(Digest.hmacSHA256(key: Array("between us".utf8), Array("\(time).\(message.body)".utf8)))
      #expect(header("X-Steelyard-Signature") == "sha256=\(expected)")
      #expect(header("X-Steelyard-Event") == body["id"]?.int.map { String($0) })
    }
  }

  @Test func aDeadReceiverIsGivenUpAfterThreeDays() async throws {
    let clock = Clock()
    let database = try database()
    defer { remove(database) }
    let webhook = Webhook(url: "http://127.0.0.1:1/", isLocalAllowed: true)
    let service = service(database, webhook, clock)
    try await service.deliver(to: webhook)
    let lease = lease(clock.now)
    try await database.write { try EventStore.append("expire.notice", lease: lease, at: clock.now, in: $0) }
    for _ in 0..<400 {
      try await service.deliver(to: webhook)
      clock.advance(by: .seconds(900))
    }
    let place = try await database.write { try WebhookStore.place(of: webhook.url, in: $0) }
    #expect(place.lastEventID == 1 && place.attempt == 0)
  }

  /// Abuse 9 and 10: whatever a receiver's address looks like, this machine and its links are not told.
  @Test(arguments: [
    "http://127.0.0.1/", "http://127.1/", "http://2130706433/", "http://0x7f000001/", "http://0177.0.0.1/",
    "http://localhost/",
    "http://[::1]/", "http://[::ffff:127.0.0.1]/", "http://[::ffff:7f00:1]/", "http://169.254.169.254/latest",
    "http://0.0.0.0/",
    "http://[::]/", "http://[fe80::1]/", "http://[64:ff9b::7f00:1]/", "http://[2002:7f00:1::]/", "http://224.0.0.1/",
    "http://255.255.255.255/", "HTTPS://LOCALHOST:5000/",
  ])
  func abuse09_thisMachineAndItsLinksAreNotTold(url: String) async throws {
    let error = await #expect(throws: WebhookError.self) {
      try await HTTPWebhooks().post(Array("{}".utf8), headers: [], to: Webhook(url: url))
    }
    #expect(error?.description.contains("this machine or its link") == true, "\(url): \(error?.description ?? "")")
  }
  @Test(arguments: [
    "file:///etc/passwd", "ftp://example.org/", "http://", "http:///x", "http://user@host/", "http://a\\@b/",
    "gopher://x",
  ])
  func whatIsNoReceiverIsRefused(url: String) async throws {
    let error = await #expect(throws: WebhookError.self) {
      try await HTTPWebhooks().post([], headers: [], to: Webhook(url: url, isLocalAllowed: true))
    }
    #expect(error?.description.contains("is no URL of a receiver") == true)
  }
}
