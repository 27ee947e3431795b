import Domain
import DriverInterfaces
import Logging
import Processes
import ServiceLifecycle

/// DHCP and TFTP on the provisioning network by a supervised dnsmasq.
///
/// Admission is a file per NIC in dnsmasq's `dhcp-hostsdir`, in force within a millisecond. dnsmasq 2.90 crashes when a served
/// reservation's file is removed and it is told to read again (design notes, network §6), so nothing is ever removed while it
/// runs and it never gets SIGHUP: denial is one more line, `MAC,ignore`, which wins because the newest does.
public final class DnsmasqBoot: BootInterface, Service {
  private let reservations: Reservations
  private let process: SupervisedProcess
  private let leasePatience: Duration

  /// Makes the folder's files anew from what is admitted.
  /// - Parameter leasePatience: how long another machine's lease of an address is waited for; leases of volumes' addresses have
  ///   two minutes, the shortest there is.
  public init(_ configuration: DnsmasqConfiguration, leasePatience: Duration = .seconds(130)) throws {
    self.leasePatience = leasePatience
    let reservations = try Reservations(configuration)
    self.reservations = reservations
    let folder = configuration.folder
    process = try SupervisedProcess(
      "dnsmasq",
      ["--keep-in-foreground", "--conf-file=\(folder)/dnsmasq.conf", "--pid-file=\(folder)/dnsmasq.self.pid"],
      namespace: configuration.namespace, logFile: "\(folder)/dnsmasq.log", pidFile: "\(folder)/dnsmasq.pid",
      beforeStart: { try reservations.prepare() })
  }

  /// Runs dnsmasq until graceful shutdown or cancellation.
  public func run() async throws {
    await cancelWhenGracefulShutdown { try? await self.process.run() }
  }

  /// The state of dnsmasq: for `doctor` and tests.
  public var supervision: SupervisedProcess.State { process.state }

  public func ensureAdmitted(_ macs: [MACAddress], label: String) async throws {
    try await onThread { [reservations] in try reservations.admit(macs, label: label) }
  }

  public func ensureVolumeBoot(_ mac: MACAddress, address: String, label: String) async throws {
    guard let address = IPAddress(address), address.version == 4 else {
      throw DriverError(.misconfigured, device: .bootServices, detail: "\(address) is not an IPv4 address")
    }
    let end = ContinuousClock.now + leasePatience
    while let holder = try await onThread({ [reservations] in reservations.holder(of: address) }), holder != mac {
      guard ContinuousClock.now < end else {
        throw DriverError(
          .busy, device: .bootServices,
          detail: "\(address) is still leased to NIC \(holder), which booted from a volume before")
      }
      try await Task.sleep(for: .seconds(1))
    }
    try await onThread { [reservations] in try reservations.admit([mac], label: label, address: address) }
  }

  public func ensureDenied(_ macs: [MACAddress]) async throws {
    try await onThread { [reservations] in try reservations.deny(macs) }
  }

  public func admitted() async throws -> [MACAddress: String] {
    try await onThread { [reservations] in reservations.labels() }
  }
}

/// Runs blocking file work on a thread of its own.
private func onThread<T: Sendable>(_ body: @escaping @Sendable () throws -> T) async throws -> T {
  try await withCheckedThrowingContinuation { continuation in
    startThread("boot-files") { continuation.resume(with: Result { try body() }) }
  }
}
