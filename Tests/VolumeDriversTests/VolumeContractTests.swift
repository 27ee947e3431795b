import DriverInterfaces
import Glibc
import Processes
import Testing

@testable import VolumeDrivers

/// What every ``VolumeInterface`` must do, judged by content at an initiator. No simulator, no mock.
@Suite(.serialized, .ceph) struct VolumeContractTests {
  @Test(arguments: VolumeBackend.allCases)
  func revertingBringsTheFirstContentBack(_ backend: VolumeBackend) async throws {
    try await backend.with { bench, volumes in
      let (volume, first, second) = (newID(), newID(), newID())
      let export = bench.export(newID(), volume)
      let machine = bench.initiator(export)
      try await volumes.ensureVolume(volume, size: 64 * mebibyte, from: .blank)
      _ = try await volumes.ensureExport(export)
      try await machine.write(1, "0 1M")
      try await volumes.removeExport(export.attachment)
      try await volumes.ensureSnapshot(first, of: volume)
      _ = try await volumes.ensureExport(export)
      #expect(try await machine.holds(1, "0 1M"))
      try await machine.write(2, "0 2M")
      try await volumes.removeExport(export.attachment)
      try await volumes.ensureSnapshot(second, of: volume)

      try await volumes.revert(volume, to: first)

      _ = try await volumes.ensureExport(export)
      #expect(try await machine.holds(1, "0 1M"))
      #expect(try await machine.holds(0, "1M 1M"))
      // The newer snapshot is still what it was.
      let copy = newID()
      try await volumes.ensureVolume(copy, size: 64 * mebibyte, from: .snapshot(second, of: volume))
      let other = bench.export(newID(), copy)
      _ = try await volumes.ensureExport(other)
      #expect(try await bench.initiator(other).holds(2, "0 2M"))
    }
  }

