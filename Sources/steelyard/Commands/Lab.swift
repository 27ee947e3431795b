import ArgumentParser
import Glibc
import Lab

/// Where a lab is.
struct LabOptions: ParsableArguments {
  @Option(name: [.customShort("d"), .customLong("data")], help: "The lab's folder.") var data = "/var/tmp/steelyard-lab"
  @Option(help: "The network namespace of its switch; `up` remembers it. (default: steelyard-lab)") var namespace:
    String?

  var lab: Laboratory {
    var path = [CChar](repeating: 0, count: 4096)
    let count = readlink("/proc/self/exe", &path, path.count - 1)
    let program = String(decoding: path.prefix(max(0, count)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
    return Laboratory(
      folder: data, namespace: namespace ?? Laboratory.namespace(in: data) ?? "steelyard-lab", program: program)
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
        "Starts the switch, the machines' controllers and the serial lines; machines stay off. Running it again starts what is missing."
    )
    @OptionGroup var options: LabOptions
    @Option(
      help:
        "Machines: FIRMWARE/CONTROLLER/DISK, or FIRMWARE/CONTROLLER/DISK/NICS, separated by commas. (default: \(Self.machines), or those that it has)"
    )
    var machines: String?
    @Option(help: "0 to 250: labs on one host at the same time need different ones. (default: 0)") var room: Int?
    @Option(help: "Memory of each machine, MiB. (default: 384)") var memory: Int?
    @Option(help: "Disk of each machine, GiB. (default: 2)") var disk: Int?
    @Flag(help: "Also OVN, which carries tenants' DHCP, routers and floating IPs; a lab that has it keeps it.")
    var ovn = false

    static let machines = "bios/ipmi/virtio,uefi/ipmi/nvme,bios/redfish/virtio"

    func validate() throws {
      guard (0...250).contains(room ?? 0) else { throw ValidationError("the room is a number from 0 to 250") }
      guard (64...65536).contains(memory ?? 384) else { throw ValidationError("the memory is 64 to 65536 MiB") }
      guard (1...1024).contains(disk ?? 2) else { throw ValidationError("the disk is 1 to 1024 GiB") }
      _ = try list()
    }

    func run() async throws {
      let lab = options.lab
      let isAsBefore = machines == nil && room == nil && memory == nil && disk == nil
      let known = lab.machines()
      try await lab.up(isAsBefore && !known.isEmpty ? known : try list(), hasOVN: ovn) {
        print("lab: \($0)")
      }
      print("lab: up; \(lab.inventoryFile) tells what to enrol")
    }

    private func list() throws -> [LabMachine] {
      let texts = (machines ?? Self.machines).split(separator: ",", omittingEmptySubsequences: false)
      guard texts.count < 100 else { throw ValidationError("a lab has at most 99 machines") }
      return try texts.enumerated().map { index, text in
        let parts = text.split(separator: "/").map { String($0) }
        guard (3...4).contains(parts.count), let firmware = LabMachine.Firmware(rawValue: parts[0]),
          let controller = LabMachine.Controller(rawValue: parts[1]), let kind = LabMachine.Disk(rawValue: parts[2])
        else { throw ValidationError("'\(text)' is not bios|uefi/ipmi|redfish/virtio|nvme") }
        guard let nics = parts.count == 4 ? Int(parts[3]) : 1, (1...8).contains(nics) else {
          throw ValidationError("'\(text)': a machine has 1 to 8 NICs")
        }
        return LabMachine(
          index: index + 1, room: room ?? 0, firmware: firmware, controller: controller, disk: kind,
          memory: memory ?? 384, diskGibibytes: disk ?? 2, nics: nics)
      }
    }
  }

  struct Down: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Ends everything of the lab and removes it.")
    @OptionGroup var options: LabOptions
    func run() async throws {
      let isGone = try await options.lab.down()
      print(isGone ? "lab: everything of \(options.data) is gone" : "lab: there is none in \(options.data)")
    }
  }

  struct Status: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "What runs, what it boots, and what the switch ports carry. Fails when not all of the lab runs.")
    @OptionGroup var options: LabOptions
    func run() async throws {
      let (text, isWhole) = await options.lab.status()
      print(text, terminator: "")
      if !isWhole { throw ExitCode.failure }
    }
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
