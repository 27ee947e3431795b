import Glibc
import Processes
import Testing

@testable import Lab

@Suite struct MachinePowerTests {
  @Test func bootOnceIsUsedUpByOnePowerOn() async throws {
    try await Room.with { room in
      try await room.lab.up([LabMachine(index: 1, room: room.number)])
      #expect(try await room.control(1, "get", "boot") == "disk continuous")

      _ = try await room.control(1, "set", "boot", "pxe", "once")
      #expect(try await room.control(1, "get", "boot") == "pxe once")
      _ = try await room.control(1, "set", "power", "on")
      #expect(try await room.control(1, "get", "power") == "on")
      #expect(try await room.control(1, "get", "boot") == "disk continuous")
      try await waitUntil("firmware boots from the network") {
        (try? Files.read("\(room.lab.machineFolder(1))/serial.log"))?.contains("net0:") == true
      }
      // At the machine's next reset the disk is first again.
      #expect(try await room.diskPosition(ofMachine: 1) == MachineStart.diskFirst)
      _ = try await room.control(1, "set", "power", "off")
      #expect(try await room.control(1, "get", "power") == "off")

      _ = try await room.control(1, "set", "boot", "pxe", "continuous")
      _ = try await room.control(1, "set", "power", "on")
      #expect(try await room.control(1, "get", "boot") == "pxe continuous")
      #expect(try await room.diskPosition(ofMachine: 1) == MachineStart.diskLast)
      _ = try await room.control(1, "set", "boot", "none")
      #expect(try await room.diskPosition(ofMachine: 1) == MachineStart.diskFirst)
    }
  }

  @Test func twoWhoSwitchOnAtOnceGetOneMachine() async throws {
    try await Room.with { room in
      try await room.lab.up([LabMachine(index: 1, room: room.number)])

      try await withThrowingTaskGroup(of: Void.self) { group in
        for _ in 0..<4 { group.addTask { _ = try await room.control(1, "set", "power", "on") } }
        try await group.waitForAll()
      }

      #expect(room.processes().count { $0.contains("qemu-system") } == 1)
    }
  }

  @Test func aMachineKeepsNothingOfTheControllerThatStartedIt() async throws {
    try await Room.with { room in
      let machine = LabMachine(index: 1, room: room.number)
      try await room.lab.up([machine])
      #expect(try await room.ipmitool(machine, "power", "on").status == 0)

      let process = try #require(room.process("machines/1/pid"))
      let sockets = try await runChecked("ss", ["-H", "-u", "-l", "-n", "-p", "src", machine.controllerAddress])

      #expect(sockets.text.contains("ipmi_sim"))
      #expect(!sockets.text.contains("pid=\(process),"), "\(sockets.text)")
    }
  }

  @Test func whatItDoesNotKnowIsAFailure() async throws {
    try await Room.with { room in
      try await room.lab.up([LabMachine(index: 1, room: room.number)])
      for words in [
        ["set", "power", "maybe"], ["set", "boot", "floppy", "once"], ["set", "mode", "uefi"], ["explode"], [],
      ] {
        let result = try await run("\(room.lab.machineFolder(1))/control", words)
        #expect(result.status != 0, "\(words)")
      }
      #expect(try await room.control(1, "get", "power") == "off")
    }
  }
}

extension Room {
  /// Where QEMU has the disk in the order that firmware will see after a reset.
  func diskPosition(ofMachine index: Int) async throws -> Int? {
    let question =
      #"{"execute":"qmp_capabilities"}{"execute":"qom-get","arguments":{"path":"/machine/peripheral/disk","property":"bootindex"},"id":"disk"}"#
    let result = try await runChecked(
      "socat", ["-t2", "-", "UNIX-CONNECT:\(lab.machineFolder(index))/qmp.sock"], input: Array(question.utf8))
    guard let found = result.text.firstRange(of: "\"return\": ", after: "\"return\": {}") else { return nil }
    return Int(result.text[found.upperBound...].prefix { $0.isNumber })
  }
}

extension String {
  fileprivate func firstRange(of text: String, after other: String) -> Range<String.Index>? {
    guard let before = firstRange(of: other) else { return nil }
    return self[before.upperBound...].firstRange(of: text)
  }
}
