import DriverInterfaces
import Glibc
import Processes
import Synchronization
import Testing

@testable import VolumeDrivers

/// What is only true of layers in a folder: daemons that die, a server that dies between two effects.
@Suite(.serialized) struct LocalVolumesTests {
  private struct Killed: Error {}

  /// Runs `act` again and again with another server, each time cut short after one more effect, then whole.
  /// - Returns: how many effects there were.
  private func cuttingShort(
    _ bench: VolumeBench, before: () async throws -> Void = {}, _ act: (LocalVolumes) async throws -> Void,
    judge: (_ effects: Int) async throws -> Void
  ) async throws -> Int {
    for effects in 1..<50 {
      try await before()
      let left = Mutex(effects)
      let isCut = Mutex(false)
      let volumes = try bench.local { _ in
        try left.withLock { left in
          left -= 1
          if left == 0 {
            isCut.withLock { $0 = true }
            throw Killed()
          }
        }
      }
      do { try await act(volumes) } catch is Killed {}
      guard isCut.withLock({ $0 }) else { return effects - 1 }
      try await act(try bench.local())
      try await judge(effects)
    }
    Issue.record("there is no end to the effects")
    return 0
  }

  @Test func aSnapshotCutShortAnywhereIsMadeWhole() async throws {
    try await VolumeBench.with { bench in
      let volumes = try bench.local()
      let volume = newID()
      let export = bench.export(newID(), volume)
      let machine = bench.initiator(export)
      try await volumes.ensureVolume(volume, size: 64 * mebibyte, from: .blank)
      _ = try await volumes.ensureExport(export)
      var (byte, snapshot) = (0, "")
      let effects = try await cuttingShort(bench) {
        byte += 1
        snapshot = newID()
        try await machine.write(byte, "0 1M")
      } _: {
        try await $0.ensureSnapshot(snapshot, of: volume)
      } judge: { effects in
        let now = byte
        try await machine.write(200, "0 1M")
        let copy = newID()
        try await volumes.ensureVolume(copy, size: 64 * mebibyte, from: .snapshot(snapshot, of: volume))
        let other = bench.export(newID(), copy)
        _ = try await volumes.ensureExport(other)
        #expect(try await bench.initiator(other).holds(now, "0 1M"), "cut after \(effects)")
        #expect(try await machine.holds(200, "0 1M"), "cut after \(effects)")
        // The daemon dies too: what was written is there.
        let state = try #require(try await volumes.daemon(.volume(volume)).observe())
        kill(state.process, SIGKILL)
        _ = try await volumes.ensureExport(export)
        #expect(try await machine.holds(200, "0 1M"), "cut after \(effects)")
        try await volumes.removeExport(other.attachment)
        try await volumes.removeVolume(copy)
        try await volumes.removeSnapshot(snapshot, of: volume)
      }
      #expect(effects >= 4)
    }
  }

  @Test func aCopyAndAnExportCutShortAnywhereAreMadeWhole() async throws {
    try await VolumeBench.with { bench in
      let volumes = try bench.local()
      let origin = newID()
      let used = bench.export(newID(), origin)
      try await volumes.ensureVolume(origin, size: 64 * mebibyte, from: .blank)
      _ = try await volumes.ensureExport(used)
      try await bench.initiator(used).write(1, "0 1M")
      var export = bench.export(newID(), newID())
      let made = try await cuttingShort(bench) {
        export = bench.export(newID(), newID())
      } _: {
        try await $0.ensureVolume(export.volume, size: 128 * mebibyte, from: .volume(origin))
        _ = try await $0.ensureExport(export)
        try await $0.ensureSize(export.volume, 256 * mebibyte)
      } judge: { effects in
        #expect(try await bench.initiator(export).holds(1, "0 1M"), "cut after \(effects)")
        #expect(try await bench.initiator(export).capacity() == 256 * mebibyte, "cut after \(effects)")
        try await volumes.removeExport(export.attachment)
        try await volumes.removeVolume(export.volume)
      }
      #expect(made >= 9)
    }
  }

  @Test func anEndCutShortAnywhereIsComplete() async throws {
    try await VolumeBench.with { bench in
      let volumes = try bench.local()
      let (volume, snapshot) = (newID(), newID())
      var export = bench.export(newID(), volume)
      let effects = try await cuttingShort(bench) {
        export = bench.export(newID(), volume)
        try await volumes.ensureVolume(volume, size: 64 * mebibyte, from: .blank)
        _ = try await volumes.ensureExport(export)
        try await volumes.ensureSnapshot(snapshot, of: volume)
        _ = try await volumes.ensureReading(.volume(volume), reader: "r")
      } _: {
        try await $0.removeExport(export.attachment)
        try await $0.removeReading("r")
        try await $0.removeSnapshot(snapshot, of: volume)
        try await $0.removeVolume(volume)
      } judge: { effects in
        let found = try await volumes.inventory()
        #expect(found == VolumeInventory(), "cut after \(effects)")
        for folder in ["disks", "layers", "exports", "readings"] {
          #expect(fileNames(in: "\(bench.folder)/v/\(folder)") == [], "cut after \(effects)")
        }
      }
      #expect(effects >= 4)
    }
  }

