import Domain
import DriverInterfaces
import Glibc
import Testing

@testable import FakeDriver

@Suite struct FakeMachinesTests {
  @Test func machinesOutliveTheServer() async throws {
    let path = try temporaryFile()
    let machines = try FakeMachines(file: path)
    try await machines.change("n1") { $0.power = .on }
    try await machines.change("n1") { $0.boot = BootOverride(.disk, persistent: true, mode: .uefi) }
    try await machines.change("n2") { $0.boot = BootOverride(.pxe, persistent: false) }

    // Nothing was closed: as after a SIGKILL.
    let again = try FakeMachines(file: path)
    #expect(again.machine("n1") == FakeMachine(power: .on, boot: BootOverride(.disk, persistent: true, mode: .uefi)))
    #expect(again.machine("n2") == FakeMachine(power: .off, boot: BootOverride(.pxe, persistent: false)))
    #expect(again.machine("n3") == FakeMachine())
  }

  @Test func aLineThatWasCutShortHasNotHappened() async throws {
    let path = try temporaryFile()
    try await FakeMachines(file: path).change("n1") { $0.power = .on }
    let file = try #require(fopen(path, "a"))
    fputs(#"{"node":"n1","power":"power o"#, file)
    fclose(file)

    let again = try FakeMachines(file: path)
    #expect(again.machine("n1").power == .on)
    try await again.change("n2") { $0.power = .on }
    let third = try FakeMachines(file: path)
    #expect(third.machine("n1").power == .on && third.machine("n2").power == .on)
  }

  @Test func theFileDoesNotGrowForEver() async throws {
    let path = try temporaryFile()
    let machines = try FakeMachines(file: path, limit: 50)
    for round in 0..<100 {
      await withTaskGroup(of: Void.self) { group in
        for node in 0..<10 {
          group.addTask { try? await machines.change("n\(node)") { $0.power = round % 2 == 0 ? .on : .off } }
        }
      }
    }
    try await machines.change("n3") { $0.power = .on }
    var information = stat()
    #expect(stat(path, &information) == 0)
    // 1,001 lines of some 35 bytes were written.
    #expect(information.st_size < 7_000)
    let again = try FakeMachines(file: path)
    #expect(again.machine("n3").power == .on)
    for node in [0, 1, 2, 4, 5, 6, 7, 8, 9] { #expect(again.machine("n\(node)").power == .off) }
  }

  @Test func manyChangesAtOnceAreAllRemembered() async throws {
    let path = try temporaryFile()
    let machines = try FakeMachines(file: path)
    try await withThrowingTaskGroup(of: Void.self) { group in
      for node in 0..<500 { group.addTask { try await machines.change("n\(node)") { $0.power = .on } } }
      try await group.waitForAll()
    }
    let again = try FakeMachines(file: path)
    for node in 0..<500 { #expect(again.machine("n\(node)").power == .on) }
  }

  @Test func aFileThatCannotBeUsedIsSaidSo() throws {
    #expect(throws: DriverError.self) { try FakeMachines(file: "/nowhere/fake") }
  }

  private func temporaryFile() throws -> String {
    var template = Array("/tmp/steelyard-fake-XXXXXX".utf8CString)
    _ = try #require(mkdtemp(&template))
    return String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self) + "/machines"
  }
}
