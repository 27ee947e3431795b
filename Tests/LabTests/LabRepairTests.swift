import Glibc
import Processes
import Testing
import Wire

@testable import Lab

/// Labs that were interrupted, that lost parts, and that would get in each other's way.
@Suite struct LabRepairTests {
  @Test func statusTellsWhatIsMissingAndUpStartsIt() async throws {
    try await Room.with { room in
      let machines = [
        LabMachine(index: 1, room: room.number), LabMachine(index: 2, room: room.number, controller: .redfish),
      ]
      #expect(await room.lab.status().isWhole == false)
      try await room.lab.up(machines)
      #expect(await room.lab.status().isWhole)
      let inventory = try Files.read(room.lab.inventoryFile)
      _ = try await room.control(1, "set", "power", "on")
      let machine = try #require(room.process("machines/1/pid"))
      for (file, name) in [
        ("switch/vswitchd.pid", "the switch"), ("switch/ovsdb.pid", "the switch's database"),
        ("machines/1/controller.pid", "the controller of machine1"), ("serial-relay.pid", "the serial relay"),
        ("redfish.pid", "the Redfish controllers"),
      ] {
        kill(try #require(room.process(file)), SIGKILL)
        try await waitUntil("status misses \(name)") {
          let (text, isWhole) = await room.lab.status()
          return !isWhole && text.contains("NOT RUNNING: ") && text.contains(name)
        }
      }

      try await room.lab.up(machines)

      #expect(await room.lab.status().isWhole)
      #expect(room.process("machines/1/pid") == machine, "a machine that was on was not left alone")
      #expect(try await room.ipmitool(machines[0], "power", "status").text.contains("is on"))
      #expect(try Files.read(room.lab.inventoryFile) == inventory, "what is enrolled is not what is there any more")
      let interfaces = try await runChecked(
        "ovs-vsctl", ["--db=unix:\(room.lab.switchSocket)", "--bare", "--columns=error", "list", "interface"])
      #expect(interfaces.text.allSatisfy { $0 == "\n" }, "\(interfaces.text)")

      kill(machine, SIGKILL)
      try await waitUntil("the machine is off") { try await room.control(1, "get", "power") == "off" }
      #expect(await room.lab.status().text.contains("machine1  off (its QEMU was killed)"))
      _ = try await room.control(1, "set", "power", "on")
      #expect(await room.lab.status().text.contains("machine1  on"))
    }
  }

  /// The program itself, as somebody at a terminal has it: Ctrl-C, and the same command again.
  @Test(arguments: [50, 150, 300, 500, 800])
  func anInterruptedUpIsToldAndMended(milliseconds: Int) async throws {
    try await Room.with { room in
      let options = ["--data", room.lab.folder, "--namespace", room.lab.namespace]
      let up =
        ["lab", "up"] + options + ["--room", "\(room.number)", "--machines", "bios/ipmi/virtio,uefi/redfish/nvme"]
      let interrupted = try await run(
        "timeout", ["-s", "INT", "\(Double(milliseconds) / 1000)", room.lab.program] + up)

      let (text, isWhole) = await room.lab.status()
      if interrupted.status != 0 { #expect(!isWhole, "\(text)") }
      let again = try await run(room.lab.program, up)
      #expect(again.status == 0, "\(again.errorText)")
      let status = try await run(room.lab.program, ["lab", "status", "--data", room.lab.folder])
      #expect(status.status == 0 && status.text.contains("machine2  off"), "\(status.text)")

      // Without being told which namespace is the lab's.
      let down = try await run(room.lab.program, ["lab", "down", "--data", room.lab.folder])

      #expect(down.status == 0, "\(down.errorText)")
      #expect(room.processes() == [] && !room.hasNamespace && !Files.exists(room.lab.folder))
      #expect(try await run(room.lab.program, ["lab", "status", "--data", room.lab.folder]).status == 1)
      let second = try await run(room.lab.program, ["lab", "down", "--data", room.lab.folder])
      #expect(second.status == 0 && second.text.contains("there is none"))
    }
  }

  @Test func downRemovesWhatAnInterruptedUpHasLeft() async throws {
    for milliseconds in [40, 120, 250, 400] {
      try await Room.with { room in
        _ = try await run(
          "timeout",
          ["-s", "INT", "\(Double(milliseconds) / 1000)", room.lab.program, "lab", "up", "--data", room.lab.folder]
            + ["--namespace", room.lab.namespace, "--room", "\(room.number)", "--machines", "bios/ipmi/virtio"])

        try await room.lab.down()

        #expect(room.processes() == [] && !room.hasNamespace && !Files.exists(room.lab.folder))
      }
    }
  }

  @Test func downRemovesABarelyBegunFolderAndNobodyElsesFile() async throws {
    try await Room.with { room in
      for names in [[], ["namespace.new"]] {
        try Files.makeFolder(room.lab.folder)
        for name in names { try Files.write("\(room.lab.folder)/\(name)", "") }
        #expect(try await room.lab.down(), "\(names)")
        #expect(!Files.exists(room.lab.folder), "\(names)")
      }
      try Files.makeFolder(room.lab.folder)
      try Files.write("\(room.lab.folder)/letter", "somebody's")
      #expect(try await room.lab.down() == false)
      #expect(Files.exists("\(room.lab.folder)/letter"))
      try await runChecked("rm", ["-rf", "--", room.lab.folder])
    }
  }

  @Test func downFindsALabWhoseFolderWasRemoved() async throws {
    try await Room.with { room in
      try await room.lab.up([LabMachine(index: 1, room: room.number)])
      _ = try await room.control(1, "set", "power", "on")
      try await runChecked("rm", ["-rf", "--", room.lab.folder])

      #expect(try await room.lab.down())

      #expect(room.processes() == [] && !room.hasNamespace)
      #expect(try await room.lab.down() == false)
    }
  }

  @Test func twoLabsDoNotTakeEachOthersThings() async throws {
    try await Room.with { room in
      let machine = LabMachine(index: 1, room: room.number)
      try await room.lab.up([machine])
      func refusal(_ lab: Laboratory, _ machines: [LabMachine]) async -> String {
        do { try await lab.up(machines) } catch { return "\(error)" }
        return ""
      }

      // Other machines in the same folder; the same namespace, room and both in another folder.
      #expect(await refusal(room.lab, [machine, LabMachine(index: 2, room: room.number)]).contains("other machines"))
      let (folder, program) = (room.lab.folder + "-2", room.lab.program)
      let sameNamespace = Laboratory(folder: folder, namespace: room.lab.namespace, program: program)
      #expect(await refusal(sameNamespace, [LabMachine(index: 1, room: 99)]).contains("--namespace"))
      try await sameNamespace.down()
      #expect(room.hasNamespace, "the namespace of another lab was removed")
      let sameRoom = Laboratory(folder: folder, namespace: room.lab.namespace + "b", program: program)
      #expect(await refusal(sameRoom, [machine]).contains("--room"))
      await #expect(throws: Laboratory.Failure.self) {
        try await Laboratory(folder: folder, namespace: "sylab-other", program: program).down()
      }
      try await sameRoom.down()
      #expect(!Files.exists(folder) && !Files.exists("/run/netns/\(sameRoom.namespace)"))

      #expect(await room.lab.status().isWhole)
      #expect(try await room.ipmitool(machine, "power", "status").text.contains("is off"))
    }
  }

  @Test(arguments: [
    ["--machines", "bios/ipmi"], ["--machines", "bios/ipmi/virtio,"], ["--machines", ""], ["--room", "251"],
    ["--room", "-1"], ["--memory", "1"], ["--disk", "0"], ["--machines", "bios/ipmi/virtio/x"],
  ])
  func whatIsNoLabIsRefusedAndLeavesNothing(options: [String]) async throws {
    let folder = "/tmp/sylab-refused\(getpid())"
    let result = try await run(
      "\(Room.products)/steelyard", ["lab", "up", "--data", folder, "--namespace", "sylab-refused"] + options)
    #expect(result.status == 64, "\(result.errorText)")
    #expect(!Files.exists(folder) && !Files.exists("/run/netns/sylab-refused"))
  }
}
