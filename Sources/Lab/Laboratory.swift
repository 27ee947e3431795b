import CLinux
import Glibc
import Processes
import Wire

/// The virtual machine room: machines with real firmware, a real switch, real controllers (docs/lab.md).
///
/// The switch and the provisioning network live in a network namespace; machines and controllers run outside of it on
/// loopback, and reach the switch through taps. Nothing is installed, and ``down()`` removes all of it.
public struct Laboratory: Sendable {
  /// Everything the lab keeps.
  public let folder: String
  /// The network namespace.
  public let namespace: String
  /// The `steelyard` program itself, which controllers call back, and the simulators beside it.
  let program: String

  public static let controllerUser = "admin"
  public static let controllerPassword = "steelyard-lab"
  public static let switchName = "sw0"
  /// The MAC of the bridge and all its ports: the chassis id that machines hear by LLDP, and `switch_id` of their ports.
  public static let switchID = "00:00:00:00:00:01"
  public static let provisioningVLAN = 100
  public static let provisioningAddress = "10.77.0.1"

  public struct Failure: Error, CustomStringConvertible {
    public let description: String
    init(_ description: String) { self.description = description }
  }

  public init(folder: String, namespace: String, program: String) {
    self.folder = folder
    self.namespace = namespace
    self.program = program
  }

  /// What an administrator needs to enrol the machines, in `lab.json`.
  public var inventoryFile: String { "\(folder)/lab.json" }
  public var switchSocket: String { "\(folder)/switch/db.sock" }
  public func machineFolder(_ index: Int) -> String { "\(folder)/machines/\(index)" }

  /// The machines of a lab that is up.
  public func machines() -> [LabMachine] {
    guard let text = try? Files.read("\(folder)/machines.json"), let json = try? JSON(parsing: text) else { return [] }
    return json.array?.compactMap { LabMachine($0) } ?? []
  }

  // MARK: Up

  /// Brings the lab up; what is up already stays.
  public func up(_ machines: [LabMachine], progress: @Sendable (String) -> Void = { _ in }) async throws {
    try checkFolder()
    try Files.makeFolder(folder)
    try Files.makeFolder("\(folder)/machines")
    if self.machines() != machines {
      // The relay knows the machines it was started with.
      await Files.end("\(folder)/serial-relay.pid", containing: folder)
    }
    try Files.write("\(folder)/machines.json", JSON.array(machines.map(\.json)).description)
    progress("switch \(Self.switchName) in network namespace \(namespace)")
    try await LabSwitch(self).up(machines)
    for machine in machines {
      progress("\(machine.name): \(machine.firmware.rawValue) firmware, \(machine.controller.rawValue) controller")
      try await prepare(machine)
    }
    try await startSerialRelay()
    for machine in machines where machine.controller == .ipmi { try await IPMISimulator(self, machine).start() }
    let fingerprints = try await RedfishControllers(self).start(machines.filter { $0.controller == .redfish })
    try Files.write(inventoryFile, inventory(machines, fingerprints).description)
  }

  /// The folder's name goes into QEMU's and `ipmi_sim`'s own little languages, and into the names of sockets (107 bytes).
  private func checkFolder() throws {
    let isPlain = folder.utf8.allSatisfy { byte in
      (0x30...0x39).contains(byte) || (0x41...0x5a).contains(byte) || (0x61...0x7a).contains(byte)
        || "/._-+".utf8.contains(byte)
    }
    guard folder.hasPrefix("/"), folder.utf8.count > 4, folder.utf8.count <= 80, isPlain else {
      throw Failure(
        "the lab's folder must be an absolute path of up to 80 letters, digits and / . _ - +, not \"\(folder)\"")
    }
  }

  /// Disk, firmware variables and the control command of one machine.
  private func prepare(_ machine: LabMachine) async throws {
    let path = machineFolder(machine.index)
    try Files.makeFolder(path)
    if !Files.exists("\(path)/disk.qcow2") {
      _ = try await runChecked(
        "qemu-img", ["create", "-q", "-f", "qcow2", "\(path)/disk.qcow2", "\(machine.diskGibibytes)G"])
    }
    if machine.firmware == .uefi, !Files.exists("\(path)/vars.fd") {
      _ = try await runChecked("cp", ["/usr/share/OVMF/OVMF_VARS_4M.fd", "\(path)/vars.fd"])
    }
    try Files.write("\(path)/control", MachineControl(self, machine).script, mode: 0o755)
    try Files.write("\(path)/ipmi-chassis", MachineControl(self, machine).chassisScript, mode: 0o755)
  }

