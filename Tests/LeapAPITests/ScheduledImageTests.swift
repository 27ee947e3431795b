import Conductor
import Domain
import Processes
import Store
import TestSupport
import Testing
import Wire

/// Schedules whose copies become images.
@Suite struct ScheduledImageTests {
  private func schedule(_ site: LeaseSite, keep: Int) async throws -> String {
    let answer = try await site.call(
      .post, "/v1/disk-backup-schedules",
      ["node": "n1", "every_hours": 24, "keep": .int(keep), "destination": "image"], as: site.token("alpha"))
    #expect(answer.status == 201 && answer.body["destination"] == "image", "\(answer.shown)")
    return answer.uuid
  }
  private func show(_ site: LeaseSite, _ schedule: String) async throws -> JSON {
    try await site.call(.get, "/v1/disk-backup-schedules/\(schedule)", as: site.token("alpha")).body
  }
  /// Everything that is due, to its end.
  /// - Returns: the images, the newest first.
  private func round(_ site: LeaseSite) async throws -> [Image] {
    for _ in 0..<2 {
      try await site.conductor.keepDiskBackups()
      try await site.settle()
    }
    return try await site.database.read { session in
      try ImageStore.list(in: session) { $0.append("ORDER BY created_at DESC") }
    }
  }
  private func contents(_ site: LeaseSite) -> [String] {
    fileNames(in: "\(site.folder)/images/images")
  }

  @Test func theyAreMadeOnTimeAndTheOldestGo() async throws {
    let site = try await LeaseSite(keepsImages: true)
    let node = try await site.deployedMachine()
    let schedule = try await schedule(site, keep: 2)
    try await site.withAgent {
      let first = try #require(try await round(site).first)
      #expect(first.status == .active && first.owner == "alpha" && first.visibility == .private)
      #expect(first.name == "n1 2026-11-21T08:00:00Z" && first.size == 256 << 10)
      #expect(first.properties["image_type"] == "snapshot")
      #expect(first.properties[DiskBackupSchedule.imageProperty] == .string(schedule))
      let running = try await site.node(node)
      #expect(running.provisionState == .active && running.reservation == nil && running.powerState == .on)
      #expect(try await round(site).count == 1, "one in a day")
      #expect(try await site.database.read { try DiskBackupStore.ids(in: $0) }.isEmpty)

      site.clock.advance(by: .seconds(24 * 3600))
      let second = try #require(try await round(site).first)
      site.clock.advance(by: .seconds(24 * 3600))
      let third = try await round(site)
      #expect(third.count == 2 && third.last?.id == second.id, "the oldest is gone")
      #expect(contents(site) == third.map(\.id).sorted())

      // A protected one, and one that is not the schedule's any more, are kept beyond the number.
      try await site.database.write { session in
        var kept = second
        kept.isProtected = true
        try ImageStore.update(kept, in: session)
        var taken = third[0]
        taken.properties[DiskBackupSchedule.imageProperty] = nil
        try ImageStore.update(taken, in: session)
      }
      for _ in 0..<3 {
        site.clock.advance(by: .seconds(24 * 3600))
        _ = try await round(site)
      }
      let all = try await round(site)
      #expect(all.count == 4 && all.suffix(2).map(\.id) == [third[0].id, second.id])
      #expect(contents(site) == all.map(\.id).sorted())
    }
  }

  @Test func whatFailsLeavesNoImageAndSaysWhy() async throws {
    let site = try await LeaseSite(keepsImages: true)
    let node = try await site.deployedMachine()
    let schedule = try await schedule(site, keep: 1)
    try await site.withAgent {
      let whole = try #require(try await round(site).first)
      try site.world.ensure("fault/agent-read-disk", "The disk is broken.")
      site.clock.advance(by: .seconds(24 * 3600))
      #expect(try await round(site).map(\.id) == [whole.id], "the one that is whole stays")
      let failed = try await show(site, schedule)
      #expect(failed["fault"]?.string?.contains("The disk is broken") == true, "\(failed)")
      let machine = try await site.node(node)
      #expect(machine.provisionState == .active && machine.reservation == nil && machine.powerState == .on)

      try site.world.ensure("fault/agent-read-disk", nil)
      site.clock.advance(by: .seconds(24 * 3600))
      let next = try await round(site)
      #expect(next.count == 1 && next.first?.id != whole.id)
      #expect(try await show(site, schedule)["fault"] == .null)
      #expect(contents(site) == next.map(\.id))
    }
  }

