import CLinux
import Domain
import Glibc
import Processes
import Synchronization
import TestSupport
import Testing

@testable import SwitchDrivers

/// A real Open vSwitch in a network namespace of its own, with tap devices as its ports.
///
/// The test holds the far end of each tap: a frame is one write or read, with its VLAN tag in place.
final class VirtualSwitch: Sendable {
  let namespace: String
  let folder: String
  let bridge = "br0"
  var databaseSocket: String { "\(folder)/db.sock" }
  var controlSocket: String { "\(folder)/vswitchd.ctl" }

  private static let counter = Counter()

  private init(namespace: String, folder: String) {
    self.namespace = namespace
    self.folder = folder
  }

  /// Starts a switch, gives it to `body`, and takes everything away again.
  static func with(
    taps: [String] = [], _ body: (VirtualSwitch, [String: Tap]) async throws -> Void
  ) async throws {
    let id = "sysw\(getpid())-\(counter.next())"
    let home = VirtualSwitch(namespace: id, folder: "/tmp/\(id)")
    do {
      try await home.start()
      var opened: [String: Tap] = [:]
      for name in taps { opened[name] = try await Tap(name, in: home.namespace) }
      if !taps.isEmpty { try await home.addPorts(taps) }
      try await body(home, opened)
    } catch {
      await home.stop()
      throw error
    }
    await home.stop()
  }

  private func start() async throws {
    mkdir(folder, 0o700)
    try await runChecked("ip", ["netns", "add", namespace])
    try await runChecked("ip", ["-n", namespace, "link", "set", "lo", "up"])
    try await runChecked(
      "ovsdb-tool", ["create", "\(folder)/conf.db", "/usr/share/openvswitch/vswitch.ovsschema"])
    try await startDatabase()
    try await vsctl(["--no-wait", "init"])
    try await startDaemon()
    try await vsctl(["add-br", bridge, "--", "set", "bridge", bridge, "datapath_type=netdev"])
  }
  func startDatabase() async throws {
    try await runChecked(
      "ovsdb-server",
      [
        "--remote=punix:\(databaseSocket)", "--remote=ptcp:6640:127.0.0.1", "--pidfile=\(folder)/ovsdb.pid",
        "--log-file=\(folder)/ovsdb.log", "--unixctl=\(folder)/ovsdb.ctl", "--detach", "--no-chdir",
        "\(folder)/conf.db",
      ], environment: environment, namespace: namespace)
  }
  func startDaemon() async throws {
    try await runChecked(
      "ovs-vswitchd",
      [
        "unix:\(databaseSocket)", "--pidfile=\(folder)/vswitchd.pid", "--log-file=\(folder)/vswitchd.log",
        "--unixctl=\(controlSocket)", "--detach", "--no-chdir", "--enable-dummy",
      ], environment: environment, namespace: namespace)
  }
  /// Kills ovs-vswitchd and waits until it is gone.
  func killDaemon() async throws {
    let process = try pid("vswitchd")
    kill(process, SIGKILL)
    try await until("ovs-vswitchd is gone") { kill(process, 0) != 0 }
  }
  func stopDatabase() async throws { try await end("ovsdb") }
  func signalDaemon(_ signal: Int32) throws { kill(try pid("vswitchd"), signal) }
  func signalDatabase(_ signal: Int32) throws { kill(try pid("ovsdb"), signal) }
  /// Kills ovsdb-server, stopped or not, and waits until it is gone.
  func killDatabase() async throws {
    let process = try pid("ovsdb")
    kill(process, SIGKILL)
    try await until("ovsdb-server is gone") { kill(process, 0) != 0 }
  }

  var environment: [String: String] {
    ["OVS_RUNDIR": folder, "OVS_LOGDIR": folder, "OVS_DBDIR": folder, "OVS_SYSCONFDIR": folder]
  }

  @discardableResult
  func vsctl(_ arguments: [String]) async throws -> String {
    try await runChecked("ovs-vsctl", ["--db=unix:\(databaseSocket)", "--timeout=20"] + arguments).text
  }
  /// Adds ports as an administrator does, without any VLAN.
  func addPorts(_ names: [String], type: String? = nil) async throws {
    var arguments: [String] = []
    for name in names {
      if !arguments.isEmpty { arguments.append("--") }
      arguments += ["add-port", bridge, name]
      if let type { arguments += ["--", "set", "interface", name, "type=\(type)"] }
    }
    try await vsctl(arguments)
  }

