import Glibc
import Processes

/// The switch: an Open vSwitch of its own with the userspace datapath, in the lab's namespace.
struct LabSwitch {
  let lab: Laboratory
  init(_ lab: Laboratory) { self.lab = lab }

  private var folder: String { "\(lab.folder)/switch" }
  private var environment: [String: String] {
    ["OVS_RUNDIR": folder, "OVS_LOGDIR": folder, "OVS_DBDIR": folder, "OVS_SYSCONFDIR": folder]
  }

  var isDatabaseRunning: Bool { Files.isRunning("\(folder)/ovsdb.pid", naming: folder) }
  var isRunning: Bool { Files.isRunning("\(folder)/vswitchd.pid", naming: folder) }

  func up(_ machines: [LabMachine]) async throws {
    try Files.makeFolder(folder)
    if !Files.exists("/run/netns/\(lab.namespace)") { _ = try await runChecked("ip", ["netns", "add", lab.namespace]) }
    _ = try await runChecked("ip", ["-n", lab.namespace, "link", "set", "lo", "up"])
    if !Files.exists("\(folder)/conf.db") {
      _ = try await runChecked(
        "ovsdb-tool", ["create", "\(folder)/conf.db", "/usr/share/openvswitch/vswitch.ovsschema"])
    }
    if !isDatabaseRunning {
      unlink(lab.switchSocket)
      try await lab.launch(
        "ovsdb-server", ["\(folder)/conf.db", "--remote=punix:\(lab.switchSocket)", "--unixctl=\(folder)/ovsdb.ctl"],
        environment: environment, inNamespace: true,
        log: "\(folder)/ovsdb.log", pid: "\(folder)/ovsdb.pid")
      try await lab.wait("the switch's database", pid: "\(folder)/ovsdb.pid", log: "\(folder)/ovsdb.log") {
        Sockets.answers(lab.switchSocket)
      }
      try await control(["--no-wait", "init"])
    }
    if !isRunning {
      unlink("\(folder)/vswitchd.ctl")
      try await lab.launch(
        "ovs-vswitchd", ["unix:\(lab.switchSocket)", "--unixctl=\(folder)/vswitchd.ctl"], environment: environment,
        inNamespace: true,
        log: "\(folder)/vswitchd.log", pid: "\(folder)/vswitchd.pid")
      try await lab.wait("the switch", pid: "\(folder)/vswitchd.pid", log: "\(folder)/vswitchd.log") {
        Sockets.answers("\(folder)/vswitchd.ctl")
      }
    }
    let bridge = Laboratory.switchName
    var commands = [
      "--may-exist", "add-br", bridge, "--", "set", "bridge", bridge, "datapath_type=netdev",
      "other_config:hwaddr=\"\(Laboratory.switchID)\"",
    ]
    // So long flows of a port's old networks may live on: the driver waits for that.
    commands += ["--", "set", "Open_vSwitch", ".", "other_config:max-revalidator=100"]
    commands += ["--", "--may-exist", "add-port", bridge, "prov", "tag=\(Laboratory.provisioningVLAN)"]
    commands += ["--", "set", "interface", "prov", "type=internal"]
    for tap in machines.flatMap(\.taps) {
      _ = try await run("ip", ["-n", lab.namespace, "tuntap", "add", "dev", tap, "mode", "tap"])
      _ = try await runChecked(
        "ip", ["-n", lab.namespace, "link", "set", tap, "address", Laboratory.switchID, "up"])
      // A port that nobody has configured yet carries nothing: a VLAN that no network has.
      commands += ["--", "--may-exist", "add-port", bridge, tap, "vlan_mode=trunk", "trunks=4095", "protected=true"]
      // The switch says its name and the port's to whoever listens: how machines learn their wiring.
      commands += ["--", "set", "interface", tap, "lldp:enable=true"]
    }
    try await control(commands)
    _ = try await runChecked(
      "ip", ["-n", lab.namespace, "addr", "replace", "\(Laboratory.provisioningAddress)/24", "dev", "prov"])
    _ = try await runChecked("ip", ["-n", lab.namespace, "link", "set", "prov", "up"])
  }

  private func control(_ arguments: [String]) async throws {
    _ = try await runChecked(
      "ovs-vsctl", ["--db=unix:\(lab.switchSocket)", "--timeout=20"] + arguments, environment: environment)
  }

  /// What each port carries, as the switch's own tool prints it.
  func ports() async -> String {
    let result = try? await run(
      "ovs-vsctl",
      [
        "--db=unix:\(lab.switchSocket)", "--timeout=5", "--format=table",
        "--columns=name,tag,trunks,vlan_mode,protected", "list", "port",
      ],
      environment: environment)
    return result?.text ?? ""
  }

  func down() async throws {
    if isRunning {
      // Its own way out also removes the datapath's devices; a signal would leave them.
      _ = try? await run("ovs-appctl", ["-t", "\(folder)/vswitchd.ctl", "exit", "--cleanup"], timeout: .seconds(5))
      for _ in 0..<50 where isRunning {
        try await Task.sleep(for: .milliseconds(20))
      }
    }
    await Files.end("\(folder)/vswitchd.pid", naming: folder)
    await Files.end("\(folder)/ovsdb.pid", naming: folder)
  }
}
