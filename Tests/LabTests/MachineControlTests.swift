import Glibc
import Processes
import Testing

@testable import Lab

/// The control script, run by a real shell; `steelyard lab machine-start` is a script that starts a sleeper in the
/// machine's place.
@Suite struct MachineControlTests {
  private struct Machine {
    let folder: String
    let control: String
    let chassis: String

    func run(_ arguments: String...) async throws -> CommandResult {
      try await Processes.run("sh", [control] + arguments, timeout: .seconds(10))
    }
    func ask(_ arguments: String...) async throws -> CommandResult {
      try await Processes.run("sh", [chassis] + arguments, timeout: .seconds(10))
    }
  }

  private func pid(_ machine: Machine) -> String? { try? Files.read("\(machine.folder)/pid") }

  /// The folder has a space and a quote in its name: the script must not care.
  private func with(_ body: (Machine) async throws -> Void) async throws {
    let base = "/tmp/steelyard-lab test's-\(getpid())-\(UInt32.random(in: 0 ... .max))"
    let machine = LabMachine(index: 3, firmware: .uefi)
    let program = "\(base)/fake steelyard"
    let lab = Laboratory(folder: base, namespace: "nowhere", program: program)
    let folder = lab.machineFolder(3)
    try Files.makeFolder(folder)
    try await writeExecutable(
      """
      #!/bin/sh
      printf '%s\\n' "$@" >'\(folder.replacing("'", with: "'\\''"))/started'
      # (the script knows a machine by its program's name)
      [ -e qemu-sleeper ] || cp "$(command -v sleep)" qemu-sleeper
      ./qemu-sleeper 600 >/dev/null 2>&1 & echo $! >pid
      until readlink "/proc/$!/exe" | grep -q qemu; do sleep 0.01; done
      """, to: program)
    let control = MachineControl(lab, machine)
    try await writeExecutable(control.script, to: "\(folder)/control")
    try await writeExecutable(control.chassisScript, to: "\(folder)/chassis")
    let made = Machine(folder: folder, control: "\(folder)/control", chassis: "\(folder)/chassis")
    var failure: (any Error)?
    do { try await body(made) } catch { failure = error }
    _ = try await made.run("set", "power", "off")
    _ = try await Processes.run("rm", ["-rf", "--", base])
    if let failure { throw failure }
  }

  @Test func powerGoesOnAndOffAndTwiceIsOnce() async throws {
    try await with { machine async throws in
      #expect(try await machine.run("get", "power").text == "off\n")
      #expect(try await machine.run("set", "power", "on").status == 0)
      #expect(try await machine.run("get", "power").text == "on\n")
      let before = try #require(pid(machine))
      let started = try Files.read("\(machine.folder)/started")
      #expect(
        started.split(separator: "\n").map { String($0) } == [
          "lab", "machine-start", "--data", String(machine.folder.dropLast("/machines/3".count)), "--namespace",
          "nowhere", "3",
        ])

      #expect(try await machine.run("set", "power", "on").status == 0)
      #expect(pid(machine) == before, "a machine that is on was started again")

      #expect(try await machine.run("set", "power", "off").status == 0)
      #expect(try await machine.run("get", "power").text == "off\n")
      #expect(try await machine.run("set", "power", "off").status == 0)
    }
  }

  @Test func aMachineThatDiedIsOff() async throws {
    try await with { machine async throws in
      _ = try await machine.run("set", "power", "on")
      kill(try #require(pid(machine).flatMap { pid_t($0.dropLast()) }), SIGKILL)
      #expect(try await machine.run("get", "power").text == "off\n")
      #expect(try await machine.run("set", "power", "on").status == 0)
      #expect(try await machine.run("get", "power").text == "on\n")
    }
  }

  @Test func theBootDeviceIsKept() async throws {
    try await with { machine async throws in
      #expect(try await machine.run("get", "boot").text == "disk continuous\n")
      let cases: [([String], String)] = [
        (["pxe", "once"], "pxe once\n"), (["pxe", "continuous"], "pxe continuous\n"), (["cdrom"], "cdrom once\n"),
        (["none"], "disk continuous\n"),
      ]
      for (arguments, expected) in cases {
        #expect(try await Processes.run("sh", [machine.control, "set", "boot"] + arguments).status == 0)
        #expect(try await machine.run("get", "boot").text == expected)
      }
      #expect(try await machine.run("set", "mode", "uefi").status == 0)
      #expect(try await machine.run("set", "mode", "bios").status != 0)
    }
  }

  @Test func whatIsNoCommandChangesNothing() async throws {
    try await with { machine async throws in
      let cases: [[String]] = [
        ["set", "power", "maybe"], ["set", "boot", "floppy"], ["set", "boot", "pxe; touch owned"], ["get", "fans"], [],
        ["x"],
        ["set", "power", "$(touch owned)"],
      ]
      for words in cases {
        let result = try await Processes.run("sh", [machine.control] + words)
        #expect(result.status != 0, "\(words)")
      }
      #expect(!Files.exists("\(machine.folder)/owned") && !Files.exists("\(machine.folder)/boot"))
    }
  }

  @Test func theChassisProgramSpeaksTheWordsOfIpmiSim() async throws {
    try await with { machine async throws in
      #expect(try await machine.ask("0x20", "get", "power", "boot").text == "power:0\nboot:default\n")
      #expect(try await machine.ask("0x20", "set", "boot", "pxe", "power", "1").status == 0)
      #expect(try await machine.ask("0x20", "get", "power", "boot").text == "power:1\nboot:pxe\n")
      let before = try #require(pid(machine))
      #expect(try await machine.ask("0x20", "set", "reset", "1").status == 0)
      #expect(try await machine.ask("0x20", "get", "power").text == "power:1\n")
      #expect(pid(machine) != before)
      #expect(try await machine.ask("0x20", "set", "power", "0").status == 0)
      #expect(try await machine.ask("0x20", "get", "power").text == "power:0\n")
      #expect(try await machine.ask("0x20", "check", "power").status == 0)
      #expect(try await machine.ask("0x20", "check", "fans").status != 0)
      #expect(try await machine.ask("0x20", "set", "fans", "1").status != 0)
      #expect(try await machine.ask("0x20", "get", "fans").status != 0)
    }
  }
}