  /// Joins the switches' namespaces by cables over which tunnels can go: site 1 has 172.31.0.1, site 2 172.31.0.2, and so on.
  ///
  /// The first is in the middle: the others' cables end on its bridge for the network between the sites.
  static func lay(_ sites: [VirtualSwitch]) async throws {
    guard let hub = sites.first else { return }
    for (index, site) in sites.enumerated() {
      // Userspace tunnels need the endpoint's address on an internal port of OVS.
      try await site.vsctl([
        "add-br", "br-phy", "--", "set", "bridge", "br-phy", "datapath_type=netdev",
        "other-config:hwaddr=02:00:00:00:0\(index + 1):fe", "--", "set", "interface", "br-phy", "mtu_request=1600",
      ])
      if index > 0 {
        try await runChecked(
          "ip",
          [
            "link", "add", "cable\(index)", "netns", hub.namespace, "mtu", "1600", "type", "veth", "peer", "name",
            "cable",
            "netns", site.namespace, "mtu", "1600",
          ])
        for (end, name) in [(hub, "cable\(index)"), (site, "cable")] {
          try await runChecked("ip", ["-n", end.namespace, "link", "set", name, "up"])
          try await end.vsctl(["add-port", "br-phy", name, "--", "set", "interface", name, "mtu_request=1600"])
        }
      }
      try await runChecked("ip", ["-n", site.namespace, "addr", "add", "172.31.0.\(index + 1)/24", "dev", "br-phy"])
      try await runChecked("ip", ["-n", site.namespace, "link", "set", "br-phy", "up"])
    }
  }

  /// The driver under test.
  func driver(
    uplinks: Set<String> = [], limit: Duration = .seconds(5), hasControl: Bool = true, tunnels: TunnelEndpoint? = nil
  ) throws -> OpenVSwitch {
    OpenVSwitch(
      name: "tor-1", endpoint: try #require(OVSDBEndpoint("unix:\(databaseSocket)")), bridge: bridge,
      uplinks: uplinks, control: hasControl ? controlSocket : nil, tunnels: tunnels, logger: .init(label: "test"),
      limit: limit)
  }

  /// A rule that takes what is sent untagged by the probe's ports into another VLAN besides: a way between two networks.
  func joinNetworks(_ first: Int, _ second: Int) async throws {
    _ = try await runChecked(
      "ovs-ofctl",
      [
        "add-flow", "unix:\(folder)/\(bridge).mgmt",
        "priority=100,dl_dst=ff:ff:ff:ff:ff:ff,actions=normal,mod_vlan_vid:\(second),flood",
      ])
  }
  /// A hand on the rules of a bridge.
  func ofctl(_ arguments: [String], on bridge: String) async throws {
    try await runChecked(
      "ovs-ofctl", ["-O", "OpenFlow14", arguments[0], "unix:\(folder)/\(bridge).mgmt"] + arguments.dropFirst())
  }
  /// What a port carries that nobody has set up.
  var untouched: PortConfiguration { PortConfiguration(native: 0, tagged: Array(1...4094)) }
  func portID(_ name: String) async throws -> String {
    try await vsctl(["get", "port", name, "_uuid"]).split(whereSeparator: \.isNewline).joined()
  }

  /// The bridge's OpenFlow rules that drop something.
  func rules() async throws -> [String] {
    try await runChecked("ovs-ofctl", ["dump-flows", "unix:\(folder)/\(bridge).mgmt"]).text.split(separator: "\n")
      .map { String($0) }.filter { $0.contains("actions=drop") }
  }

  private func pid(_ name: String) throws -> pid_t { try processID(inFile: "\(folder)/\(name).pid") }

  private func end(_ name: String) async throws {
    let process = try pid(name)
    kill(process, SIGTERM)
    try await until("\(name) ends") { kill(process, 0) != 0 }
  }

  private func stop() async {
    try? signalDaemon(SIGCONT)
    try? signalDatabase(SIGCONT)
    // Without --cleanup the datapath's devices outlive the daemon.
    _ = try? await run("ovs-appctl", ["-t", controlSocket, "exit", "--cleanup"], timeout: .seconds(5))
    let daemon = try? pid("vswitchd")
    if let daemon { try? await until("ovs-vswitchd ends") { kill(daemon, 0) != 0 } }
    if let daemon = try? pid("vswitchd") { kill(daemon, SIGKILL) }
    try? await end("ovsdb")
    _ = try? await run("ip", ["netns", "del", namespace])
    _ = try? await run("rm", ["-rf", folder])
  }
}

