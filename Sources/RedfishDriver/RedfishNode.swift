import DriverInterfaces
import Domain
import Wire

/// Power, boot device and identity of one node through its Redfish controller.
struct RedfishNode: Sendable {
  let connection: RedfishConnection
  var settings: RedfishSettings { connection.settings }

  func failure(_ code: DriverError.Code, _ detail: String) -> DriverError {
    DriverError(code, device: settings.device, detail: detail)
  }

  /// Changes a resource. A controller that obeyed before the connection broke finds, when it is asked again, that its state
  /// (ETag) is no longer the one we knew: so what it shows decides, and not how it answered.
  func patch(
    _ path: String, _ change: JSON, etag: String?, _ what: String, isDone: () async throws -> Bool
  ) async throws {
    do { _ = try await connection.send("PATCH", path, change, etag: etag, what) } catch let error as DriverError {
      // The caller waits for what is on its way.
      guard error.code != .unreachable else { return }
      guard try await isDone() else { throw error }
    }
  }
}

/// Pauses between readings while something is to change: short at first, then no more than two a second.
struct Pause {
  private var length = Duration.milliseconds(100)
  /// Not longer than `end` allows.
  mutating func sleep(until end: ContinuousClock.Instant) async throws {
    try await Task.sleep(for: max(.milliseconds(10), min(length, end - ContinuousClock.now)))
    length = min(length * 3 / 2, .seconds(1))
  }
}