  @Test func deadDaemonsAreReplaced() async throws {
    try await VolumeBench.with { bench in
      let volumes = try bench.local()
      let exports = (0..<5).map { _ in bench.export(newID(), newID()) }
      for (index, export) in exports.enumerated() {
        try await volumes.ensureVolume(export.volume, size: 64 * mebibyte, from: .blank)
        _ = try await volumes.ensureExport(export)
        try await bench.initiator(export).write(index + 1, "0 1M")
      }
      // The volume's daemon: its mount is dead and the target has a file open that is none any more.
      let before = try #require(try await volumes.daemon(.volume(exports[0].volume)).observe())
      kill(before.process, SIGKILL)
      #expect(try await !bench.initiator(exports[0]).io("read 0 64k").text.contains("bytes at offset"))
      _ = try await volumes.ensureExport(exports[0])
      #expect(try await bench.initiator(exports[0]).holds(1, "0 1M"))
      let after = try #require(try await volumes.daemon(.volume(exports[0].volume)).observe())
      #expect(after.process != before.process)

      // The targets' daemon: all come back, and the volumes' daemons have stayed.
      let tgtd = try ControlSocket(bench.targets.daemons[0].control.socketPath, limit: .seconds(1)).peer
      kill(tgtd, SIGKILL)
      let start = ContinuousClock.now
      for export in exports { _ = try await volumes.ensureExport(export) }
      print("local: tgtd and \(exports.count) targets back after \(ContinuousClock.now - start)")
      for (index, export) in exports.enumerated() {
        #expect(try await bench.initiator(export).holds(index + 1, "0 1M"))
      }
      #expect(try await volumes.daemon(.volume(exports[0].volume)).observe()?.process == after.process)

      // A server that starts finds what runs.
      let restarted = try bench.local()
      let again = try await ContinuousClock().measure {
        for export in exports { _ = try await restarted.ensureExport(export) }
      }
      print("local: \(exports.count) exports looked at again in \(again)")
      #expect(try await restarted.daemon(.volume(exports[0].volume)).observe()?.process == after.process)
    }
  }

  @Test func aFlushOfTheMachineReachesTheDisk() async throws {
    try await VolumeBench.with { bench in
      let volumes = try bench.local()
      let export = bench.export(newID(), newID())
      try await volumes.ensureVolume(export.volume, size: 64 * mebibyte, from: .blank)
      _ = try await volumes.ensureExport(export)
      let machine = bench.initiator(export)
      try await machine.write(1, "0 1M")
      // A disk below everything whose flushes fail, and whose writes do not.
      let overlay = "\(bench.folder)/failing.qcow2"
      try await runChecked("qemu-img", ["create", "-q", "-f", "qcow2", overlay, "64M"])
      let daemon = volumes.daemon(.volume(export.volume))
      try await onThread("qmp") {
        let connection = try QMPConnection("\(daemon.folder)/qmp")
        try connection.call(
          "blockdev-add",
          [
            "driver": "qcow2", "node-name": "failing", "backing": nil,
            "file": [
              "driver": "blkdebug", "image": ["driver": "file", "filename": .string(overlay)],
              "inject-error": [["event": "flush_to_disk", "errno": 5]],
            ],
          ])
        let node = try #require(try connection.call("query-block-exports").array?.first?["node-name"])
        try connection.call("blockdev-snapshot", ["node": node, "overlay": "failing"])
      }

      let result = try await machine.io("write -P 2 4M 64k", "flush")

      #expect(result.text.contains("wrote 65536/65536"))
      #expect(result.errorText.contains("SYNCHRONIZECACHE10 failed"), "\(result.errorText)")
    }
  }

