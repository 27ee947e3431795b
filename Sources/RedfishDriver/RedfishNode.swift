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
