import Glibc
import Processes
import Wire

/// An IPMI 2.0 controller of one machine: OpenIPMI's `ipmi_sim`, with a real Serial over LAN.
struct IPMISimulator {
  let lab: Laboratory
  let machine: LabMachine
  init(_ lab: Laboratory, _ machine: LabMachine) {
    self.lab = lab
    self.machine = machine
  }
  private var folder: String { lab.machineFolder(machine.index) }
  var isRunning: Bool { Files.isRunning("\(folder)/controller.pid", naming: folder) }

  /// Starts it unless it runs. Without `history=` in `sol`: with it, `ipmi_sim` drops what a slow reader has not taken.
  func start(password: String = Laboratory.controllerPassword) async throws {
    guard !isRunning else { return }
    try lab.requireFree([(.udp, machine.controllerAddress, 623)], machine)
    try Files.makeFolder("\(folder)/ipmi-state")
    try Files.write(
      "\(folder)/lan.conf",
      """
      name "\(machine.name)"
      set_working_mc 0x20
        startlan 1
          addr \(machine.controllerAddress) 623
          priv_limit admin
          allowed_auths_callback md5
          allowed_auths_user md5
          allowed_auths_operator md5
          allowed_auths_admin md5
          guid a123456789abcdefa12345670000\(String(1000 + machine.index))
        endlan
        chassis_control "\(folder)/ipmi-chassis 0x20"
        sol "tcp:\(machine.serialAddress):\(machine.serialPort)" 115200
        startnow false
        user 1 false "" "x" user 10 none
        user 2 true "\(Laboratory.controllerUser)" "\(password)" admin 10 md5

      """, mode: 0o600)
    try Files.write(
      "\(folder)/ipmi.emu",
      """
      mc_setbmc 0x20
      mc_add 0x20 0 has-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02 persist_sdr
      sel_enable 0x20 1000 0x0a
      mc_enable 0x20

      """)
    try await lab.launch(
      "ipmi_sim", ["-c", "\(folder)/lan.conf", "-f", "\(folder)/ipmi.emu", "-s", "\(folder)/ipmi-state", "-n"],
      log: "\(folder)/controller.log", pid: "\(folder)/controller.pid")
    // It listens, and with that it has called its serial line: a machine that starts now is heard from the first byte.
    try await lab.wait(
      "the controller of \(machine.name)", pid: "\(folder)/controller.pid", log: "\(folder)/controller.log"
    ) { Sockets.isTaken(.udp, machine.controllerAddress, 623) }
  }

  func stop() async { await Files.end("\(folder)/controller.pid", naming: folder) }
}

/// The Redfish controllers: one simulator process for all of them, with TLS.
struct RedfishControllers {
  let lab: Laboratory
  init(_ lab: Laboratory) { self.lab = lab }
  var isRunning: Bool { Files.isRunning("\(lab.folder)/redfish.pid", naming: lab.folder) }

  /// - Returns: the certificates' fingerprints by machine.
  func start(_ machines: [LabMachine]) async throws -> [Int: String] {
    guard !machines.isEmpty else { return [:] }
    let log = "\(lab.folder)/redfish.log"
    if !isRunning {
      for machine in machines { try lab.requireFree([(.tcp, machine.controllerAddress, 8443)], machine) }
      let bmcs = machines.map { machine -> JSON in
        [
          "name": .string(machine.name), "address": .string("\(machine.controllerAddress):8443"),
          "control": [.string("\(lab.machineFolder(machine.index))/control")],
          "username": .string(Laboratory.controllerUser),
          "password": .string(Laboratory.controllerPassword), "tls": true, "mode": .string(machine.firmware.rawValue),
          // A controller that was started again is still the one that somebody has enrolled.
          "identity": .string(lab.machineFolder(machine.index)),
        ]
      }
      try Files.write("\(lab.folder)/redfish.json", JSON.object(["bmcs": .array(bmcs)]).description, mode: 0o600)
      unlink(log)
      let simulator =
        String(lab.program[..<(lab.program.lastIndex(of: "/") ?? lab.program.startIndex)]) + "/steelyard-simulator"
      try await lab.launch(
        simulator,
        [
          "redfish", "--config", "\(lab.folder)/redfish.json", "--log", "\(lab.folder)/redfish-effects.jsonl",
          "--faults", "unix:\(lab.folder)/redfish-faults.sock",
        ],
        log: log, pid: "\(lab.folder)/redfish.pid")
    }
    try await lab.wait(
      "the Redfish controllers", pid: "\(lab.folder)/redfish.pid", log: log, limit: .seconds(20)
    ) {
      (try? Files.read(log))?.contains("ready") == true
    }
    var fingerprints: [Int: String] = [:]
    for line in try Files.read(log).split(separator: "\n") {
      let words = line.split(separator: " ")
      guard words.count >= 3, let machine = machines.first(where: { $0.name == words[0] }) else { continue }
      fingerprints[machine.index] = String(words[2])
    }
    return fingerprints
  }
}
