import APISupport
import AgentAPI
import ArgumentParser
import BootServices
import CLinux
import Conductor
import Cryptography
import Domain
import DriverInterfaces
import GlanceAPI
import Glibc
import IPMIDriver
import IronicAPI
import KeystoneAPI
import LeapAPI
import Logging
import NIOSSL
import NeutronAPI
import RedfishDriver
import ServiceLifecycle
import Store
import SwitchDrivers
import Wire
import Workflows

struct ServeCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "serve",
    abstract: "Runs the site: every API on one port, the workflows, the boot services and the consoles.")

  @OptionGroup var site: SiteOptions
  @Option(help: "trace, debug, info, warning or error.") var logLevel = "info"

  func run() async throws {
    let level = Logger.Level(rawValue: logLevel) ?? .info
    LoggingSystem.bootstrap { label in
      var handler = StreamLogHandler.standardError(label: label)
      handler.logLevel = level
      return handler
    }
    let logger = Logger(label: "steelyard")
    let lock = try FolderLock(site.data)
    defer { lock.release() }
    raiseFileLimit()
    let configuration = try Configuration.read(site.configurationFile)
    let composition = try await Composition(site: site, configuration: configuration, logger: logger)
    let group = ServiceGroup(
      configuration: .init(
        services: composition.services, gracefulShutdownSignals: [.sigterm, .sigint],
        logger: Logger(label: "services") { _ in SwiftLogNoOpLogHandler() }))
    logger.info("steelyard answers at \(composition.url)")
    try await group.run()
    await composition.close()
    logger.info("steelyard has stopped")
  }

  /// 1,000 controllers and as many clients want more descriptors than the usual 1,024.
  private func raiseFileLimit() {
    var limit = rlimit()
    getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    limit.rlim_cur = limit.rlim_max
    setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
  }
}

/// One server per data folder: a lock that the system takes back when the process ends, however it ends.
struct FolderLock {
  private let descriptor: Int32

  init(_ folder: String) throws {
    descriptor = open("\(folder)/steelyard.lock", O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
    guard descriptor >= 0 else {
      throw Failure(
        "cannot open \(folder)/steelyard.lock: \(String(cString: strerror(errno))); has `steelyard init` been run?")
    }
    guard clinux_lock_file(descriptor) == 0 else {
      close(descriptor)
      throw Failure("another server runs on \(folder)")
    }
  }
  func release() { close(descriptor) }
}
