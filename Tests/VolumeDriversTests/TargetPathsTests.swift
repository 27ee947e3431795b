import DriverInterfaces
import Glibc
import Processes
import Testing

@testable import VolumeDrivers

/// Two portals with a real `tgtd` each, and what happens to one when the other dies, hangs or is given up.
@Suite(.serialized) struct TargetPathsTests {
  private func process(_ daemon: TargetDaemon) throws -> pid_t {
    try ControlSocket(daemon.control.socketPath, limit: .seconds(1)).peer
  }

  @Test func aPortalThatDiesLeavesTheOtherAndComesBackAsTheSameDisk() async throws {
    try await VolumeBench.with { bench in
      let volumes = try bench.local()
      let export = bench.export(newID(), newID())
      let (first, second) = (bench.initiator(export, portal: 0), bench.initiator(export, portal: 1))
      try await volumes.ensureVolume(export.volume, size: 256 * mebibyte, from: .blank)
      _ = try await volumes.ensureExport(export)
      let identity = try await first.identity()
      #expect(try await second.identity() == identity)
      #expect(identity.contains("NAA"))
      try await first.write(1, "0 1M")
      let doomed = try process(bench.targets.daemons[0])
      let other = try process(bench.targets.daemons[1])
      #expect(doomed != other)

      async let writer = second.io((0..<200).map { "write -P 9 \(1024 + $0 * 512)k 512k" } + ["flush"])
      try await Task.sleep(for: .milliseconds(200))
      kill(doomed, SIGKILL)

      let written = try await writer
      #expect(written.status == 0, "\(written.errorText)")
      #expect(try await !first.canLogIn())
      #expect(try await second.holds(1, "0 1M"))
      _ = try await volumes.ensureExport(export)
      #expect(try await first.identity() == identity)
      #expect(try await first.holds(9, "1M 100M"))
      #expect(try process(bench.targets.daemons[1]) == other)
    }
  }

  @Test func aDiskKeepsItsIdentityWhenItsNumberIsAnothers() async throws {
    try await VolumeBench.with { bench in
      let volumes = try bench.local()
      // The number comes from the first seven digits.
      let ids = ["0000", "1111"].map { "abcdef01-\($0)-4000-8000-000000000000" }
      let exports = ids.map { bench.export($0, newID()) }
      for (index, export) in exports.enumerated() {
        var export = export
        export.userName = "user-\(index)"
        try await volumes.ensureVolume(export.volume, size: mebibyte, from: .blank)
        _ = try await volumes.ensureExport(export)
      }
      var identities: [String] = []
      for (index, export) in exports.enumerated() {
        var machine = bench.initiator(export)
        machine.userName = "user-\(index)"
        identities.append(try await machine.identity())
      }
      #expect(Set(identities).count == 2)
      kill(try process(bench.targets.daemons[0]), SIGKILL)

      for (index, export) in exports.enumerated().reversed() {
        var export = export
        export.userName = "user-\(index)"
        _ = try await volumes.ensureExport(export)
      }

      for portal in 0..<2 {
        for (index, export) in exports.enumerated() {
          var machine = bench.initiator(export, portal: portal)
          machine.userName = "user-\(index)"
          #expect(try await machine.identity() == identities[index])
        }
      }
    }
  }

  @Test func aDetachedVolumeIsGoneAtEveryPortalAlsoWhenOneHangs() async throws {
    try await VolumeBench.with { bench in
      let volumes = try bench.local()
      let export = bench.export(newID(), newID())
      try await volumes.ensureVolume(export.volume, size: mebibyte, from: .blank)
      _ = try await volumes.ensureExport(export)
      let hung = try process(bench.targets.daemons[0])
      kill(hung, SIGSTOP)
      defer { kill(hung, SIGCONT) }

      let error = await #expect(throws: DriverError.self) { try await volumes.removeExport(export.attachment) }
      #expect(error?.code == .unreachable)
      #expect(error?.detail.contains(VolumeBench.portals[0]) ?? false)

      #expect(try await !bench.initiator(export, portal: 1).canLogIn())
      #expect(try await bench.targets.daemons[1].tableIfRunning()?.targets == [])
      kill(hung, SIGCONT)
      try await volumes.removeExport(export.attachment)
      #expect(try await !bench.initiator(export, portal: 0).canLogIn())
      #expect(try await volumes.inventory().exports == [])
    }
  }

  @Test func portalsAreChangedInTheConfiguration() async throws {
    try await VolumeBench.with(sharesDaemon: true) { bench in
      let export = bench.export(newID(), newID())
      let settings = bench.targets.settings
      func site(_ portals: [String]) throws -> LocalVolumes {
        var own = settings
        own.portals = portals
        return try LocalVolumes(folder: "\(bench.folder)/v", targets: try TargetPaths(own))
      }
      func open() async throws -> [Bool] {
        let first = try await bench.initiator(export, portal: 0).canLogIn()
        return [first, try await bench.initiator(export, portal: 1).canLogIn()]
      }
      let portals = VolumeBench.portals
      // One daemon at both, as sites had it.
      let before = try bench.local()
      try await before.ensureVolume(export.volume, size: mebibyte, from: .blank)
      _ = try await before.ensureExport(export)
      #expect(try await open() == [true, true])

      let each = try site(portals)
      _ = try await each.ensureExport(export)
      #expect(try await open() == [true, true])
      #expect(try process(each.targets.daemons[0]) != process(each.targets.daemons[1]))

      // Each finds the other at its place the first time; whoever looks after exports comes again.
      let turned = try site(portals.reversed())
      _ = try? await turned.ensureExport(export)
      _ = try await turned.ensureExport(export)
      #expect(try await open() == [true, true])

      let one = try site([portals[0]])
      let gone = turned.targets.daemons[1]
      _ = try? await one.ensureExport(export)
      _ = try await one.ensureExport(export)
      #expect(try await open() == [true, false])
      #expect(throws: ControlError.notRunning) { try process(gone) }
      #expect(try await one.inventory().exports == [export.attachment])
      try await one.stop()
    }
  }
}

extension Initiator {
  /// What multipath tells disks apart by: the page of designators (SPC-4, 83h).
  fileprivate func identity() async throws -> String {
    try await runChecked("iscsi-inq", ["-i", name, "-e", "1", "-c", "131", url], namespace: namespace).text
  }
}
