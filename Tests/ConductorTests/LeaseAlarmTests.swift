import Store
import TestSupport
import Testing
import Wire

@testable import Conductor

@Suite struct LeaseAlarmTests {
  @Test func theTimerIsWokenForWhatComesBeforeItsNextLook() async throws {
    try await withFolder("lease-alarm") { folder in
      let site = try CrashSite(folder: folder, options: [:])
      let conductor = site.conductor
      let now = CrashSite.now()
      func wakes(due: Timestamp?) async throws -> Int {
        let before = conductor.wakeups.count(of: Conductor.leaseTimerName)
        try await site.database.write { conductor.leaseChanged(due: due, in: $0) }
        return conductor.wakeups.count(of: Conductor.leaseTimerName) - before
      }
      conductor.leaseAlarm.time = now + .seconds(30)
      #expect(try await wakes(due: now + .seconds(31)) == 0)
      #expect(try await wakes(due: now + .seconds(29)) == 1)
      #expect(try await wakes(due: nil) == 1)
      // While it looks it must look again, whatever comes.
      conductor.leaseAlarm.time = .distantFuture
      #expect(try await wakes(due: now + .seconds(86_400)) == 1)
      site.database.close()
    }
  }
}
