import ArgumentParser
import Glibc
import Simulators
import Wire

/// Servers that stand in for hardware, in a program of their own.
@main
struct SimulatorProgram: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "steelyard-simulator",
    abstract: "Servers that stand in for hardware: they speak the real protocol, keep a log and can misbehave.",
    subcommands: [Redfish.self, SwitchCommandLine.self, NETCONFRelayCommand.self])
}

struct Redfish: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Redfish controllers (DMTF DSP0266) in front of machines.",
    discussion: """
      One controller:   steelyard-simulator redfish --listen 127.78.0.13:8000 --control ./machine r1
      Several:          --bmc name=r1,address=127.78.0.13:8000,control=./machine r1 --bmc …  or  --config FILE
      The FILE is {"bmcs": [{"name", "address", "control": [words], "username", "password", "tls", "identity", "mode", "uuid",
      "serial", "cpus", "memory_mib", "nics": [MAC], "disks": [{"name", "bytes", "serial"}], …}]}.
      The control command is called as COMMAND get power | get boot | set power on|off | set boot
      none|pxe|disk|cdrom once|continuous | set mode bios|uefi | shutdown. Without one the machine is a fake.
      The password of --listen and --bmc is $STEELYARD_SIMULATOR_PASSWORD, or "password".
      Faults: curl -X PUT -d '{"stall_seconds": 3}' http://HOST:PORT/bmcs/NAME/faults
      """)

  @Option(help: "HOST:PORT of one controller.") var listen: String?
  @Option(parsing: .upToNextOption, help: "Machine control command of --listen.") var control: [String] = []
  @Flag(help: "A fake machine, in memory.") var fake = false
  @Flag(help: "HTTPS with a certificate made now (--listen and --bmc).") var tls = false
  @Option(help: "User name of --listen and --bmc.") var username = "admin"
  @Option(help: "Firmware of --listen: bios or uefi.") var mode = "uefi"
  @Option(help: "name=…,address=HOST:PORT,control=COMMAND WORD…: one more controller.") var bmc: [String] = []
  @Option(help: "JSON file with the controllers.") var config: String?
  @Option(help: "Where faults are set: HOST:PORT or unix:PATH.") var faults: String?
  @Option(help: "JSON lines of everything done.") var log: String?

  func run() async throws {
    do {
      let all = try configurations()
      let simulator = try RedfishSimulator(
        all, faults: try faults.map { try .init($0) }, log: try EffectLog(path: log))
      try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask { try await simulator.runUntilSignalled() }
        group.addTask {
          let ports = await simulator.ports()
          for each in all {
            let fingerprint = await simulator.fingerprint(of: each.name)
            let scheme = each.isTLS ? "https" : "http"
            print("\(each.name) \(scheme)://\(each.host):\(ports[each.name] ?? 0) \(fingerprint ?? "")")
          }
          if let port = ports["/faults"], port > 0 { print("faults \(port)") }
          print("ready")
          fflush(nil)
        }
        // The server's end is the program's; nobody waits for the one that prints.
        while try await group.next() != nil {}
      }
    } catch let error as MachineError { throw ValidationError(error.description) }
  }

  private func configurations() throws -> [BMCConfiguration] {
    let password = getenv("STEELYARD_SIMULATOR_PASSWORD").map { String(cString: $0) }
    guard let firmware = MachineFirmware(rawValue: mode) else { throw MachineError("--mode is bios or uefi") }
    var all: [BMCConfiguration] = []
    if let listen {
      guard fake != !control.isEmpty else { throw MachineError("--listen needs --control COMMAND or --fake") }
      var one = try BMCConfiguration(["address": .string(listen)])
      if !fake { one.control = control }
      one.firmware = firmware
      all.append(one)
    }
    all += try bmc.map { try BMCConfiguration(option: $0) }
    for index in all.indices {
      all[index].isTLS = all[index].isTLS || tls
      all[index].username = username
      all[index].password = password ?? all[index].password
    }
    if let config {
      guard let bytes = read(file: config) else { throw MachineError("cannot read \(config)") }
      let json: JSON
      do { json = try JSON.parse(bytes) } catch { throw MachineError("\(config): \(error)") }
      guard let bmcs = json["bmcs"]?.array else { throw MachineError("\(config) has no list \"bmcs\"") }
      all += try bmcs.map { try BMCConfiguration($0) }
    }
    if all.isEmpty { throw MachineError("which controllers? --listen, --bmc or --config") }
    let names = Set(all.map(\.name))
    if names.count != all.count { throw MachineError("two controllers have the same name") }
    return all
  }

  private func read(file path: String) -> [UInt8]? {
    let file = open(path, O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { return nil }
    defer { close(file) }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 65536)
    while true {
      let count = Glibc.read(file, &chunk, chunk.count)
      guard count > 0 else { return count == 0 ? bytes : nil }
      bytes.append(contentsOf: chunk[..<count])
    }
  }
}
