import Domain
import DriverInterfaces
import Glibc
import Processes
import TestSupport
import Testing

@testable import SwitchDrivers

/// A target on a tenant's network (a real tgtd) and machines that log in to it (libiscsi), each in a network namespace on a port of a real switch.
@Suite struct StorageNetworkTests {
  /// A host with one card, wired to a port of the switch that has its name.
  private struct Host {
    let namespace: String

    init(_ port: String, _ address: String, on home: VirtualSwitch) async throws {
      namespace = "\(home.namespace)-\(port)"
      try await runChecked("ip", ["netns", "add", namespace])
      try await runChecked(
        "ip",
        ["link", "add", port, "netns", home.namespace, "type", "veth", "peer", "name", "eth0", "netns", namespace])
      try await runChecked("ip", ["-n", home.namespace, "link", "set", port, "up"])
      // A userspace datapath passes on checksums that nobody has filled in.
      try await runChecked("ethtool", ["-K", "eth0", "tx", "off"], namespace: namespace)
      try await runChecked("ip", ["-n", namespace, "addr", "add", "\(address)/24", "dev", "eth0"])
      try await runChecked("ip", ["-n", namespace, "link", "set", "eth0", "up"])
      try await home.addPorts([port])
    }
    func remove() async { _ = try? await run("ip", ["netns", "del", namespace]) }

    /// Whether it can log in to the target, and sees its disk.
    func logsIn() async throws -> Bool {
      let answer = try? await run(
        "iscsi-ls", ["-s", "iscsi://\(Target.address):3260"], namespace: namespace, timeout: .seconds(2))
      return answer?.text.contains("DIRECT_ACCESS") == true
    }
  }

  private struct Target {
    static let address = "10.5.0.10"
    let folder: String
    private var environment: [String: String] { ["TGT_IPC_SOCKET": "\(folder)/ipc"] }

    func start(on host: Host) async throws {
      // Its end would remove the file.
      try await runChecked(
        "tgtd", ["-p", "\(folder)/pid", "--iscsi", "portal=\(Self.address):3260"], environment: environment,
        namespace: host.namespace)
      let disk = try #require(fopen("\(folder)/disk", "w"))
      ftruncate(fileno(disk), 1 << 20)
      fclose(disk)
      try await until("tgtd answers") {
        try await run("tgtadm", ["--op", "show", "--mode", "sys"], environment: environment).status == 0
      }
      try await administer(["--op", "new", "--mode", "target", "--tid", "1", "-T", "iqn.2026-11.test:volume"])
      try await administer(["--op", "new", "--mode", "logicalunit", "--tid", "1", "--lun", "1", "-b", "\(folder)/disk"])
      try await administer(["--op", "bind", "--mode", "target", "--tid", "1", "-I", "ALL"])
    }
    func stop() async {
      let process = try? processID(inFile: "\(folder)/pid")
      try? await administer(["--op", "delete", "--mode", "target", "--tid", "1", "--force"])
      try? await administer(["--op", "delete", "--mode", "system"])
      if let process { try? await until("tgtd ends") { access("/proc/\(process)/exe", F_OK) != 0 } }
    }
    private func administer(_ arguments: [String]) async throws {
      try await runChecked("tgtadm", ["--lld", "iscsi"] + arguments, environment: environment)
    }
  }

  @Test(.timeLimit(.minutes(1))) func abuse39_theInitiatorOfThePreviousTenantCannotLogInAgain() async throws {
    try await VirtualSwitch.with { home, _ in
      try await withFolder("storage-network") { folder in
        let wired = try WiredSite(home, folder: folder)
        var hosts: [Host] = []
        let target = Target(folder: folder)
        do {
          // The machine keeps its operating system with the initiator, as if it could not be erased.
          let machine = try await Host("n1", "10.5.0.20", on: home)
          hosts.append(machine)
          let storage = try await Host("storage", Target.address, on: home)
          hosts.append(storage)
          let colleague = try await Host("colleague", "10.5.0.21", on: home)
          hosts.append(colleague)
          try await target.start(on: storage)
          let first = PortConfiguration(native: 205)
          try await home.driver().apply(["n1": first, "storage": first, "colleague": first], label: nil)
          try await until("the machine logs in: the scene") { try await machine.logsIn() }

          let report = try await wired.site.play(.endLease)
          #expect(report["state"] == "available", "\(report)")
          let afterTheLease = try await machine.logsIn()
          #expect(!afterTheLease, "between two tenants")

          // The next tenant has the machine on a network of their own, where its addresses are the same.
          try await home.driver().apply(["n1": PortConfiguration(native: 206)], label: nil)
          let withTheNext = try await machine.logsIn()
          #expect(!withTheNext, "the next tenant's machine")
          #expect(try await colleague.logsIn(), "the target is there all the time")
        } catch {
          await target.stop()
          for host in hosts { await host.remove() }
          wired.database.close()
          throw error
        }
        await target.stop()
        for host in hosts { await host.remove() }
        wired.database.close()
      }
    }
  }
}
