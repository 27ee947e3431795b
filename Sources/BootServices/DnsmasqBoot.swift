import Domain
import DriverInterfaces
import Glibc
import Logging
import Processes
import ServiceLifecycle

/// DHCP and TFTP on the provisioning network by a supervised dnsmasq.
///
/// Admission is a file per NIC in dnsmasq's `dhcp-hostsdir`, in force within a millisecond. dnsmasq 2.90 crashes when a served
/// reservation's file is removed and it is told to read again (design notes, network §6), so nothing is ever removed while it
/// runs and it never gets SIGHUP: denial is one more line, `MAC,ignore`, which wins because the newest does.
public final class DnsmasqBoot: BootInterface, Service {
  private let configuration: DnsmasqConfiguration
  private let process: SupervisedProcess

  /// Makes the folder's files anew from what is admitted.
  public init(_ configuration: DnsmasqConfiguration) throws {
    self.configuration = configuration
    let folder = configuration.folder
    for path in [folder, configuration.hostsFolder, configuration.labelsFolder, configuration.tftpFolder] {
      guard mkdir(path, 0o755) == 0 || errno == EEXIST else { throw Self.failure("make the folder \(path)") }
    }
    process = try SupervisedProcess(
      "dnsmasq", ["--keep-in-foreground", "--conf-file=\(folder)/dnsmasq.conf", "--pid-file=\(folder)/dnsmasq.self.pid"],
      namespace: configuration.namespace, logFile: "\(folder)/dnsmasq.log", pidFile: "\(folder)/dnsmasq.pid",
      beforeStart: { try Self.prepare(configuration) })
  }

  /// Runs dnsmasq until graceful shutdown or cancellation.
  public func run() async throws {
    await cancelWhenGracefulShutdown { try? await self.process.run() }
  }

  public func ensureAdmitted(_ macs: [MACAddress], label: String) async throws {
    let configuration = configuration
    try await onThread {
      for mac in macs {
        try Self.write("\(configuration.labelsFolder)/\(mac)", label + "\n")
        try Self.write("\(configuration.hostsFolder)/\(mac)", "\(mac),set:admitted\n")
      }
    }
  }

  public func ensureDenied(_ macs: [MACAddress]) async throws {
    let configuration = configuration
    try await onThread {
      for mac in macs where access("\(configuration.labelsFolder)/\(mac)", F_OK) == 0 {
        try Self.write("\(configuration.hostsFolder)/\(mac)", "\(mac),ignore\n")
        guard unlink("\(configuration.labelsFolder)/\(mac)") == 0 || errno == ENOENT else { throw Self.failure("remove the admission of \(mac)") }
      }
    }
  }

  public func admitted() async throws -> [MACAddress: String] {
    let configuration = configuration
    return try await onThread { Self.labels(configuration) }
  }

  // MARK: Files

  private static func labels(_ configuration: DnsmasqConfiguration) -> [MACAddress: String] {
    var found: [MACAddress: String] = [:]
    for name in names(in: configuration.labelsFolder) {
      guard let mac = MACAddress(name) else { continue }
      found[mac] = read("\(configuration.labelsFolder)/\(name)").split(separator: "\n").first.map { String($0) } ?? ""
    }
    return found
  }

  /// Before every start: the configuration, iPXE's programs, and reservations for those who are admitted and nobody else.
  private static func prepare(_ configuration: DnsmasqConfiguration) throws {
    try write("\(configuration.folder)/dnsmasq.conf", configuration.text)
    for name in names(in: configuration.hostsFolder) { unlink("\(configuration.hostsFolder)/\(name)") }
    for mac in labels(configuration).keys { try write("\(configuration.hostsFolder)/\(mac)", "\(mac),set:admitted\n") }
    // An address that a machine had before is no reason to have it again.
    unlink("\(configuration.folder)/leases")
    for program in ["undionly.kpxe", "snponly.efi", "ipxe.efi"] {
      let target = "\(configuration.tftpFolder)/\(program)"
      unlink(target)
      guard symlink("/usr/lib/ipxe/\(program)", target) == 0 else { throw failure("link \(target)") }
    }
  }

  /// Whole or not at all; dnsmasq passes over names that begin with a dot.
  private static func write(_ path: String, _ text: String) throws {
    let slash = path.lastIndex(of: "/") ?? path.startIndex
    let temporary = path[...slash] + "." + path[path.index(after: slash)...] + ".new"
    let descriptor = open(String(temporary), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
    guard descriptor >= 0 else { throw failure("write \(path)") }
    let bytes = Array(text.utf8)
    let isWritten = Glibc.write(descriptor, bytes, bytes.count) == bytes.count
    close(descriptor)
    guard isWritten, rename(String(temporary), path) == 0 else { throw failure("write \(path)") }
  }
  private static func read(_ path: String) -> String {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return "" }
    defer { close(descriptor) }
    var buffer = [UInt8](repeating: 0, count: 512)
    let count = Glibc.read(descriptor, &buffer, buffer.count)
    return String(decoding: buffer.prefix(max(0, count)), as: UTF8.self)
  }
  private static func names(in folder: String) -> [String] {
    guard let handle = opendir(folder) else { return [] }
    defer { closedir(handle) }
    var names: [String] = []
    while let entry = readdir(handle) {
      let name = withUnsafePointer(to: entry.pointee.d_name) {
        $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
      }
      if !name.hasPrefix(".") { names.append(name) }
    }
    return names
  }
  private static func failure(_ what: String) -> DriverError {
    DriverError(
      errno == ENOSPC ? .busy : .refused, device: "boot services", detail: "cannot \(what): \(String(cString: strerror(errno)))")
  }
}

/// Runs blocking file work on a thread of its own.
private func onThread<T: Sendable>(_ body: @escaping @Sendable () throws -> T) async throws -> T {
  try await withCheckedThrowingContinuation { continuation in
    startThread("boot-files") { continuation.resume(with: Result { try body() }) }
  }
}
