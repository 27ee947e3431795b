import ArgumentParser
import Glibc
import Lab

/// Where a lab is.
struct LabOptions: ParsableArguments {
  @Option(name: [.customShort("d"), .customLong("data")], help: "The lab's folder.") var data = "/var/tmp/steelyard-lab"
  @Option(help: "The network namespace of its switch.") var namespace = "steelyard-lab"

  var lab: Laboratory {
    var path = [CChar](repeating: 0, count: 4096)
    let count = readlink("/proc/self/exe", &path, path.count - 1)
    let program = String(decoding: path.prefix(max(0, count)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
    return Laboratory(folder: data, namespace: namespace, program: program)
  }
}

struct LabCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "lab",
    abstract: "The virtual machine room: machines with real firmware on a real switch, without hardware.",
    subcommands: [
      Up.self, Down.self, Status.self, Shell.self, Search.self, MachineStartCommand.self, SerialRelayCommand.self,
    ])

  struct Up: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract:
        "Starts the switch, the machines' controllers and the serial lines; machines stay off. Running it twice is harmless."
    )
    @OptionGroup var options: LabOptions
    @Option(help: "Machines: FIRMWARE/CONTROLLER/DISK, separated by commas.") var machines =
      "bios/ipmi/virtio,uefi/ipmi/nvme,bios/redfish/virtio"
    @Option(help: "0 to 250: labs on one host at the same time need different ones.") var room = 0
    @Option(help: "Memory of each machine, MiB.") var memory = 384
    @Option(help: "Disk of each machine, GiB.") var disk = 2

    func run() async throws {
      guard (0...250).contains(room) else { throw ValidationError("the room is a number from 0 to 250") }
      let list = try machines.split(separator: ",").enumerated().map { index, text -> LabMachine in
        let parts = text.split(separator: "/").map { String($0) }
        guard parts.count == 3, let firmware = LabMachine.Firmware(rawValue: parts[0]),
          let controller = LabMachine.Controller(rawValue: parts[1]), let kind = LabMachine.Disk(rawValue: parts[2])
        else { throw ValidationError("'\(text)' is not bios|uefi/ipmi|redfish/virtio|nvme") }
        return LabMachine(
          index: index + 1, room: room, firmware: firmware, controller: controller, disk: kind, memory: memory,
          diskGibibytes: disk)
      }
      try await options.lab.up(list) { print("lab: \($0)") }
      print("lab: up; \(options.lab.inventoryFile) tells what to enrol")
    }
  }

  struct Down: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Ends everything of the lab and removes it.")
    @OptionGroup var options: LabOptions
    func run() async throws { try await options.lab.down() }
  }

  struct Status: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "What runs, what it boots, and what the switch ports carry.")
    @OptionGroup var options: LabOptions
    func run() async throws { print(await options.lab.status()) }
  }

  struct Shell: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Runs a command in the tiny test system on a machine, over its second serial port.")
    @OptionGroup var options: LabOptions
    @Option(help: "Seconds to wait for the answer.") var limit = 30
    @Argument(help: "The machine's number.") var machine: Int
    @Argument(parsing: .remaining, help: "The command.") var command: [String]
    func run() async throws {
      let (output, status) = try await options.lab.shell(
        machine, command.joined(separator: " "), limit: .seconds(limit))
      print(output, terminator: "")
      if status != 0 { throw ExitCode(Int32(status)) }
    }
  }

  struct Search: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Counts how often a text stands on a machine's raw disk.")
    @OptionGroup var options: LabOptions
    @Argument(help: "The machine's number.") var machine: Int
    @Argument(help: "The text, byte for byte.") var text: String
    func run() async throws { print("found \(try await options.lab.search(machine, text)) times") }
  }

  struct MachineStartCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "machine-start", shouldDisplay: false)
    @OptionGroup var options: LabOptions
    @Argument var machine: Int
    func run() throws { try MachineStart.become(options.lab, index: machine) }
  }

  struct SerialRelayCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "serial-relay", shouldDisplay: false)
    @OptionGroup var options: LabOptions
    func run() throws { try SerialRelay.run(options.lab) }
  }
}
