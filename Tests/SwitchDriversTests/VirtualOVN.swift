import Domain
import DriverInterfaces
import Glibc
import Logging
import Processes
import TestSupport
import Testing

@testable import SwitchDrivers

/// OVN's two databases and ovn-northd, by themselves: unix sockets, no namespace, no daemon of the system's.
final class VirtualOVN: Sendable {
  let folder: String
  var northbound: String { "unix:\(folder)/nb.sock" }

  private init(folder: String) { self.folder = folder }

  /// - Parameter translates: false leaves out ovn-northd, which makes of the northbound rows what the chassis do.
  static func with(translates: Bool = true, _ body: (VirtualOVN) async throws -> Void) async throws {
    let ovn = VirtualOVN(folder: try makeTemporaryFolder("ovn"))
    do {
      try await ovn.start(translates: translates)
      try await body(ovn)
    } catch {
      await ovn.stop()
      throw error
    }
    await ovn.stop()
  }

  private func start(translates: Bool) async throws {
    for name in ["nb", "sb"] {
      try await runChecked("ovsdb-tool", ["create", "\(folder)/\(name).db", "/usr/share/ovn/ovn-\(name).ovsschema"])
      try await runChecked(
        "ovsdb-server", ["--remote=punix:\(folder)/\(name).sock"] + daemon(name) + ["\(folder)/\(name).db"])
    }
    try await nbctl(["init"])
    try await runChecked("ovn-sbctl", ["--db=unix:\(folder)/sb.sock", "--timeout=20", "init"])
    if translates { try await startNorthd() }
  }
  func startNorthd() async throws {
    try await runChecked(
      "ovn-northd", ["--ovnnb-db=\(northbound)", "--ovnsb-db=unix:\(folder)/sb.sock"] + daemon("northd"))
  }
  private func daemon(_ name: String) -> [String] {
    [
      "--pidfile=\(folder)/\(name).pid", "--log-file=\(folder)/\(name).log", "--unixctl=\(folder)/\(name).ctl",
      "--detach", "--no-chdir",
    ]
  }

  /// Makes a chassis of a switch: its bridge carries the physical network `datacentre`.
  func addChassis(_ name: String, on home: VirtualSwitch, encapsulation: String = "127.0.0.1") async throws {
    let settings = [
      "system-id=\(name)", "ovn-remote=unix:\(folder)/sb.sock", "ovn-encap-type=geneve",
      "ovn-encap-ip=\(encapsulation)", "ovn-bridge-mappings=datacentre:\(home.bridge)",
      "ovn-bridge-datapath-type=netdev",
    ]
    try await home.vsctl(["set", "Open_vSwitch", "."] + settings.map { "external_ids:\($0)" })
    try await startController(name, on: home)
  }
  func startController(_ name: String, on home: VirtualSwitch) async throws {
    let environment = home.environment.merging(["OVN_RUNDIR": folder, "OVN_LOGDIR": folder]) { $1 }
    try await runChecked(
      "ovn-controller", ["unix:\(home.databaseSocket)"] + daemon(name).filter { !$0.hasPrefix("--unixctl") },
      environment: environment, namespace: home.namespace)
  }
  /// Ends one of the daemons: "northd", or a chassis by its name.
  func end(_ name: String) async throws {
    let process = try processID(inFile: "\(folder)/\(name).pid")
    let own = "\(folder)/\(name).ctl"
    // (ovn-controller chooses the name of its control socket itself)
    let control = access(own, F_OK) == 0 ? own : "\(folder)/ovn-controller.\(process).ctl"
    _ = try? await run("ovn-appctl", ["-t", control, "exit"], timeout: .seconds(5))
    try await until("\(name) ends") { kill(process, 0) != 0 }
  }

  @discardableResult
  func nbctl(_ arguments: [String]) async throws -> String {
    try await runChecked("ovn-nbctl", ["--db=\(northbound)", "--timeout=20"] + arguments).text
  }
  func driver(chassis: [String] = ["c1"], seesSouth: Bool = false, limit: Duration = .seconds(10)) throws -> OVNRouting
  {
    try OVNRouting(
      OVNConfiguration(
        northbound: northbound, southbound: seesSouth ? "unix:\(folder)/sb.sock" : nil, chassis: chassis,
        physicalNetworks: ["datacentre"]),
      logger: Logger(label: "test"), limit: limit)
  }

  private func stop() async {
    // What works on the databases first.
    let daemons = fileNames(in: folder).filter { $0.hasSuffix(".pid") }.map { String($0.dropLast(4)) }
    for name in daemons where name != "nb" && name != "sb" { try? await end(name) }
    for name in ["nb", "sb"] { try? await end(name) }
    for name in daemons {
      if let process = try? processID(inFile: "\(folder)/\(name).pid") { kill(process, SIGKILL) }
    }
    _ = try? await run("rm", ["-rf", folder])
  }
}

/// The process number that a daemon wrote down.
func processID(inFile path: String) throws -> pid_t {
  let file = open(path, O_RDONLY | O_CLOEXEC)
  defer { if file >= 0 { close(file) } }
  var bytes = [UInt8](repeating: 0, count: 16)
  let count = read(file, &bytes, bytes.count)
  guard let process = pid_t(String(decoding: bytes.prefix(max(count, 0)).prefix { $0 >= 48 }, as: UTF8.self)) else {
    throw Late(what: path)
  }
  return process
}
