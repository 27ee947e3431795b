import Glibc
import Processes

/// OVN beside the switch: its two databases, ovn-northd, and the switch as the one chassis, which carries tenants' DHCP,
/// routers and floating IPs. Nothing of it needs the system's own services.
struct LabOVN {
  let lab: Laboratory
  init(_ lab: Laboratory) { self.lab = lab }

  static let chassis = "lab"
  /// What the server's configuration calls the machines' switch.
  static let physicalNetwork = "datacentre"

  private var folder: String { "\(lab.folder)/ovn" }
  private var environment: [String: String] {
    ["OVS_RUNDIR": "\(lab.folder)/switch", "OVN_RUNDIR": folder, "OVN_LOGDIR": folder, "OVN_DBDIR": folder]
  }
  private var southbound: String { "unix:\(folder)/sb.sock" }
  var northbound: String { "unix:\(folder)/nb.sock" }

  /// The lab was once started with it.
  var isWanted: Bool { Files.exists(folder) }
  private static let daemons = ["nb", "sb", "northd", "controller"]
  /// Names of what does not run.
  var missing: [String] {
    Self.daemons.filter { !Files.isRunning("\(folder)/\($0).pid", naming: lab.folder) }.map { "OVN's \($0)" }
  }

  /// Starts what does not run. The switch is up already.
  func up() async throws {
    try Files.makeFolder(folder)
    for name in ["nb", "sb"] { try await startDatabase(name) }
    try await start("northd", "ovn-northd", ["--ovnnb-db=\(northbound)", "--ovnsb-db=\(southbound)"])
    let settings = [
      "system-id=\(Self.chassis)", "ovn-remote=\(southbound)", "ovn-encap-type=geneve", "ovn-encap-ip=127.0.0.1",
      "ovn-bridge-mappings=\(Self.physicalNetwork):\(Laboratory.switchName)", "ovn-bridge-datapath-type=netdev",
    ]
    _ = try await runChecked(
      "ovs-vsctl",
      ["--db=unix:\(lab.switchSocket)", "--timeout=20", "set", "Open_vSwitch", "."]
        + settings.map { "external_ids:\($0)" })
    try await start("controller", "ovn-controller", ["unix:\(lab.switchSocket)"], inNamespace: true)
  }

  private func startDatabase(_ name: String) async throws {
    let pid = "\(folder)/\(name).pid", socket = "\(folder)/\(name).sock"
    guard !Files.isRunning(pid, naming: lab.folder) else { return }
    if !Files.exists("\(folder)/\(name).db") {
      _ = try await runChecked(
        "ovsdb-tool", ["create", "\(folder)/\(name).db", "/usr/share/ovn/ovn-\(name).ovsschema"])
    }
    unlink(socket)
    let arguments = ["\(folder)/\(name).db", "--remote=punix:\(socket)", "--unixctl=\(folder)/\(name).ctl"]
    try await lab.launch(
      "ovsdb-server", arguments, environment: environment, log: "\(folder)/\(name).log", pid: pid)
    try await lab.wait("OVN's database \(name)", pid: pid, log: "\(folder)/\(name).log") { Sockets.answers(socket) }
    _ = try await runChecked("ovn-\(name)ctl", ["--db=unix:\(socket)", "--timeout=20", "init"])
  }

  private func start(_ name: String, _ program: String, _ arguments: [String], inNamespace: Bool = false) async throws {
    let pid = "\(folder)/\(name).pid", log = "\(folder)/\(name).log"
    guard !Files.isRunning(pid, naming: lab.folder) else { return }
    try await lab.launch(
      program, arguments, environment: environment, inNamespace: inNamespace, log: log, pid: pid)
    // (both have nothing to show when they are ready; one that cannot start ends at once)
    var looks = 0
    try await lab.wait(program, pid: pid, log: log) {
      looks += 1
      return looks > 5 && Files.isRunning(pid, naming: lab.folder)
    }
  }

  func down() async {
    // What works on the databases first.
    for name in Self.daemons.reversed() { await Files.end("\(folder)/\(name).pid", naming: lab.folder) }
  }
}