  @Test func layersThatNobodyNeedsAreGone() async throws {
    try await VolumeBench.with { bench in
      let volumes = try bench.local()
      let (volume, copy) = (newID(), newID())
      let snapshots = (0..<3).map { _ in newID() }
      try await volumes.ensureVolume(volume, size: mebibyte, from: .blank)
      for snapshot in snapshots { try await volumes.ensureSnapshot(snapshot, of: volume) }
      try await volumes.ensureVolume(copy, size: mebibyte, from: .snapshot(snapshots[1], of: volume))
      func layers() -> Int { fileNames(in: "\(bench.folder)/v/layers").count }
      #expect(layers() == 5)
      try await volumes.revert(volume, to: snapshots[0])
      // The top is new, and what was above the last snapshot is gone.
      #expect(layers() == 5)
      for snapshot in snapshots { try await volumes.removeSnapshot(snapshot, of: volume) }
      try await volumes.removeVolume(volume)
      // The copy stands on two.
      #expect(layers() == 3)
      // Left by a server that was killed between a layer and its link.
      try await runChecked("cp", ["\(bench.folder)/v/layers/\(copy).qcow2", "\(bench.folder)/v/layers/left.qcow2"])
      try await volumes.removeVolume(copy)
      #expect(layers() == 0)
    }
  }

  @Test func toManyLayersAreRefusedInWords() async throws {
    try await VolumeBench.with { bench in
      let volumes = try bench.local()
      let volume = newID()
      try await volumes.ensureVolume(volume, size: mebibyte, from: .blank)
      for _ in 1..<LocalVolumes.maximumDepth { try await volumes.ensureSnapshot(newID(), of: volume) }
      do {
        try await volumes.ensureSnapshot(newID(), of: volume)
        Issue.record("one layer more than the limit")
      } catch let error as DriverError {
        #expect(error.code == .refused)
        #expect(error.detail.contains("64 layers"))
      }
      let export = bench.export(newID(), volume)
      _ = try await volumes.ensureExport(export)
      try await bench.initiator(export).write(1, "0 1M")
    }
  }

  @Test func snapshotsThatComeAndGoDoNotAddUp() async throws {
    try await VolumeBench.with { bench in
      let volumes = try bench.local()
      let (volume, kept) = (newID(), newID())
      let export = bench.export(newID(), volume)
      let machine = bench.initiator(export)
      try await volumes.ensureVolume(volume, size: 256 * mebibyte, from: .blank)
      _ = try await volumes.ensureExport(export)
      try await machine.write(250, "0 256M")
      func layers() -> Int { fileNames(in: "\(bench.folder)/v/layers").count }
      let rounds = 30
      for round in 0..<rounds {
        // Half of them while the machine has the volume.
        if round == rounds / 2 {
          try await volumes.ensureSnapshot(kept, of: volume)
          try await volumes.removeExport(export.attachment)
        }
        if round < rounds / 2 { try await machine.write(round + 1, "\(round)M 1M") }
        let snapshot = newID()
        try await volumes.ensureSnapshot(snapshot, of: volume)
        try await volumes.removeSnapshot(snapshot, of: volume)
        #expect(layers() < 12, "round \(round)")
        // Killed while it merges.
        if round % 6 == 5, let state = try await volumes.daemon(.volume(volume)).observe() {
          kill(state.process, SIGKILL)
          _ = try await volumes.ensureExport(export)
        }
      }
      _ = try await volumes.ensureExport(export)
      let copy = newID()
      try await volumes.ensureVolume(copy, size: 256 * mebibyte, from: .snapshot(kept, of: volume))
      let other = bench.export(newID(), copy)
      _ = try await volumes.ensureExport(other)
      for round in 0..<rounds / 2 {
        #expect(try await machine.holds(round + 1, "\(round)M 1M"))
        #expect(try await bench.initiator(other).holds(round + 1, "\(round)M 1M"))
      }
      #expect(try await machine.holds(250, "100M 156M"))
      for layer in fileNames(in: "\(bench.folder)/v/layers") {
        try await runChecked("qemu-img", ["check", "-q", "-U", "-f", "qcow2", "\(bench.folder)/v/layers/\(layer)"])
      }
    }
  }

  @Test func foldersThatCannotBeUsedAreRefused() async throws {
    try await VolumeBench.with { bench in
      let long = "/tmp/" + String(repeating: "x", count: 60)
      for folder in ["relative", long, "\(bench.folder)/a,b", "\(bench.folder)/a b", "/proc/none"] {
        #expect(await refusal { _ = try LocalVolumes(folder: folder, targets: bench.targets) } == .misconfigured)
      }
      for portals in [[], ["host"], ["10.0.0.1:3260,portal=0.0.0.0:3260"], ["10.0.0.1:3260", "10.0.0.1:3260"]] {
        #expect(
          await refusal { _ = try TargetPaths(.init(folder: bench.folder, portals: portals)) } == .misconfigured)
      }
      // An address that is not this machine's.
      let nowhere = try TargetDaemon(
        .init(folder: "\(bench.folder)/n", namespace: bench.namespace, portals: ["10.99.0.1:3260"]))
      #expect(
        await refusal { try await reporting(TargetDaemon.device, daemon: "tgtd") { try await nowhere.start() } }
          == .misconfigured)
      try await nowhere.stop()
    }
  }
}
