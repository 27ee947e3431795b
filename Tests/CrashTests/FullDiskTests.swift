import Glibc
import Processes
import TestSupport
import Testing
import Wire

/// A server whose database has no room in the middle of a workflow: the real conductor, engine and SQLite file on a disk that
/// is really full, right after each step has had its effect and before that can be written down.
@Suite(.serialized, .enabled(if: geteuid() == 0, "a small disk needs root")) struct FullDiskTests {
  static let cases: [(scenario: Scenario, step: String)] = [
    (.deploy, "provisioning-network"), (.deploy, "admit"), (.deploy, "write-image"), (.deploy, "boot-instance"),
    (.endLease, "detach-networks"), (.verify, "verify"),
  ]

  @Test(arguments: cases) func whatCannotBeWrittenDownIsDoneAgainWhenThereIsRoom(scenario: Scenario, step: String)
    async throws
  {
    // Inside there is no working folder.
    let built = try #require(CrashBench.products) + "/crash-worker"
    let found = try #require(realpath(built, nil))
    defer { free(found) }
    let worker = String(cString: found)
    let world = "/tmp/steelyard-full-\(getpid())-\(scenario.rawValue)-\(step).db"
    // Large enough for the database and its log, and no more.
    try await SmallDisk.with(megabytes: 6) { disk in
      let result = try await disk.run(
        worker, ["\(SmallDisk.inside)/site", scenario.rawValue, "world=\(world)", "fill=\(step)", "patience=20000"],
        timeout: .seconds(90))
      try #require(result.status == 0, "\(result.text) \(result.errorText)")
      let life = try JSON(parsing: result.text)

      // The server has said what it was, and went on when there was room.
      let complaints = life["complaints"]?.array?.compactMap(\.string) ?? []
      #expect(complaints.contains { $0.contains("disk is full") || $0.contains("disk I/O error") }, "\(complaints)")
      #expect(life["state"]?.string == scenario.whole.rawValue)
      #expect(life["workflows"]?.array?.allSatisfy { $0.string?.hasSuffix(" done") == true } == true)
      #expect(life["last_error"] == .null && life["reservation"] == .null)
      #expect(life["leftovers"] == [])
      #expect(life["world"]?["dhcp/n1"] == nil)
      // Each effect is in force once, though its step ran twice.
      let ledger = life["ledger"]?.array?.compactMap(\.string) ?? []
      if scenario == .deploy { #expect(ledger.count { $0.hasPrefix("disk/n1=/agent") } == 1, "\(ledger)") }
    }
    for suffix in ["", "-wal", "-shm"] { unlink(world + suffix) }
  }
}