  /// Properties are for everybody to set: another project's schedule is not moved by them, nor is another's image deleted.
  @Test func abuse_anImageThatNamesAnotherProjectsScheduleIsNotItsOwn() async throws {
    let site = try await LeaseSite(keepsImages: true)
    _ = try await site.deployedMachine()
    let schedule = try await schedule(site, keep: 1)
    let now = site.clock.now
    try await site.database.write { session in
      for (owner, value) in [("beta", schedule), ("alpha", "x\(schedule)"), ("alpha", "%")] {
        var image = Image(owner: owner, visibility: .private, createdAt: now + .seconds(-60))
        image.status = .active
        image.properties[DiskBackupSchedule.imageProperty] = .string(value)
        try ImageStore.insert(image, in: session)
      }
    }
    try await site.withAgent {
      let images = try await round(site)
      #expect(images.count == 4)
    }
  }

  /// An owner's machine that is due, with what `body` does to it before.
  /// - Returns: the schedule; null when it is gone.
  private func afterRound(_ body: (LeaseSite, String) async throws -> Void) async throws -> (JSON, Node, [Image]) {
    let site = try await LeaseSite(keepsImages: true)
    let node = try await site.deployedMachine(lessee: nil)
    let token = site.token("owners")
    let answer = try await site.call(
      .post, "/v1/disk-backup-schedules",
      ["node": "n1", "every_hours": 1, "destination": "image", "at": "2026-11-21T09:00:00"], as: token)
    #expect(answer.status == 201, "\(answer.shown)")
    try await body(site, node)
    site.clock.advance(by: .seconds(3600))
    try await site.conductor.keepDiskBackups()
    let left = try await site.call(.get, "/v1/disk-backup-schedules/\(answer.uuid)", as: token)
    let images = try await site.database.read { try ImageStore.list(in: $0) }
    return (left.status == 404 ? JSON.null : left.body, try await site.node(node), images)
  }

  @Test func anOwnersScheduleEndsWhenTheMachineIsNobodys() async throws {
    let (schedule, node, images) = try await afterRound { site, uuid in
      let node = try await site.node(uuid)
      try await site.database.write { try site.conductor.setOwner(nil, of: node, isForced: false, in: $0) }
    }
    #expect(schedule == .null, "\(schedule)")
    #expect(node.reservation == nil && images.isEmpty)
  }

  @Test func abuse_whatIsBeingTakenBackFromALeaseIsNotRead() async throws {
    let (schedule, node, images) = try await afterRound { site, uuid in
      let now = site.clock.now
      try await site.database.write { session in
        let time = TimeRange(now + .seconds(-3600), now)
        try LeaseStore.insert(
          Lease(
            uuid: Identifier.uuid(), projectID: "alpha", ownerID: "owners", resourceUUID: uuid, time: time,
            status: .waitCancel, createdAt: now), in: session)
      }
      let refused = try await site.call(.post, "/v1/disk-backups", ["node": "n1"], as: site.token("owners"))
      #expect(refused.status == 409 && refused.fault.contains("taken back"), "\(refused.shown)")
    }
    #expect(schedule["fault"]?.string?.contains("taken back") == true, "\(schedule)")
    #expect(node.reservation == nil && images.isEmpty)
  }

  @Test func aMachineWhoseImageCannotFitIsNotSwitchedOff() async throws {
    for (size, images, word) in [
      (100 << 30, 0, "64 GiB at most"), (40 << 30, 12, "480 of 512"), (1 << 30, 1000, "1000 images"),
    ] {
      let (schedule, node, _) = try await afterRound { site, uuid in
        let now = site.clock.now
        try await site.database.write { session in
          try NodeStore.setInventory(["disks": [["size_bytes": .int(size)]]], of: uuid, at: now, in: session)
          for _ in 0..<images {
            var image = Image(owner: "owners", createdAt: now)
            image.status = .active
            image.size = size
            try ImageStore.insert(image, in: session)
          }
        }
      }
      #expect(schedule["fault"]?.string?.contains(word) == true, "\(schedule)")
      #expect(node.reservation == nil && node.powerState == .on)
    }
  }

  @Test func whatAScheduleMakesIsSettledWithIt() async throws {
    let site = try await LeaseSite(keepsImages: true)
    _ = try await site.deployedMachine()
    let schedule = try await schedule(site, keep: 1)
    let refused = try await site.call(
      .patch, "/v1/disk-backup-schedules/\(schedule)", ["destination": "backup"], as: site.token("alpha"))
    #expect(refused.status == 400, "\(refused.shown)")
    #expect(try await show(site, schedule)["destination"] == "image")
  }
}
