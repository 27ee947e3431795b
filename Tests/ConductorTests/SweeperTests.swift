import Domain
import Glibc
import Processes
import TestSupport
import Testing
import Wire

@testable import Conductor

@Suite struct SweeperTests {
  @Test func whatAServerLeftThatWasKilledWhileItMadeAConfigDriveIsRemoved() async throws {
    try await withFolder("sweeper") { folder in
      let site = try CrashSite(folder: folder, options: [:])
      let drives = "\(site.conductor.settings.dataFolder)/config-drives"
      let work = "\(drives)/\(Identifier.uuid()).iso.\(Identifier.uuid()).d"
      let outside = "\(folder)/outside"
      _ = try await runChecked("mkdir", ["-p", "\(work)/root/openstack/latest", outside])
      for file in ["\(work)/root/openstack/latest/user_data", "\(work)/drive.iso", "\(outside)/kept"] {
        _ = try await runChecked("touch", [file])
      }
      _ = try await runChecked("ln", ["-s", outside, "\(work)/root/elsewhere"])
      #expect(try await site.conductor.leftovers() == [.configDrive(path: work)])

      try await site.conductor.sweep()

      #expect(try await site.conductor.leftovers().isEmpty)
      #expect(fileNames(in: drives).isEmpty)
      #expect(fileNames(in: outside) == ["kept"], "a link is not followed")
      site.database.close()
    }
  }
}
