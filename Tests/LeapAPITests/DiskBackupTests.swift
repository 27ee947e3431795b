import BlockMaps
import Conductor
import Cryptography
import Domain
import Store
import TestSupport
import Testing
import Wire
import Workflows

/// Copies of machines' disks: who makes them, what they hold, how they come back, and what schedules do.
@Suite struct DiskBackupTests {
  private func make(_ site: LeaseSite, _ node: String, name: String? = nil) async throws -> String {
    let answer = try await site.call(
      .post, "/v1/disk-backups", ["node": .string(node), "name": JSON(name)], as: site.token("alpha"))
    #expect(answer.status == 202 && answer.body["status"] == "creating", "\(answer.shown)")
    try await site.settle()
    return answer.uuid
  }
  private func show(_ site: LeaseSite, _ backup: String) async throws -> JSON {
    try await site.call(.get, "/v1/disk-backups/\(backup)", as: site.token("alpha")).body
  }

  @Test func aDiskIsCopiedDestroyedAndBroughtBack() async throws {
    let site = try await LeaseSite()
    let node = try await site.deployedMachine()
    try await site.withAgent {
      let first = try await make(site, "n1", name: "before")
      let made = try await show(site, first)
      #expect(made["status"] == "available" && made["name"] == "before", "\(made)")
      #expect(made["size_bytes"] == .int(256 << 10) && made["data_bytes"] == .int(64 << 10))
      #expect(made["map_sha256"]?.string?.utf8.count == 64 && made["completed_at"] != .null)
      let after = try await site.node(node)
      #expect(after.provisionState == .active && after.reservation == nil && after.powerState == .on)

      try site.world.ensure("disk/n1", "destroyed")
      let second = try await make(site, node)
      let answer = try await site.call(
        .post, "/v1/disk-backups/\(first)/restore", ["node": "n1"], as: site.token("alpha"))
      #expect(answer.status == 202, "\(answer.shown)")
      let refused = try await site.call(.delete, "/v1/disk-backups/\(first)", as: site.token("alpha"))
      #expect(refused.status == 409 && refused.fault.contains("restored"), "\(refused.shown)")
      try await site.settle()
      #expect(site.world.value("disk/n1") == "first" && site.world.value("power/n1") == "power on")
      let restored = try await site.node(node)
      #expect(restored.provisionState == .active && restored.instanceInfo["disk_backup"] == .string(first))

      // To a machine that is leased and has nothing on its disk.
      try await site.change(node) { node in
        node.provisionState = .available
        node.instanceInfo = [:]
        node.instanceUUID = nil
      }
      let again = try await site.call(
        .post, "/v1/disk-backups/\(second)/restore", ["node": "n1"], as: site.token("alpha"))
      #expect(again.status == 202, "\(again.shown)")
      try await site.settle()
      #expect(site.world.value("disk/n1") == "destroyed")
      #expect(try await site.node(node).provisionState == .active)
      // What was restored has no image, and can be copied all the same.
      let third = try await make(site, node)
      let list = try await site.call(.get, "/v1/disk-backups?node=n1&status=available", as: site.token("alpha"))
      #expect(Set(list.uuids("disk_backups")) == [first, second, third])

      #expect(try await site.call(.delete, "/v1/disk-backups/\(second)", as: site.token("alpha")).status == 204)
      try await site.settle()
      #expect(try await site.call(.get, "/v1/disk-backups/\(second)", as: site.token("alpha")).status == 404)
      #expect(site.world.value("backup/\(second)") == nil && site.world.value("backup/\(first)") == "alpha")
    }
  }