  private func startSerialRelay() async throws {
    guard !Files.isRunning("\(folder)/serial-relay.pid", containing: folder) else { return }
    unlink("\(folder)/serial-relay.ready")
    try await launch(
      program, ["lab", "serial-relay", "--data", folder], log: "\(folder)/serial-relay.log",
      pid: "\(folder)/serial-relay.pid")
    try await wait("the serial relay", limit: .seconds(10)) { Files.exists("\(folder)/serial-relay.ready") }
  }

  private func inventory(_ machines: [LabMachine], _ fingerprints: [Int: String]) -> JSON {
    [
      "namespace": .string(namespace),
      "switch": [
        "name": .string(Self.switchName), "kind": "openvswitch", "endpoint": .string("unix:\(switchSocket)"),
        "bridge": .string(Self.switchName), "uplinks": ["prov"],
      ],
      "provisioning": [
        "address": .string(Self.provisioningAddress), "prefix": 24, "interface": "prov",
        "vlan": .int(Self.provisioningVLAN),
        "namespace": .string(namespace),
      ],
      "machines": .array(
        machines.map { machine in
          var entry: JSONObject = [
            "name": .string(machine.name), "index": .int(machine.index), "driver": .string(machine.controller.rawValue),
            "firmware": .string(machine.firmware.rawValue), "address": .string(machine.controllerAddress),
            "username": .string(Self.controllerUser), "password": .string(Self.controllerPassword),
            "ports": .array(
              zip(machine.macs, machine.taps).map { mac, tap in
                [
                  "mac": .string(mac), "switch": .string(Self.switchName), "switch_id": .string(Self.switchID),
                  "port": .string(tap),
                ]
              }), "serial_log": .string("\(machineFolder(machine.index))/serial.log"),
          ]
          switch machine.controller {
          case .ipmi: entry["port"] = 623
          case .redfish:
            entry["url"] = .string("https://\(machine.controllerAddress):8443")
            entry["fingerprint"] = JSON(fingerprints[machine.index])
          }
          return .object(entry)
        }),
    ]
  }

  // MARK: Down

  /// Ends every process of the lab and removes its namespace and its folder; also what an interrupted `up` has left.
  public func down() async throws {
    try checkFolder()
    for name in fileNames(in: "\(folder)/machines") {
      await Files.end("\(folder)/machines/\(name)/pid", containing: folder)
      await Files.end("\(folder)/machines/\(name)/controller.pid", containing: folder)
    }
    await Files.end("\(folder)/redfish.pid", containing: folder)
    await Files.end("\(folder)/serial-relay.pid", containing: folder)
    try await LabSwitch(self).down()
    await endStragglers()
    if folder.utf8.count > 4, Files.exists("\(folder)/machines") {
      _ = try await runChecked("rm", ["-rf", "--", folder])
    }
  }

  // MARK: Processes

  /// Processes of the lab that no file tells of: an `up` or a `down` was killed between two lines.
  private func endStragglers() async {
    let programs = [
      "qemu-system-x86_64", "ovs-vswitchd", "ovsdb-server", "ipmi_sim", "steelyard", "steelyard-simulator",
    ]
    for name in fileNames(in: "/proc") {
      guard let process = pid_t(name), process != getpid(), let line = try? Files.read("/proc/\(name)/cmdline") else {
        continue
      }
      let words = line.split(separator: "\0")
      guard let program = words.first?.split(separator: "/").last, programs.contains(String(program)) else { continue }
      // "lab" beside "steelyard": a server may keep its own data near, and is not ours to end.
      if program == "steelyard", words.dropFirst().first != "lab" || words.contains("down") { continue }
      guard words.contains(where: { $0.hasSuffix(folder) || $0.contains(folder + "/") }) else { continue }
      await Files.end(process, containing: folder)
    }
  }

  /// Starts a program that outlives this one.
  func launch(
    _ program: String, _ arguments: [String], environment: [String: String] = [:], inNamespace: Bool = false,
    log: String, pid: String
  ) async throws {
    let command = inNamespace ? ["nsenter", "--net=/run/netns/\(namespace)", program] : [program]
    let script = #"log=$1 pid=$2; shift 2; setsid "$@" >>"$log" 2>&1 </dev/null & echo $! >"$pid""#
    _ = try await runChecked("sh", ["-c", script, "sh", log, pid] + command + arguments, environment: environment)
  }

  func wait(_ what: String, limit: Duration, until isSo: () async -> Bool) async throws {
    let end = ContinuousClock.now + limit
    while ContinuousClock.now < end {
      if await isSo() { return }
      try await Task.sleep(for: .milliseconds(20))
    }
    throw Failure("\(what) did not come up within \(Int(limit.components.seconds)) s; its log is in \(folder)")
  }
}
