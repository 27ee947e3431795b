import Glibc
import Processes
import Testing
import Wire

@testable import Lab

@Suite struct LaboratoryTests {
  @Test func aMachineBootsThroughItsControllerAndItsConsoleOutlivesItsPower() async throws {
    try await Room.with { room in
      let machine = LabMachine(index: 1, room: room.number)
      try await room.lab.up([machine])
      try await room.install(marker: "marker-of-a-test", onMachine: 1)
      let console = try await Terminal.start(
        "ipmitool", Room.ipmiArguments(machine) + ["sol", "activate"],
        environment: ["IPMI_PASSWORD": Laboratory.controllerPassword])
      let heard = Transcript()
      let listening = Task { for await bytes in console.output { await heard.append(bytes) } }
      defer {
        console.end()
        listening.cancel()
      }
      try await waitUntil("SOL is operational") { await heard.text.contains("SOL Session operational") }

      #expect(try await room.ipmitool(machine, "power", "status").text.contains("is off"))
      #expect(try await room.ipmitool(machine, "power", "on").status == 0)
      try await waitUntil("the system says that it is ready") { await heard.text.contains("LAB-READY") }

      // Not a byte of the firmware's is missing, and what the controller heard is what the machine said.
      let said = try Files.read("\(room.lab.machineFolder(1))/serial.log")
      #expect(await heard.text.contains("SeaBIOS"))
      #expect(await heard.text.contains("LAB-MARKER marker-of-a-test"))
      let start = try #require(said.firstRange(of: "SeaBIOS")).lowerBound
      let end = try #require(said.firstRange(of: "LAB-READY")).upperBound
      #expect(await heard.text.contains(said[start..<end]))

      // The shell for programs, on the other serial port.
      let (output, status) = try await room.lab.shell(1, "cat /proc/cmdline; false", limit: .seconds(20))
      #expect(output.contains("marker=marker-of-a-test"))
      #expect(status == 1)
      #expect(await room.lab.status().text.contains("machine1  on"))

      // The controller can go and come, refuse and accept, while the machine stays on.
      let process = room.process("machines/1/pid")
      try await room.lab.setControllerFault(.unreachable, ofMachine: 1)
      #expect(try await room.ipmitool(machine, "power", "status").status != 0)
      try await room.lab.setControllerFault(.refusesPassword, ofMachine: 1)
      #expect(try await room.ipmitool(machine, "power", "status").status != 0)
      try await room.lab.setControllerFault(.none, ofMachine: 1)
      #expect(try await room.ipmitool(machine, "power", "status").text.contains("is on"))
      #expect(room.process("machines/1/pid") == process)

      // The power button reaches the system.
      #expect(try await room.ipmitool(machine, "power", "soft").status == 0)
      try await waitUntil("the machine is off") { try await room.control(1, "get", "power") == "off" }
    }
  }

  @Test func aConsoleGoesOnAcrossAPowerCycle() async throws {
    try await Room.with { room in
      let machine = LabMachine(index: 2, room: room.number, disk: .nvme)
      try await room.lab.up([machine])
      let console = try await Terminal.start(
        "ipmitool", Room.ipmiArguments(machine) + ["sol", "activate"],
        environment: ["IPMI_PASSWORD": Laboratory.controllerPassword])
      let heard = Transcript()
      let listening = Task { for await bytes in console.output { await heard.append(bytes) } }
      defer {
        console.end()
        listening.cancel()
      }
      try await waitUntil("SOL is operational") { await heard.text.contains("SOL Session operational") }

      for time in 1...2 {
        #expect(try await room.ipmitool(machine, "power", "on").status == 0)
        try await waitUntil("firmware speaks for the \(time). time") {
          await heard.text.split(separator: "SeaBIOS", omittingEmptySubsequences: false).count == time + 1
        }
        #expect(try await room.ipmitool(machine, "power", "off").status == 0)
      }
    }
  }

  @Test func upTwiceIsHarmlessAndDownLeavesNothing() async throws {
    try await Room.with { room in
      let machines = [
        LabMachine(index: 1, room: room.number), LabMachine(index: 2, room: room.number, firmware: .uefi, nics: 2),
        LabMachine(index: 3, room: room.number, controller: .redfish),
      ]
      let files = [
        "switch/vswitchd.pid", "switch/ovsdb.pid", "serial-relay.pid", "redfish.pid", "machines/1/controller.pid",
      ]

      try await room.lab.up(machines)
      let first = files.map { room.process($0) }
      try await runChecked(
        "ovs-vsctl",
        ["--db=unix:\(room.lab.switchSocket)", "set", "port", "n1", "vlan_mode=access", "tag=201", "trunks=[]"])
      try await room.lab.up(machines)

      #expect(!first.contains(nil))
      #expect(files.map { room.process($0) } == first)
      let ports = try await runChecked(
        "ovs-vsctl", ["--db=unix:\(room.lab.switchSocket)", "get", "port", "n1", "tag"])
      #expect(ports.text == "201\n", "a port that the product has configured is not ours any more")
      let inventory = try JSON(parsing: try Files.read(room.lab.inventoryFile))
      #expect(inventory["machines"]?.array?.count == 3)
      #expect(inventory["machines"]?.array?[1]["ports"]?.array?.count == 2)
      #expect(inventory["machines"]?.array?[2]["fingerprint"]?.string?.hasPrefix("sha256:") == true)
      let taps = try await runChecked("ip", ["-o", "-n", room.lab.namespace, "link"])
      #expect(taps.text.contains("n2x1:"))

      try await room.lab.down()
      #expect(room.processes() == [])
      #expect(!room.hasNamespace)
      #expect(!Files.exists(room.lab.folder))
      try await room.lab.down()
    }
  }

  @Test func downEndsWhatAKilledLabHasLeft() async throws {
    try await Room.with { room in
      try await room.lab.up([LabMachine(index: 1, room: room.number)])
      _ = try await room.control(1, "set", "power", "on")
      for file in ["switch/vswitchd.pid", "machines/1/controller.pid"] {
        kill(try #require(room.process(file)), SIGKILL)
      }
      for file in ["switch/ovsdb.pid", "machines/1/pid", "serial-relay.pid"] { unlink("\(room.lab.folder)/\(file)") }

      try await room.lab.down()

      #expect(room.processes() == [])
      #expect(!room.hasNamespace)
      #expect(!Files.exists(room.lab.folder))
    }
  }

  @Test func aFolderThatItsProgramsCannotNameIsRefused() async throws {
    for folder in ["relative", "/tmp/with space", "/tmp/with,comma", "/tmp/" + String(repeating: "x", count: 90)] {
      let lab = Laboratory(folder: folder, namespace: "sylab-never", program: "/nowhere")
      await #expect(throws: Laboratory.Failure.self) { try await lab.up([]) }
      await #expect(throws: Laboratory.Failure.self) { try await lab.down() }
    }
    #expect(!Files.exists("/run/netns/sylab-never"))
  }
}
