import DriverInterfaces
import Processes
import Testing

@testable import VolumeDrivers

/// The drivers that the contract is held against.
enum VolumeBackend: String, CaseIterable, Sendable, CustomTestStringConvertible {
  case local, rbd
  var testDescription: String { rawValue }
  static var allCases: [VolumeBackend] { CephCluster.isWanted ? [.local, .rbd] : [.local] }

  /// What the backend keeps on disk, whatever it is called.
  func content(_ bench: VolumeBench, _ volumes: any VolumeInterface) async throws -> [String] {
    switch self {
    case .local: return fileNames(in: "\(bench.folder)/v/layers")
    case .rbd:
      let volumes = try #require(volumes as? RBDVolumes)
      let images = try await volumes.rbd("ls", volumes.settings.pool).text
      let trash = try await volumes.rbd("trash", "ls", volumes.settings.pool).text
      return (images + trash).split(separator: "\n").map { String($0) }
    }
  }

  func with(_ body: (VolumeBench, any VolumeInterface) async throws -> Void) async throws {
    switch self {
    case .local: try await VolumeBench.with { try await body($0, try $0.local()) }
    case .rbd:
      let cluster = try #require(CephCluster.current)
      let pool = try await cluster.makePool()
      try await VolumeBench.with(in: cluster.namespace, sharesDaemon: true) { bench in
        let volumes = try RBDVolumes(
          .init(
            pool: pool, configuration: cluster.configuration, folder: "\(bench.folder)/r", namespace: cluster.namespace
          ),
          targets: bench.targets)
        do {
          try await body(bench, volumes)
        } catch {
          try await volumes.stop()
          throw error
        }
        try await volumes.stop()
      }
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