  @Test(arguments: VolumeBackend.allCases)
  func copiesSeeTheBaseAndNotEachOther(_ backend: VolumeBackend) async throws {
    try await backend.with { bench, volumes in
      let path = "\(bench.folder)/image.raw"
      try await runChecked("qemu-img", ["create", "-q", "-f", "raw", path, "32M"])
      try await runChecked("qemu-io", ["-f", "raw", "-c", "write -P 7 1M 1M", path])
      // As images have it that were uploaded raw.
      let sum = try await runChecked("sha512sum", [path]).text.prefix { $0 != " " }
      let image = VolumeSource.image(RawImage(path: path, size: 32 * mebibyte, digest: String(sum)), id: newID())
      let (first, second, third) = (newID(), newID(), newID())
      try await volumes.ensureVolume(first, size: 64 * mebibyte, from: image)
      try await volumes.ensureVolume(second, size: 32 * mebibyte, from: image)
      let exports = [first, second].map { bench.export(newID(), $0) }
      for export in exports { _ = try await volumes.ensureExport(export) }
      let machines = exports.map { bench.initiator($0) }

      for machine in machines { #expect(try await machine.holds(7, "1M 1M")) }
      try await machines[0].write(8, "1M 512k")
      #expect(try await machines[1].holds(7, "1M 1M"))
      // A copy of a volume that a machine has just written, and still has.
      try await volumes.ensureVolume(third, size: 64 * mebibyte, from: .volume(first))
      try await machines[0].write(9, "1M 512k")
      let copy = bench.export(newID(), third)
      _ = try await volumes.ensureExport(copy)
      #expect(try await bench.initiator(copy).holds(8, "1M 512k"))
      #expect(try await bench.initiator(copy).holds(7, "1536k 512k"))
      #expect(try await machines[0].holds(9, "1M 512k"))
      #expect(try await runChecked("sha512sum", [path]).text.prefix { $0 != " " } == sum)
      // Content that others were made from stays for them.
      try await volumes.removeExport(exports[0].attachment)
      try await volumes.removeVolume(first)
      #expect(try await bench.initiator(copy).holds(8, "1M 512k"))
    }
  }

  @Test(arguments: VolumeBackend.allCases)
  func sourcesGoBeforeWhatWasMadeFromThem(_ backend: VolumeBackend) async throws {
    try await backend.with { bench, volumes in
      let path = "\(bench.folder)/image.raw"
      try await runChecked("qemu-img", ["create", "-q", "-f", "raw", path, "16M"])
      try await runChecked("qemu-io", ["-f", "raw", "-c", "write -P 7 0 1M", path])
      let image = RawImage(path: path, size: 16 * mebibyte, digest: String(repeating: "c", count: 64))
      let (first, second, third, snapshot) = (newID(), newID(), newID(), newID())
      try await volumes.ensureVolume(first, size: 16 * mebibyte, from: .image(image, id: newID()))
      try await volumes.ensureSnapshot(snapshot, of: first)
      try await volumes.ensureVolume(second, size: 16 * mebibyte, from: .snapshot(snapshot, of: first))
      try await volumes.ensureVolume(third, size: 32 * mebibyte, from: .volume(second))

      unlink(path)
      try await volumes.removeSnapshot(snapshot, of: first)
      try await volumes.removeVolume(first)
      try await volumes.removeVolume(second)

      #expect(try await volumes.inventory() == VolumeInventory(volumes: [third]))
      let export = bench.export(newID(), third)
      _ = try await volumes.ensureExport(export)
      #expect(try await bench.initiator(export).holds(7, "0 1M"))
      try await bench.initiator(export).write(8, "0 64k")
      try await volumes.removeExport(export.attachment)
      try await volumes.removeVolume(third)
      #expect(try await volumes.inventory() == VolumeInventory())
      let left = try await backend.content(bench, volumes)
      #expect(left == [], "\(left)")
    }
  }

  @Test(arguments: VolumeBackend.allCases)
  func aSnapshotIsTakenWhileAMachineWrites(_ backend: VolumeBackend) async throws {
    try await backend.with { bench, volumes in
      let volume = newID()
      let export = bench.export(newID(), volume)
      let machine = bench.initiator(export)
      try await volumes.ensureVolume(volume, size: 64 * mebibyte, from: .blank)
      _ = try await volumes.ensureExport(export)
      try await machine.write(1, "0 1M")
      async let writer = machine.io("write -P 5 8M 8M", "write -P 5 16M 8M", "flush")

      let snapshot = newID()
      try await volumes.ensureSnapshot(snapshot, of: volume)

      #expect(try await writer.status == 0)
      try await machine.write(2, "0 1M")
      let copy = newID()
      try await volumes.ensureVolume(copy, size: 64 * mebibyte, from: .snapshot(snapshot, of: volume))
      let other = bench.export(newID(), copy)
      _ = try await volumes.ensureExport(other)
      #expect(try await bench.initiator(other).holds(1, "0 1M"))
      #expect(try await machine.holds(2, "0 1M"))
      #expect(try await machine.holds(5, "8M 16M"))
      // It cannot go back while the machine has it.
      #expect(await refusal { try await volumes.revert(volume, to: snapshot) } == .busy)
      #expect(await refusal { try await volumes.removeVolume(volume) } == .busy)
    }
  }

  @Test(arguments: VolumeBackend.allCases)
  func nobodyElseLogsIn(_ backend: VolumeBackend) async throws {
    try await backend.with { bench, volumes in
      let (volume, second) = (newID(), newID())
      let export = bench.export(newID(), volume)
      try await volumes.ensureVolume(volume, size: mebibyte, from: .blank)
      try await volumes.ensureVolume(second, size: mebibyte, from: .blank)
      _ = try await volumes.ensureExport(export)
      let foreign = bench.export(newID(), second, initiator: "iqn.2026-11.org.steelyard:node-2")
      _ = try await volumes.ensureExport(foreign)
      let machine = bench.initiator(export)
      #expect(try await machine.canLogIn())
      #expect(try await machine.discovered().contains(export.attachment))
      #expect(try await !machine.discovered().contains(foreign.attachment))

      var wrong = machine
      wrong.password = "secret-of-none"
      #expect(try await !wrong.canLogIn())
      wrong = machine
      wrong.userName = ""
      #expect(try await !wrong.canLogIn())
      // The other machine, with the first one's secret and with its own.
      wrong = machine
      wrong.name = foreign.initiators[0]
      #expect(try await !wrong.canLogIn())
      wrong = bench.initiator(foreign)
      wrong.target = machine.target
      #expect(try await !wrong.canLogIn())
      #expect(try await !wrong.discovered().contains(export.attachment))
      // Nobody is allowed: nobody comes in.
      var closed = export
      closed.initiators = []
      _ = try await volumes.ensureExport(closed)
      #expect(try await !machine.canLogIn())
    }
  }

  @Test(arguments: VolumeBackend.allCases)
  func bothPortalsLeadThere(_ backend: VolumeBackend) async throws {
    try await backend.with { bench, volumes in
      let volume = newID()
      let export = bench.export(newID(), volume)
      try await volumes.ensureVolume(volume, size: 8 * mebibyte, from: .blank)
      let access = try await volumes.ensureExport(export)
      #expect(access.target == "iqn.2026-11.org.steelyard:\(export.attachment)")
      #expect(access.portals == VolumeBench.portals)
      #expect(access.lun == 1)
      try await bench.initiator(export, portal: 0).write(3, "0 1M")
      #expect(try await bench.initiator(export, portal: 1).holds(3, "0 1M"))
    }
  }

  @Test(arguments: VolumeBackend.allCases)
  func removingAnExportEndsItsSessions(_ backend: VolumeBackend) async throws {
    try await backend.with { bench, volumes in
      let volume = newID()
      let export = bench.export(newID(), volume)
      let machine = bench.initiator(export)
      try await volumes.ensureVolume(volume, size: 64 * mebibyte, from: .blank)
      _ = try await volumes.ensureExport(export)
      async let load = run(
        "iscsi-perf", ["-i", machine.name, "-m", "8", "-t", "30", machine.url], namespace: bench.namespace,
        timeout: .seconds(8))
      try await Task.sleep(for: .seconds(1))

      let took = try await ContinuousClock().measure { try await volumes.removeExport(export.attachment) }

      #expect(took < .seconds(2))
      #expect(try await !machine.canLogIn())
      #expect(try await volumes.inventory().exports == [])
      _ = try? await load
      try await volumes.removeExport(export.attachment)
      try await volumes.removeVolume(volume)
      #expect(try await volumes.inventory() == VolumeInventory())
    }
  }

  @Test(arguments: VolumeBackend.allCases)
  func aVolumeGrowsWhileAMachineHasIt(_ backend: VolumeBackend) async throws {
    try await backend.with { bench, volumes in
      let volume = newID()
      let export = bench.export(newID(), volume)
      let machine = bench.initiator(export)
      try await volumes.ensureVolume(volume, size: 64 * mebibyte, from: .blank)
      try await volumes.ensureSize(volume, 128 * mebibyte)
      _ = try await volumes.ensureExport(export)
      #expect(try await machine.capacity() == 128 * mebibyte)
      try await machine.write(1, "127M 1M")
      // A session that writes meanwhile is cut and comes back: nothing that it wrote is lost, and it sees no error.
      let pieces = (0..<200).map { "write -P 9 \($0 * 512)k 512k" }
      async let writer = machine.io(pieces)
      try await Task.sleep(for: .milliseconds(300))

      try await volumes.ensureSize(volume, gibibyte)

      let written = try await writer
      #expect(written.status == 0, "\(written.errorText)")
      #expect(try await machine.holds(9, "0 100M"))
      #expect(try await machine.capacity() == gibibyte)
      #expect(try await machine.holds(1, "127M 1M"))
      try await machine.write(2, "1000M 1M")
      // Left offline by a server that was killed meanwhile.
      let table = try #require(try await bench.targets.daemons[0].tableIfRunning())
      let target = try #require(table.targets.first)
      try await bench.targets.daemons[0].call(
        .init(mode: .target, operation: .update, target: target.number, parameters: "state=offline"))
      #expect(try await !machine.canLogIn())
      _ = try await volumes.ensureExport(export)
      // Smaller is nothing to do; the same again too.
      try await volumes.ensureSize(volume, 64 * mebibyte)
      _ = try await volumes.ensureExport(export)
      #expect(try await machine.capacity() == gibibyte)
      #expect(try await machine.holds(2, "1000M 1M"))
    }
  }

  @Test(arguments: VolumeBackend.allCases)
  func contentIsReadAsAFileWithHoles(_ backend: VolumeBackend) async throws {
    try await backend.with { bench, volumes in
      let path = "\(bench.folder)/backup.raw"
      try await runChecked("qemu-img", ["create", "-q", "-f", "raw", path, "64M"])
      try await runChecked("qemu-io", ["-f", "raw", "-c", "write -P 4 8M 1M", path])
      let (volume, snapshot) = (newID(), newID())
      try await volumes.ensureVolume(volume, size: 64 * mebibyte, from: .file(path))
      try await volumes.ensureSnapshot(snapshot, of: volume)
      let export = bench.export(newID(), volume)
      _ = try await volumes.ensureExport(export)
      try await bench.initiator(export).write(5, "8M 1M")

      let frozen = try await volumes.ensureReading(.snapshot(snapshot, of: volume), reader: "r-1")
      let live = try await volumes.ensureReading(.volume(volume), reader: "r-2")

      #expect(try await runChecked("cmp", [path, frozen]).status == 0)
      #expect(try await run("cmp", [path, live]).status == 1)
      let descriptor = open(frozen, O_RDONLY)
      #expect(lseek(descriptor, 0, 3 /* SEEK_DATA */) == 8 * mebibyte)
      // To the object's end where holes are kept by objects.
      #expect((9 * mebibyte...12 * mebibyte).contains(lseek(descriptor, off_t(8 * mebibyte), 4 /* SEEK_HOLE */)))
      close(descriptor)
      #expect(try await volumes.ensureReading(.volume(volume), reader: "r-2") == live)
      #expect(try await volumes.inventory().readings == ["r-1", "r-2"])
      #expect(await refusal { try await volumes.removeSnapshot(snapshot, of: volume) } == .busy)
      try await volumes.removeReading("r-1")
      try await volumes.removeReading("r-1")
      try await volumes.removeExport(export.attachment)
      // The machine has left, the reader has not.
      #expect(try await run("cmp", [path, live]).status == 1)
      #expect(await refusal { try await volumes.removeVolume(volume) } == .busy)
      #expect(await refusal { try await volumes.revert(volume, to: snapshot) } == .busy)
      try await volumes.removeReading("r-2")
      // Its snapshots go first.
      #expect(await refusal { try await volumes.removeVolume(volume) } == .refused)
      try await volumes.removeSnapshot(snapshot, of: volume)
      try await volumes.removeVolume(volume)
      #expect(try await volumes.inventory() == VolumeInventory())
    }
  }

  @Test(arguments: VolumeBackend.allCases)
  func whatIsNotThereIsRefused(_ backend: VolumeBackend) async throws {
    try await backend.with { bench, volumes in
      let (volume, none) = (newID(), newID())
      try await volumes.ensureVolume(volume, size: 8 * mebibyte, from: .blank)
      let sources: [VolumeSource] = [.snapshot(none, of: volume), .volume(none), .file("\(bench.folder)/none")]
      for source in sources {
        #expect(
          await refusal { try await volumes.ensureVolume(newID(), size: 8 * mebibyte, from: source) } == .refused)
      }
      // Smaller than its source.
      #expect(
        await refusal { try await volumes.ensureVolume(newID(), size: mebibyte, from: .volume(volume)) } == .refused)
      #expect(await refusal { try await volumes.ensureVolume(newID(), size: 1000, from: .blank) } == .refused)
      #expect(await refusal { try await volumes.ensureSnapshot(newID(), of: none) } == .refused)
      #expect(await refusal { try await volumes.revert(volume, to: none) } == .refused)
      #expect(await refusal { _ = try await volumes.ensureExport(bench.export(newID(), none)) } == .refused)
      #expect(await refusal { _ = try await volumes.ensureReading(.volume(none), reader: newID()) } == .refused)
      for name in ["../x", "a/b", "a@b", "", "-x", "a,b"] {
        #expect(await refusal { try await volumes.ensureVolume(name, size: mebibyte, from: .blank) } == .refused)
        #expect(await refusal { try await volumes.removeVolume(name) } == .refused)
      }
      var export = bench.export(newID(), volume)
      export.password = "with,comma and blank"
      #expect(await refusal { _ = try await volumes.ensureExport(export) } == .refused)
      // What was never there is removed all the same.
      try await volumes.removeExport(none)
      try await volumes.removeReading(none)
      try await volumes.removeSnapshot(none, of: volume)
      try await volumes.removeVolume(none)
      #expect(try await volumes.inventory() == VolumeInventory(volumes: [volume]))
    }
  }

  @Test(arguments: VolumeBackend.allCases)
  func theInventoryFindsWhatWasLeft(_ backend: VolumeBackend) async throws {
    try await backend.with { bench, volumes in
      let (volume, snapshot) = (newID(), newID())
      let export = bench.export(newID(), volume)
      try await volumes.ensureVolume(volume, size: mebibyte, from: .blank)
      try await volumes.ensureVolume(volume, size: mebibyte, from: .blank)
      try await volumes.ensureSnapshot(snapshot, of: volume)
      try await volumes.ensureSnapshot(snapshot, of: volume)
      _ = try await volumes.ensureExport(export)
      _ = try await volumes.ensureReading(.snapshot(snapshot, of: volume), reader: "r")
      // A target that no volume of ours is behind.
      let planted = newID()
      _ = try await bench.targets.daemons[0].call(
        .init(mode: .target, operation: .new, target: 77, parameters: "targetname=iqn.2026-11.org.steelyard:\(planted)")
      )

      #expect(
        try await volumes.inventory()
          == VolumeInventory(
            volumes: [volume], snapshots: [snapshot: volume], exports: [export.attachment, planted], readings: ["r"]))
      try await volumes.removeExport(planted)
      #expect(try await volumes.inventory().exports == [export.attachment])
      let room = try await volumes.capacity()
      #expect(room.free > 0 && room.free <= room.total)
    }
  }

  @Test(arguments: VolumeBackend.allCases)
  func manyAtOnceAreEachTheirOwn(_ backend: VolumeBackend) async throws {
    try await backend.with { bench, volumes in
      let path = "\(bench.folder)/image.raw"
      try await runChecked("qemu-img", ["create", "-q", "-f", "raw", path, "32M"])
      try await runChecked("qemu-io", ["-f", "raw", "-c", "write -P 7 0 1M", path])
      let image = VolumeSource.image(
        RawImage(path: path, size: 32 * mebibyte, digest: String(repeating: "a", count: 64)), id: newID())
      let exports = (0..<(backend == .rbd ? 5 : 20)).map { _ in bench.export(newID(), newID()) }
      try await withThrowingTaskGroup(of: Void.self) { group in
        for (index, export) in exports.enumerated() {
          group.addTask {
            try await volumes.ensureVolume(export.volume, size: 32 * mebibyte, from: image)
            _ = try await volumes.ensureExport(export)
            try await bench.initiator(export).write(100 + index, "64k 64k")
            try await volumes.ensureSnapshot(newID(), of: export.volume)
          }
        }
        try await group.waitForAll()
      }
      for (index, export) in exports.enumerated() {
        let machine = bench.initiator(export)
        #expect(try await machine.holds(100 + index, "64k 64k"))
        #expect(try await machine.holds(7, "0 64k"))
      }
      try await withThrowingTaskGroup(of: Void.self) { group in
        for export in exports { group.addTask { try await volumes.removeExport(export.attachment) } }
        try await group.waitForAll()
      }
      #expect(try await volumes.inventory().exports == [])
    }
  }

  @Test(arguments: VolumeBackend.allCases)
  func aCopyTakesNoLongerWithSizeOrNumber(_ backend: VolumeBackend) async throws {
    try await backend.with { bench, volumes in
      let clock = ContinuousClock()
      var times: [Int: [Duration]] = [:]
      for size in [1, 100] {
        let path = "\(bench.folder)/\(size).raw"
        try await runChecked("truncate", ["-s", "\(size)G", path])
        let image = VolumeSource.image(
          RawImage(path: path, size: size * gibibyte, digest: String(repeating: "b", count: 64)), id: newID())
        // The first makes the base.
        try await volumes.ensureVolume(newID(), size: size * gibibyte, from: image)
        for _ in 0..<(size == 1 ? (backend == .rbd ? 30 : 100) : 10) {
          times[size, default: []].append(
            try await clock.measure {
              try await volumes.ensureVolume(newID(), size: size * gibibyte, from: image)
            })
        }
      }
      func median(_ times: some Sequence<Duration>) -> Duration {
        let sorted = times.sorted()
        return sorted[sorted.count / 2]
      }
      let one = times[1] ?? []
      let (first, last, large) = (median(one.prefix(10)), median(one.suffix(10)), median(times[100] ?? []))
      print("\(backend): a copy of 1 GiB \(first), the hundredth \(last), of 100 GiB \(large)")
      #expect(last < first * 2 + .milliseconds(50))
      #expect(large < first * 2 + .milliseconds(50))
    }
  }
}
