import Conductor
import DriverInterfaces
import Processes
import TestSupport
import Testing

@testable import VolumeDrivers

/// What a server that was killed may have left on a real backend, planted by hand, and swept by the real sweeper.
@Suite struct OrphanTests {
  @Test func orphansOfEveryKindAreFoundNamedAndRemoved() async throws {
    try await VolumeBench.with { bench in
      let volumes = try bench.local()
      let (base, clone, snapshot) = (newID(), newID(), newID())
      // A volume, its snapshot, a clone that stands on it, a target for each with their daemons, and a target that was left half made.
      try await volumes.ensureVolume(base, size: 16 * mebibyte, from: .blank)
      try await volumes.ensureSnapshot(snapshot, of: base)
      try await volumes.ensureVolume(clone, size: 16 * mebibyte, from: .snapshot(snapshot, of: base))
      let exports = [base, clone].map { bench.export(newID(), $0) }
      for export in exports { _ = try await volumes.ensureExport(export) }
      let half = newID()
      try await bench.targets.daemons[0].call(
        .init(mode: .target, operation: .new, target: 77, parameters: "targetname=\(TargetDaemon.name(half))"))
      // A layer to which no link leads: a clone that was cut short.
      try await runChecked(
        "qemu-img", ["create", "-q", "-f", "qcow2", "\(bench.folder)/v/layers/\(newID()).qcow2", "16M"])

      var parts = SiteParts()
      parts.volumes = ["local": volumes]
      let site = try CrashSite(folder: "\(bench.folder)/site", options: [:], parts: parts)
      defer { site.database.close() }
      let found = try await site.conductor.leftovers().map(\.description)
      for id in [exports[0].attachment, exports[1].attachment, half, snapshot, base, clone] {
        #expect(found.contains { $0.contains(id) }, "\(id) is not among \(found)")
      }

      try await site.conductor.sweep()

      #expect(try await site.conductor.leftovers() == [])
      #expect(try await volumes.inventory() == VolumeInventory())
      #expect(fileNames(in: "\(bench.folder)/v/layers").isEmpty)
      #expect(fileNames(in: "\(bench.folder)/v/disks").isEmpty)
      #expect(try await bench.targets.daemons[0].table().targets.isEmpty)
    }
  }
}