/// The far end of a tap device: the network card of a machine.
final class Tap: Sendable {
  let name: String
  private let descriptor: Int32

  init(_ name: String, in namespace: String) async throws {
    self.name = name
    // setns changes the calling thread only.
    descriptor = try await withCheckedThrowingContinuation { continuation in
      startThread("tap") {
        let space = open("/run/netns/\(namespace)", O_RDONLY | O_CLOEXEC)
        defer { close(space) }
        guard space >= 0, clinux_setns_network(space) == 0 else {
          return continuation.resume(throwing: CommandError(program: "setns", reason: .notStarted(errno)))
        }
        let descriptor = clinux_open_tap(name)
        guard descriptor >= 0 else {
          return continuation.resume(throwing: CommandError(program: "tap", reason: .notStarted(errno)))
        }
        _ = fcntl(descriptor, F_SETFL, O_NONBLOCK)
        _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
        continuation.resume(returning: descriptor)
      }
    }
    try await runChecked("ip", ["-n", namespace, "link", "set", "dev", name, "up"])
  }
  deinit { close(descriptor) }

  func send(_ frame: Frame) { send(bytes: frame.bytes) }
  func send(bytes: [UInt8]) { _ = write(descriptor, bytes, bytes.count) }
  /// Every frame of ours that has arrived.
  func received() -> [Frame] { receivedBytes().compactMap { Frame($0) } }
  /// Every frame that has arrived, whosever it is.
  func receivedBytes() -> [[UInt8]] {
    var frames: [[UInt8]] = []
    var buffer = [UInt8](repeating: 0, count: 2048)
    while true {
      let count = read(descriptor, &buffer, buffer.count)
      if count <= 0 { return frames }
      frames.append(Array(buffer[..<count]))
    }
  }
}

/// An Ethernet frame with a mark of ours (EtherType 0x88b5, for experiments), so that other traffic is passed over.
struct Frame: Equatable, Sendable {
  static let broadcast: [UInt8] = [255, 255, 255, 255, 255, 255]
  static func mac(_ last: UInt8) -> [UInt8] { [0x52, 0x54, 0, 0x77, 0, last] }
  var destination = Frame.broadcast
  var source: [UInt8]
  /// VLAN tags from the outside in, with their EtherType.
  var tags: [UInt16] = []
  var outerType: UInt16 = 0x8100
  var mark: UInt32

  var bytes: [UInt8] {
    var out = destination + source
    for (index, tag) in tags.enumerated() {
      let type = index == 0 ? outerType : 0x8100
      out += [UInt8(type >> 8), UInt8(type & 255), UInt8(tag >> 8), UInt8(tag & 255)]
    }
    out += [0x88, 0xb5] + (0..<4).map { UInt8(truncatingIfNeeded: mark >> (24 - 8 * $0)) }
    return out + [UInt8](repeating: 0x5a, count: max(0, 64 - out.count))
  }
  init(
    to destination: [UInt8] = Frame.broadcast, from source: [UInt8], tags: [UInt16] = [], outerType: UInt16 = 0x8100,
    mark: UInt32
  ) {
    self.destination = destination
    self.source = source
    self.tags = tags
    self.outerType = outerType
    self.mark = mark
  }
  init?(_ bytes: [UInt8]) {
    guard bytes.count >= 18 else { return nil }
    destination = Array(bytes[0..<6])
    source = Array(bytes[6..<12])
    var at = 12
    while at + 6 <= bytes.count {
      let type = UInt16(bytes[at]) << 8 | UInt16(bytes[at + 1])
      if type == 0x88b5 {
        mark = bytes[(at + 2)..<(at + 6)].reduce(0) { $0 << 8 | UInt32($1) }
        return
      }
      guard type == 0x8100 || type == 0x88a8 else { return nil }
      tags.append(UInt16(bytes[at + 2]) << 8 | UInt16(bytes[at + 3]))
      at += 4
    }
    return nil
  }
}

final class Counter: Sendable {
  private let value = Mutex(0)
  func next() -> Int {
    value.withLock {
      $0 += 1
      return $0
    }
  }
}
