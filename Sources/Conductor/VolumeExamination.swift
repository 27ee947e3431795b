import Domain
import DriverInterfaces
import Store

extension Conductor {
  /// What the database expects of backends that the configuration does not have: sentences for the log at the start and `doctor`.
  public func missingVolumeBackends() async throws -> [String] {
    let known = Set(volumeBackends)
    return try await database.read { session in
      let volumes = try VolumeStore.backends(in: session).filter { !known.contains($0.key) }.sorted { $0.key < $1.key }
      let types = try VolumeTypeStore.list(visibleTo: nil, in: session)
      return volumes.map { name, count in
        "\(count) volumes are on the backend \(name), which the configuration does not have: put it back into volumes.backends; until then they cannot be used"
      }
        + types.compactMap { type in
          guard let name = type.extraSpecs["volume_backend_name"]?.string, !known.contains(name) else { return nil }
          return
            "the volume type \(type.name) names the backend \(name), which the configuration does not have: add it to volumes.backends, or `openstack volume type set --property volume_backend_name=NAME \(type.id)`"
        }
    }
  }

  /// Backends that do not answer or are not what the configuration says, one sentence each.
  func examineVolumes() async throws -> [String] {
    var findings = try await missingVolumeBackends()
    for name in volumeBackends {
      do { _ = try await parts.volumes[name]?.capacity() } catch {
        findings.append("volume backend \(name): \(error)")
      }
    }
    return findings
  }
}
