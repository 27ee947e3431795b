import Domain
import DriverInterfaces
import Glibc
import Processes
import TestSupport
import Testing

@testable import SwitchDrivers

/// A leaf of a fabric as Debian makes one: Linux' bridges and VXLAN devices, with FRR's zebra and bgpd, in a network namespace of
/// its own, and a shell behind a real `sshd`. The test holds the far ends of its taps, as machines do.
struct LinuxLeaf: Sendable {
  let number: Int
  let namespace: String
  let folder: String
  let taps: [String: Tap]
  let driver: any SwitchInterface
  /// Runs a command there, as a hand.
  let type: @Sendable (_ command: String) async throws -> String

  private static let counter = Counter()

  /// Two leaves with a cable between them, over which BGP and the tunnels go.
  /// - Parameter machines: names of taps, of each leaf.
  static func pair(
    _ machines: [[String]], _ body: @escaping @Sendable (LinuxLeaf, LinuxLeaf) async throws -> Void
  ) async throws {
    try await withFolder("fabric") { folder in
      // FRR's daemons are not root's.
      chmod(folder, 0o755)
      let names = (1...2).map { _ in "sye\(getpid())-\(counter.next())" }
      do {
        for name in names {
          try await runChecked("ip", ["netns", "add", name])
          try await runChecked("ip", ["-n", name, "link", "set", "lo", "up"])
        }
        try await runChecked(
          "ip",
          [
            "link", "add", "underlay", "netns", names[0], "mtu", "1600", "type", "veth", "peer", "name", "underlay",
            "netns", names[1], "mtu", "1600",
          ])
        try await with(names[0], 1, folder, machines[0]) { first in
          try await with(names[1], 2, folder, machines[1]) { second in try await body(first, second) }
        }
      } catch {
        for name in names { _ = try? await run("ip", ["netns", "del", name]) }
        throw error
      }
      for name in names { _ = try? await run("ip", ["netns", "del", name]) }
    }
  }

  private static func with(
    _ namespace: String, _ number: Int, _ root: String, _ machines: [String],
    _ body: @escaping @Sendable (LinuxLeaf) async throws -> Void
  ) async throws {
    let folder = "\(root)/leaf\(number)"
    for path in [folder, "\(folder)/run", "/run/frr"] { mkdir(path, 0o755) }
    try await runChecked("chown", ["frr:frr", "\(folder)/run"])
    let address = "172.31.9.\(number)", peer = "172.31.9.\(3 - number)"
    try await runChecked("ip", ["-n", namespace, "addr", "add", "\(address)/24", "dev", "underlay"])
    try await runChecked("ip", ["-n", namespace, "link", "set", "underlay", "up"])
    try ContractBench.write("hostname leaf\(number)\n", to: "\(folder)/zebra.conf", mode: 0o644)
    try ContractBench.write(
      """
      hostname leaf\(number)
      router bgp 65000
       bgp router-id \(address)
       no bgp default ipv4-unicast
       neighbor \(peer) remote-as 65000
       neighbor \(peer) timers connect 1
       address-family l2vpn evpn
        neighbor \(peer) activate
        advertise-all-vni
       exit-address-family

      """, to: "\(folder)/bgpd.conf", mode: 0o644)
    // As on a machine of its own: the daemons' sockets are where vtysh looks for them.
    try await writeExecutable(
      """
      #!/bin/sh
      exec ip netns exec \(namespace) unshare -m sh -c 'mount --bind \(folder)/run /run/frr && exec "$@"' sh "$@"

      """, to: "\(folder)/inside", mode: 0o755)
    let daemons = ["zebra", "bgpd"]
    let stop = { @Sendable () async in
      for name in daemons {
        if let process = try? processID(inFile: "\(folder)/run/\(name).pid") { kill(process, SIGTERM) }
      }
    }
    do {
      for name in daemons {
        // Without a port for people: they come through the socket.
        try await runChecked(
          "\(folder)/inside", ["/usr/lib/frr/\(name)", "-d", "-P", "0", "-f", "\(folder)/\(name).conf"])
      }
      var taps: [String: Tap] = [:]
      for name in machines { taps[name] = try await Tap(name, in: namespace) }
      let opened = taps
      try await SecureShell.with(folder, ["ForceCommand=\(folder)/inside bash --noprofile --norc -i"]) { shell in
        var site = SwitchConfiguration(
          name: "leaf-\(number)", kind: "linux-frr", endpoint: "ssh://127.0.0.1:\(shell.port)", uplinks: ["underlay"])
        site.username = "root"
        site.keyFile = "\(folder)/user"
        site.hostKey = try await shell.hostKey
        site.limit = .seconds(10)
        site.leaf = EVPNLeaf(fabric: "pod-1", address: address)
        let driver = try ContractBench.registry(site).switchNamed(site.name)
        try await body(
          LinuxLeaf(number: number, namespace: namespace, folder: folder, taps: opened, driver: driver) {
            try await runChecked("\(folder)/inside", ["sh", "-ec", $0]).text
          })
      }
    } catch {
      await stop()
      throw error
    }
    await stop()
  }
}
