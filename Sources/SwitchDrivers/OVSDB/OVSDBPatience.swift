import DriverInterfaces
import Wire

extension OVSDBClient {
  /// Tries again when the connection was lost, for a server that is restarting, until the limit. What is asked must do no
  /// harm when it is done twice.
  nonisolated func patiently<Value: Sendable>(
    _ limit: Duration, _ body: (OVSDBClient, Duration) async throws(OVSDBError) -> Value
  ) async throws(OVSDBError) -> Value {
    let deadline = ContinuousClock.now + limit
    while true {
      do throws(OVSDBError) {
        return try await body(self, max(deadline - .now, .milliseconds(50)))
      } catch {
        guard error == .connectionLost, deadline > .now else { throw error }
        // A server that takes connections only to drop them must not be asked in a tight loop.
        try? await Task.sleep(for: .milliseconds(20))
      }
    }
  }
}

extension OVSDBError {
  /// What it means to whoever asked the driver.
  var code: DriverError.Code {
    switch self {
    case .notConnected, .connectionLost, .timeout: .unreachable
    case .tooManyWaiting: .busy
    case .badMessage: .badReply
    case .refused: .refused
    }
  }
}
