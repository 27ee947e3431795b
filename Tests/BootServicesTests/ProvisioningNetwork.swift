import BootServices
import Domain
import Glibc
import Processes
import Synchronization
import TestSupport
import Testing

/// A provisioning network in a namespace of its own: one interface with the server's address, its far end the machines'.
struct ProvisioningNetwork: Sendable {
  static let server = "172.30.0.1"
  let namespace: String
  let folder: String
  let machines: DHCPClient

  private static let counter = Mutex(0)

  static func with(_ body: @Sendable (ProvisioningNetwork) async throws -> Void) async throws {
    let number = counter.withLock { number in
      number += 1
      return number
    }
    let id = "syboot\(getpid())-\(number)"
    try await runChecked("ip", ["netns", "add", id])
    do {
      let machines = try await DHCPClient(tap: "prov0", in: id)
      try await runChecked("ip", ["-n", id, "address", "add", "\(server)/24", "dev", "prov0"])
      try await runChecked("ip", ["-n", id, "link", "set", "prov0", "up"])
      try await body(ProvisioningNetwork(namespace: id, folder: "/tmp/\(id)", machines: machines))
    } catch {
      await remove(id)
      throw error
    }
    await remove(id)
  }
  private static func remove(_ id: String) async {
    _ = try? await Processes.run("ip", ["netns", "del", id])
    _ = try? await Processes.run("rm", ["-rf", "/tmp/\(id)"])
  }

  func configuration(last: String = "172.30.0.199", strangers: AddressRange? = nil) throws -> DnsmasqConfiguration {
    try DnsmasqConfiguration(
      interface: "prov0", namespace: namespace, server: #require(BootServer(address: Self.server, port: 8081)),
      first: "172.30.0.100", last: last, prefix: 24, strangers: strangers,
      volumeAddresses: AddressRange("172.30.0.50", "172.30.0.59"), folder: folder)
  }

  /// Runs the boot services while `body` runs.
  func serve(
    last: String = "172.30.0.199", strangers: AddressRange? = nil,
    _ body: @Sendable (DnsmasqBoot) async throws -> Void
  ) async throws {
    let boot = try DnsmasqBoot(configuration(last: last, strangers: strangers), leasePatience: .zero)
    let running = Task { try await boot.run() }
    do {
      try await until("dnsmasq runs") { boot.supervision.process != nil && isListening }
      try await body(boot)
    } catch {
      running.cancel()
      _ = await running.result
      throw error
    }
    running.cancel()
    try await running.value
  }

  /// dnsmasq says in its log that it is ready, once for each start.
  var isListening: Bool { starts > 0 }
  var starts: Int { log.split(separator: "\n").count { $0.contains(": started, version") } }
  var log: String { contents("\(folder)/dnsmasq.log") }

  /// The processes of dnsmasq with this folder's configuration.
  func servers() async throws -> [pid_t] {
    let line = try await Processes.run("pgrep", ["-f", "dnsmasq --keep-in-foreground --conf-file=\(folder)/"]).text
    return line.split(separator: "\n").compactMap { pid_t($0) }
  }
}

func contents(_ path: String) -> String {
  guard let file = fopen(path, "re") else { return "" }
  defer { fclose(file) }
  var bytes: [UInt8] = []
  var buffer = [UInt8](repeating: 0, count: 65536)
  while case let count = fread(&buffer, 1, buffer.count, file), count > 0 { bytes += buffer[..<count] }
  return String(decoding: bytes, as: UTF8.self)
}