  @Test func whileAMachineIsLeasedItsDiskIsItsLesseesAlone() async throws {
    let site = try await LeaseSite()
    let node = try await site.deployedMachine()
    func post(_ path: String, _ body: JSON, _ token: String) async throws -> Int {
      try await site.call(.post, path, body, as: token).status
    }
    #expect(try await post("/v1/disk-backups", ["node": "n1"], site.token("owners")) == 403)
    #expect(try await post("/v1/disk-backups", ["node": "n1"], site.token("beta")) == 404)
    #expect(try await post("/v1/disk-backups", ["node": "n1"], site.token("alpha", roles: ["reader"])) == 403)
    #expect(try await site.node(node).reservation == nil)
    try await site.withAgent {
      let backup = try await make(site, node)
      // Another project does not learn that there is one; a reader of its own sees it and touches nothing.
      for method in ["owners", "beta"] {
        #expect(try await site.call(.get, "/v1/disk-backups/\(backup)", as: site.token(method)).status == 404)
        #expect(try await site.call(.delete, "/v1/disk-backups/\(backup)", as: site.token(method)).status == 404)
        #expect(try await post("/v1/disk-backups/\(backup)/restore", ["node": "n1"], site.token(method)) == 404)
        #expect(try await site.call(.get, "/v1/disk-backups", as: site.token(method)).uuids("disk_backups").isEmpty)
      }
      let reader = site.token("alpha", roles: ["reader"])
      #expect(try await site.call(.get, "/v1/disk-backups/\(backup)", as: reader).status == 200)
      #expect(try await site.call(.delete, "/v1/disk-backups/\(backup)", as: reader).status == 403)
      #expect(try await site.call(.get, "/v1/disk-backups?project_id=alpha", as: site.token("beta")).status == 403)
      #expect(
        try await site.call(.get, "/v1/disk-backups?project_id=alpha", as: site.admin()).uuids("disk_backups")
          == [backup])
      // The lease is over: the copy stays, and the machine is not seen any more.
      try await site.change(node) { node in
        node.lessee = "beta"
        node.leaseUUID = Identifier.uuid()
      }
      #expect(try await site.call(.get, "/v1/disk-backups/\(backup)", as: site.token("alpha")).status == 200)
      #expect(try await post("/v1/disk-backups/\(backup)/restore", ["node": "n1"], site.token("alpha")) == 404)
      #expect(site.world.value("disk/n1") == "first")
    }
  }

  @Test func abuse_badInputChangesNothing() async throws {
    let site = try await LeaseSite()
    let node = try await site.deployedMachine()
    let token = site.token("alpha")
    for body in [
      [:], ["node": 7], ["node": ""], ["node": .string(String(repeating: "x", count: 256))], ["node": [:]],
      ["node": "n1", "name": .string(String(repeating: "x", count: 256))], ["node": "n1", "name": "a\u{0}b"],
      ["node": "n1", "project_id": "beta"], ["node": "n1", "status": "available"],
    ] as [JSON] {
      #expect(try await site.call(.post, "/v1/disk-backups", body, as: token).status == 400, "\(body)")
    }
    for body in [
      ["node": "n1"], ["node": "n1", "every_hours": 0], ["node": "n1", "every_hours": 8761],
      ["node": "n1", "every_hours": "often"], ["node": "n1", "every_hours": 1, "keep": 0],
      ["node": "n1", "every_hours": 1, "keep": 101], ["node": "n1", "every_hours": 1, "keep": [1]],
      ["node": "n1", "every_hours": 1, "at": "soon"], ["node": "n1", "every_hours": 1, "at": "2026-11-20T00:00:00"],
      ["node": "n1", "every_hours": 1, "at": "2036-11-20T00:00:00"], ["node": "n1", "every_hours": 1, "x": 1],
      ["node": "n1", "every_hours": 1, "destination": "moon"], ["node": "n1", "every_hours": 1, "destination": 1],
    ] as [JSON] {
      #expect(try await site.call(.post, "/v1/disk-backup-schedules", body, as: token).status == 400, "\(body)")
    }
    for query in ["?x=1", "?limit=0", "?limit=x", "?marker=nothing"] {
      #expect(try await site.call(.get, "/v1/disk-backups" + query, as: token).status == 400, "\(query)")
      #expect(try await site.call(.get, "/v1/disk-backup-schedules" + query, as: token).status == 400, "\(query)")
    }
    let nothing = Identifier.uuid()
    for path in ["/v1/disk-backups", "/v1/disk-backup-schedules"] {
      #expect(try await site.call(.get, "\(path)/\(nothing)", as: token).status == 404)
      #expect(try await site.call(.get, "\(path)/%00", as: token).status == 404)
      #expect(try await site.call(.delete, "\(path)/\(nothing)", as: token).status == 404)
      #expect(try await site.call(.post, path, ["node": .string(nothing), "every_hours": 1], as: token).status >= 400)
    }
    #expect(try await site.node(node).reservation == nil)
    #expect(try await site.database.read { try DiskBackupStore.ids(in: $0) }.isEmpty)
    #expect(try await site.database.read { try DiskBackupScheduleStore.list(.init(), in: $0) }.isEmpty)
    // What is not deployed, and what is held, is not copied.
    try await site.change(node) { $0.provisionState = .available }
    #expect(try await site.call(.post, "/v1/disk-backups", ["node": "n1"], as: token).status == 409)
    try await site.change(node) { $0.provisionState = .active }
    try await site.database.write { try VolumeStore.setLimit("backups", 0, project: "alpha", in: $0) }
    let full = try await site.call(.post, "/v1/disk-backups", ["node": "n1"], as: token)
    #expect(full.status == 409 && full.fault.contains("quota"), "\(full.shown)")
    #expect(try await site.node(node).reservation == nil)
  }

  @Test func whatIsNoBlockOfTheDiskIsNotKeptAndNobodyElseSends() async throws {
    let site = try await LeaseSite()
    let node = try await site.deployedMachine()
    // The agent is the test itself: it claims and is told to copy the disk.
    let answer = try await site.call(.post, "/v1/disk-backups", ["node": "n1"], as: site.token("alpha"))
    let conductor = site.conductor, mac = try #require(LeaseSite.mac)
    try site.world.ensure("fault/no-agent", "yes")
    var boot: (node: String, token: String)?
    try await until("the agent may boot") {
      boot = try await conductor.bootRequest(mac: mac)
      return boot != nil
    }
    let secret = Identifier.hex() + Identifier.hex()
    let claimed = try await conductor.agentClaim(
      token: try #require(boot).token, mac: mac, secret: secret, inventory: [:])
    let token = try #require(claimed?.session)
    let holder = try #require(try await conductor.agentHolder(session: token))
    let command = try #require(
      try await conductor.agentCommand(node: node, workflow: holder.workflow, limit: .seconds(20)))
    #expect(command.kind == "back-up-disk")
    func map(_ bytes: [UInt8], _ node: String, _ workflow: String) async throws -> [Range<Int>]? {
      try await conductor.agentBackupMap(bytes, node: node, workflow: workflow)
    }

    let size = 64 << 10
    let block = [UInt8](repeating: 9, count: size)
    var builder = try BlockMap.Builder(size: 2 * size, blockSize: size)
    builder.add(digest: Digest.sha256(block))
    let good = builder.map.bytes
    #expect(try await map(good, Identifier.uuid(), holder.workflow) == nil)
    #expect(try await map(good, node, Identifier.uuid()) == nil)
    await #expect(throws: ConductorError.self) { _ = try await map([1, 2, 3], node, holder.workflow) }
    #expect(try await map(good, node, holder.workflow) == [0..<1])
    func frame(_ bytes: [UInt8], _ index: Int) -> [UInt8] {
      var frame = [UInt8](repeating: 0, count: BlockCoder.room(forBlockOf: bytes.count))
      let count = bytes.withUnsafeBytes { bytes in
        frame.withUnsafeMutableBytes { BlockCoder().encode(bytes, index: index, into: $0) }
      }
      return Array(frame[..<count])
    }
    var long = frame(block, 0)
    long[4] = 0xff
    for frames in [
      [0], frame(block, 0).dropLast(), frame(block, 1), frame(block, 2), frame([UInt8](repeating: 8, count: size), 0),
      frame(block + block, 0), long, frame(block, 0) + [1, 2, 3],
    ].map({ Array($0) }) {
      await #expect(throws: ConductorError.self) {
        _ = try await conductor.agentBackupBlocks(frames, node: node, workflow: holder.workflow)
      }
    }
    #expect(site.world.values(prefix: "piece/").isEmpty)
    #expect(try await !conductor.agentBackupBlocks(frame(block, 0), node: Identifier.uuid(), workflow: holder.workflow))
    #expect(try await conductor.restoredDisk(node: node, workflow: holder.workflow) == nil)
    // Beyond the quota the copy fails, and says so.
    try await site.database.write { try VolumeStore.setLimit("backup_gigabytes", 0, project: "alpha", in: $0) }
    await #expect(throws: ConductorError.self) { _ = try await map(good, node, holder.workflow) }
    _ = try await conductor.agentResult(id: command.id, node: node, error: "The quota is full.", output: [:])
    try await site.settle()
    let shown = try await show(site, answer.uuid)
    #expect(shown["status"] == "error" && shown["fault"]?.string?.isEmpty == false, "\(shown)")
    #expect(site.world.value("backup/\(answer.uuid)") == nil)
    #expect(try await site.node(node).provisionState == .active)
    #expect(site.world.value("power/n1") == "power on", "the machine goes on as it was")
  }

  @Test func aScheduleCopiesOnTimeKeepsItsNumberAndEndsWithTheLease() async throws {
    let site = try await LeaseSite()
    let node = try await site.deployedMachine()
    let token = site.token("alpha")
    let answer = try await site.call(
      .post, "/v1/disk-backup-schedules", ["node": "n1", "every_hours": 24, "keep": 2], as: token)
    #expect(answer.status == 201 && answer.body["next_at"] == "2026-11-21T08:00:00Z", "\(answer.shown)")
    let schedule = answer.uuid
    #expect(try await site.call(.get, "/v1/disk-backup-schedules/\(schedule)", as: site.token("beta")).status == 404)
    try await site.withAgent {
      func round() async throws -> [String] {
        try await site.conductor.keepDiskBackups()
        try await site.settle()
        try await site.conductor.keepDiskBackups()
        try await site.settle()
        return try await site.call(.get, "/v1/disk-backups", as: token).uuids("disk_backups")
      }
      let first = try #require(try await round().first)
      #expect(try await round() == [first], "one in a day")
      #expect(try await show(site, first)["schedule_uuid"] == .string(schedule))
      site.clock.advance(by: .seconds(24 * 3600))
      let second = try #require(try await round().first)
      // Two days were missed: one copy, and the next at its hour.
      site.clock.advance(by: .seconds(60 * 3600))
      let third = try #require(try await round().first)
      #expect(try await round() == [third, second], "the oldest is gone")
      #expect(site.world.value("backup/\(first)") == nil)
      let shown = try await site.call(.get, "/v1/disk-backup-schedules/\(schedule)", as: token).body
      #expect(shown["next_at"] == "2026-11-25T08:00:00Z" && shown["fault"] == .null, "\(shown)")

      // One that cannot be begun says why, and is made as soon as it can be.
      site.clock.advance(by: .seconds(24 * 3600))
      try await site.change(node) { $0.provisionState = .deployFailed }
      #expect(try await round() == [third, second])
      let waiting = try await site.call(.get, "/v1/disk-backup-schedules", as: token).body
      #expect(
        waiting["disk_backup_schedules"]?.array?.first?["fault"]?.string?.contains("deploy failed") == true,
        "\(waiting)")
      try await site.change(node) { $0.provisionState = .active }
      #expect(try await round().count == 2)
      let patched = try await site.call(
        .patch, "/v1/disk-backup-schedules/\(schedule)", ["keep": 1, "every_hours": 12], as: token)
      #expect(patched.status == 200 && patched.body["keep"] == 1 && patched.body["every_hours"] == 12)
      #expect(try await round().count == 1)

      // Another's lease: the schedule goes, what it has made stays.
      try await site.change(node) { node in
        node.lessee = "beta"
        node.leaseUUID = Identifier.uuid()
      }
      site.clock.advance(by: .seconds(24 * 3600))
      #expect(try await round().count == 1)
      #expect(try await site.call(.get, "/v1/disk-backup-schedules/\(schedule)", as: token).status == 404)
    }
  }

  @Test func anOwnersScheduleRestsWhileTheMachineIsLeasedAndEndsWithTheOwnership() async throws {
    let site = try await LeaseSite()
    let node = try await site.deployedMachine(lessee: nil)
    let token = site.token("owners")
    let answer = try await site.call(
      .post, "/v1/disk-backup-schedules", ["node": "n1", "every_hours": 1, "at": "2026-11-21T09:00:00"], as: token)
    #expect(answer.status == 201 && answer.body["keep"] == 7, "\(answer.shown)")
    try await site.change(node) { $0.lessee = "alpha" }
    site.clock.advance(by: .seconds(3600))
    try await site.conductor.keepDiskBackups()
    let resting = try await site.call(.get, "/v1/disk-backup-schedules/\(answer.uuid)", as: token).body
    #expect(resting["next_at"] == "2026-11-21T10:00:00Z", "\(resting)")

    try await site.change(node) { node in
      node.lessee = nil
      node.owner = "beta"
    }
    site.clock.advance(by: .seconds(3600))
    try await site.conductor.keepDiskBackups()
    #expect(try await site.call(.get, "/v1/disk-backup-schedules/\(answer.uuid)", as: token).status == 404)
    #expect(try await site.node(node).reservation == nil)
    #expect(try await site.database.read { try DiskBackupStore.ids(in: $0) }.isEmpty, "another's disk was copied")
  }
}
