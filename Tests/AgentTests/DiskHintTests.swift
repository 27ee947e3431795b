import Testing
import Wire

@testable import Agent

@Suite struct DiskHintTests {
  func disk(_ name: String, gibibytes: Int, serial: String = "", removable: Bool = false, readOnly: Bool = false)
    -> Disk
  {
    Disk(
      name: "/dev/\(name)", sizeBytes: gibibytes << 30, model: "M", serial: serial, isRotational: false,
      transport: "unknown", isRemovable: removable, isReadOnly: readOnly, zeroesByCommand: false)
  }
  var disks: [Disk] {
    [
      disk("sdc", gibibytes: 2, removable: true), disk("sdd", gibibytes: 3, readOnly: true),
      disk("sda", gibibytes: 8, serial: "A"), disk("sdb", gibibytes: 4, serial: "B"), disk("sde", gibibytes: 0),
    ]
  }

  @Test func withoutAHintTheSmallestFixedDiskIsTaken() throws {
    #expect(try DiskHint([:]).choose(from: disks).name == "/dev/sdb")
    #expect(try DiskHint(nil).choose(from: disks).name == "/dev/sdb")
  }

  @Test func allMembersMustMatch() throws {
    #expect(try DiskHint(["name": "sda"]).choose(from: disks).serial == "A")
    #expect(try DiskHint(["name": "/dev/sda", "size": 8, "serial": "A"]).choose(from: disks).serial == "A")
    #expect(throws: AgentError.self) { try DiskHint(["name": "sda", "serial": "B"]).choose(from: disks) }
    #expect(throws: AgentError.self) { try DiskHint(["name": "sdd"]).choose(from: disks) }
  }

  @Test(arguments: [["wwn": "x"], ["name": 7], ["size": "big"], ["serial": []]] as [JSON])
  func aHintThatIsNotUnderstoodIsRefused(hint: JSON) {
    #expect(throws: AgentError.self) { try DiskHint(hint).choose(from: disks) }
  }

  @Test func aRefusalTellsWhatThereIs() {
    let error = #expect(throws: AgentError.self) { try DiskHint(["serial": "Z"]).choose(from: disks) }
    #expect(error?.description.contains("/dev/sda (8589934592 bytes, serial \"A\")") == true)
  }
}
