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

  /// Brings the lab up; what is up already stays, and what has ended or was never started is.
  /// - Parameter hasOVN: also tenants' DHCP, routers and floating IPs; a lab that has it keeps it.
  /// - Throws: ``Failure`` in words that say what to do: the folder has a lab with other machines, a name or an address is
  ///   somebody else's, a program ended.
  public func up(_ machines: [LabMachine], hasOVN: Bool = false, progress: @Sendable (String) -> Void = { _ in })
    async throws
  {
    try checkFolder()
    let known = self.machines()
    guard known.isEmpty || known == machines else {
      throw Failure("the lab in \(folder) has other machines: end it first, with `lab down`, or give another folder")
    }
    try await takeNamespace()
    try Files.makeFolder("\(folder)/machines")
    try Files.write("\(folder)/machines.json", JSON.array(machines.map(\.json)).description)
    progress("switch \(Self.switchName) in network namespace \(namespace)")
    try await LabSwitch(self).up(machines)
    if hasOVN || LabOVN(self).isWanted {
      progress("OVN, with the switch as its chassis")
      try await LabOVN(self).up()
    }
    for machine in machines {
      progress("\(machine.name): \(machine.firmware.rawValue) firmware, \(machine.controller.rawValue) controller")
      try await prepare(machine)
    }
    try await startSerialRelay()
    for machine in machines where machine.controller == .ipmi { try await IPMISimulator(self, machine).start() }
    let fingerprints = try await RedfishControllers(self).start(machines.filter { $0.controller == .redfish })
    try Files.write(inventoryFile, inventory(machines, fingerprints).description)
  }

  /// The network namespace of the lab in a folder, if there is one.
  public static func namespace(in folder: String) -> String? {
    (try? Files.read("\(folder)/namespace")).map { $0.filter { $0 != "\n" } }.flatMap { $0.isEmpty ? nil : $0 }
  }

  /// Writes down which namespace is this lab's, before it is made: `down` must remove it, and nobody else's.
  private func takeNamespace() async throws {
    if let own = Self.namespace(in: folder) {
      guard own == namespace else {
        throw Failure(
          "the lab in \(folder) has network namespace \(own), not \(namespace): end it first, with `lab down`")
      }
      return
    }
    let users = await namespaceUsers()
    guard users.isEmpty else {
      throw Failure(
        "network namespace \(namespace) is in use (process \(users[0])), perhaps by another lab: give this one a --namespace of its own"
      )
    }
    try Files.makeFolder(folder)
    try Files.write("\(folder)/namespace", namespace + "\n")
  }
  /// Processes in the namespace.
  private func namespaceUsers() async -> [String] {
    guard Files.exists("/run/netns/\(namespace)") else { return [] }
    let pids = try? await run("ip", ["netns", "pids", namespace])
    return pids?.text.split(separator: "\n").map { String($0) } ?? []
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
    try await writeExecutable(MachineControl(self, machine).script, to: "\(path)/control", mode: 0o755)
    try await writeExecutable(MachineControl(self, machine).chassisScript, to: "\(path)/ipmi-chassis", mode: 0o755)
  }

  private func startSerialRelay() async throws {
    guard !isSerialRelayRunning else { return }
    for machine in machines() {
      try requireFree(
        [(.tcp, machine.serialAddress, machine.serialPort), (.tcp, machine.serialAddress, machine.serialPort + 100)],
        machine)
    }
    unlink("\(folder)/serial-relay.ready")
    try await launch(
      program, ["lab", "serial-relay", "--data", folder], log: "\(folder)/serial-relay.log",
      pid: "\(folder)/serial-relay.pid")
    try await wait("the serial relay", pid: "\(folder)/serial-relay.pid", log: "\(folder)/serial-relay.log") {
      Files.exists("\(folder)/serial-relay.ready")
    }
  }
  var isSerialRelayRunning: Bool { Files.isRunning("\(folder)/serial-relay.pid", naming: folder) }

  /// - Throws: ``Failure`` when a program that is not this lab's has one of these addresses.
  func requireFree(_ addresses: [(kind: Sockets.Kind, address: String, port: Int)], _ machine: LabMachine) throws {
    for (kind, address, port) in addresses where Sockets.isTaken(kind, address, port) {
      throw Failure(
        "\(kind.rawValue) port \(port) of \(address), of \(machine.name), is taken: is another lab up in room \(machine.room)? Give this one another --room"
      )
    }
  }

  private func inventory(_ machines: [LabMachine], _ fingerprints: [Int: String]) -> JSON {
    var inventory: JSONObject = [
      "namespace": .string(namespace),
      "switch": [
        "name": .string(Self.switchName), "kind": "openvswitch", "endpoint": .string("unix:\(switchSocket)"),
        "bridge": .string(Self.switchName), "uplinks": ["prov"], "control": .string("\(folder)/switch/vswitchd.ctl"),
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
    if LabOVN(self).isWanted {
      inventory["ovn"] = [
        "northbound": .string(LabOVN(self).northbound), "chassis": [.string(LabOVN.chassis)],
        "physical_networks": [.string(LabOVN.physicalNetwork)],
      ]
    }
    return .object(inventory)
  }

  // MARK: Down

  /// Ends every process of the lab and removes its namespace and its folder; also what an interrupted `up` has left.
  /// - Returns: false when there was nothing.
  /// - Throws: ``Failure`` when something is left.
  @discardableResult
  public func down() async throws -> Bool {
    try checkFolder()
    let own = Self.namespace(in: folder)
    guard own == nil || own == namespace else {
      throw Failure("the lab in \(folder) has network namespace \(own ?? ""), not \(namespace)")
    }
    let isThere = own != nil || Files.exists("\(folder)/machines.json")
    let wasBegun = !isThere && removeBeginning()
    for name in fileNames(in: "\(folder)/machines") {
      await Files.end("\(folder)/machines/\(name)/pid", naming: folder)
      await Files.end("\(folder)/machines/\(name)/controller.pid", naming: folder)
    }
    await Files.end("\(folder)/redfish.pid", naming: folder)
    await Files.end("\(folder)/serial-relay.pid", naming: folder)
    await LabOVN(self).down()
    try await LabSwitch(self).down()
    let stragglers = await endStragglers()
    // Where no file tells whose it is (the folder was removed by hand), it is the lab's if nobody lives in it any more.
    let isLeft = Files.exists("/run/netns/\(namespace)")
    let users = own != nil ? [] : await namespaceUsers()
    if isLeft, users.isEmpty { try await runChecked("ip", ["netns", "del", namespace]) }
    if isThere { try await runChecked("rm", ["-rf", "--", folder]) }
    return isThere || wasBegun || stragglers > 0 || (isLeft && users.isEmpty)
  }

  /// Removes a folder in which ``takeNamespace()`` was interrupted: nothing of anybody's is in it.
  private func removeBeginning() -> Bool {
    unlink("\(folder)/namespace.new")
    return rmdir(folder) == 0
  }

  // MARK: Processes

  /// Processes of the lab that no file tells of: an `up` or a `down` was killed between two lines.
  /// - Returns: how many there were.
  private func endStragglers() async -> Int {
    var count = 0
    let programs = [
      "qemu-system-x86_64", "ovs-vswitchd", "ovsdb-server", "ovn-northd", "ovn-controller", "ipmi_sim", "steelyard",
      "steelyard-simulator",
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
      await Files.end(process, naming: folder)
      count += 1
    }
    return count
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

  /// Waits until a program that was started is of use.
  /// - Parameters: `pid` and `log` are the files with its process number and with what it said.
  /// - Throws: ``Failure`` with its last words when it has ended, or is not ready in time.
  func wait(
    _ what: String, pid: String, log: String, limit: Duration = .seconds(10), until isSo: () async -> Bool
  ) async throws {
    let end = ContinuousClock.now + limit
    // (a process has no command line for a moment, while it becomes another program)
    var missed = 0
    while ContinuousClock.now < end {
      if await isSo() { return }
      missed = Files.isRunning(pid, naming: folder) ? 0 : missed + 1
      guard missed < 25 else {
        let words = (try? Files.read(log))?.split(separator: "\n").last.map { ": \($0)" } ?? ""
        throw Failure("\(what) ended as soon as it was started\(words) (\(log))")
      }
      try await Task.sleep(for: .milliseconds(20))
    }
    throw Failure("\(what) did not come up within \(Int(limit.components.seconds)) s; its log is \(log)")
  }
}
