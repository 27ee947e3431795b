import DriverInterfaces
import Testing

@testable import VolumeDrivers

/// The drivers that the contract is held against.
enum VolumeBackend: String, CaseIterable, Sendable, CustomTestStringConvertible {
  case local
  var testDescription: String { rawValue }

  func with(_ body: (VolumeBench, any VolumeInterface) async throws -> Void) async throws {
    switch self {
    case .local: try await VolumeBench.with { try await body($0, try $0.local()) }
    }
  }
}

/// The code of the driver's refusal, nil when it did not refuse.
func refusal(_ body: () async throws -> Void) async -> DriverError.Code? {
  do {
    try await body()
    return nil
  } catch let error as DriverError {
    return error.code
  } catch {
    Issue.record("not a driver's error: \(error)")
    return nil
  }
}
