import TestSupport
import Testing
import Wire

@testable import Conductor

/// A console is read before its machine is switched on for the first time, not a minute later.
@Suite struct ConsoleKeeperTests {
  @Test func itIsReadAsSoonAsItsControllerAnswers() async throws {
    try await withFolder("console-keeper") { folder in
      let site = try CrashSite(folder: folder, options: [:])
      let before = site.conductor.wakeups.count(of: Conductor.consolesName)
      let life = try await site.play(.verify)
      #expect(life["state"] == "manageable")
      #expect(site.conductor.wakeups.count(of: Conductor.consolesName) > before)
      site.database.close()
    }
  }
}
