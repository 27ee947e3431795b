import APISupport
import AgentAPI
import BootServices
import CinderAPI
import Conductor
import Cryptography
import Domain
import DriverInterfaces
import FakeDriver
import GlanceAPI
import Glibc
import IPMIDriver
import IronicAPI
import KeystoneAPI
import LeapAPI
import Logging
import NIOSSL
import NeutronAPI
import NovaAPI
import OutboundHTTP
import RedfishDriver
import ServiceLifecycle
import Store
import SwitchDrivers
import Webhooks
import Wire

/// The whole server put together: the only place that knows every part.
struct Composition {
  let services: [any ServiceLifecycle.Service]
  /// Where the API answers: "http://127.0.0.1:5000".
  let url: String
  private let parts: Parts

  /// What touches the database and the outside, without the listeners: `doctor` needs no more.
  struct Parts {
    let database: Database
    let conductor: Conductor
    fileprivate let redfish: RedfishHardware
    fileprivate let boot: Boot
    fileprivate let consoles: Consoles
    fileprivate let imageFolder: ImageFolder

    func close() async {
      await conductor.restVolumes()
      await redfish.shutdown()
      database.close()
    }
  }

  static func parts(site: SiteOptions, configuration: Configuration, logger: Logger) async throws -> Parts {
    let database = try Database(path: site.database, secrets: try SecretBox.fromFile(site.keyFile, create: false))
    let redfish = RedfishHardware(logger: Logger(label: "redfish"))
    let switches = try Switches(
      (configuration.switches ?? []).map(\.driverConfiguration), logger: Logger(label: "switch"))
    let boot = try bootServices(configuration, site)
    let imageFolder = try ImageFolder("\(site.data)/images")
    let images = ImageCache(database: database, folder: imageFolder, logger: Logger(label: "images"))
    var consoleSettings = ConsoleSettings(folder: "\(site.data)/consoles")
    consoleSettings.host = configuration.console.address
    consoleSettings.publicHost = configuration.console.public_host
    consoleSettings.ports =
      configuration.console.first_port...max(configuration.console.first_port, configuration.console.last_port)
    let consoles = try Consoles(settings: consoleSettings, logger: Logger(label: "consoles"))
    var hardwareTypes: [any HardwareType] = [
      IPMIHardwareType(folder: "\(site.data)/ipmitool"), redfish,
    ]
    let fakes = configuration.fake_hardware
    if fakes.enabled {
      let defaults = (fakes.driver_info ?? [:]).reduce(into: JSONObject()) { $0[$1.key] = $1.value.json }
      hardwareTypes.append(try FakeHardware(defaults: defaults, file: "\(site.data)/fake-hardware"))
    }
    let volumes = try configuration.volumeBackends(data: site.data, Logger(label: "volumes"))
    try configuration.checkDeploy()
    let conductor = Conductor(
      database: database, settings: configuration.conductorSettings(dataFolder: site.data),
      hardwareTypes: hardwareTypes, switches: switches, boot: boot.interface, images: images,
      configDrives: ConfigDrive(),
      consoles: consoles, routing: try configuration.routing(Logger(label: "ovn")),
      volumes: volumes, backups: try configuration.backupStore(data: site.data), logger: Logger(label: "conductor"),
      probe: crashProbe(), clock: systemClock)
    return Parts(
      database: database, conductor: conductor, redfish: redfish, boot: boot, consoles: consoles,
      imageFolder: imageFolder)
  }

  init(site: SiteOptions, configuration: Configuration, logger: Logger) async throws {
    let parts = try await Self.parts(site: site, configuration: configuration, logger: logger)
    self.parts = parts
    try configuration.checkLimits()
    try configuration.checkSwitches()
    try configuration.checkLeases()
    try configuration.checkDiscovery(parts.conductor.hardwareTypes.map(\.name))
    let database = parts.database, conductor = parts.conductor
    for sentence in try await conductor.missingVolumeBackends() { logger.warning("\(sentence)") }
    // Uploads and conversions that a stopped server left half done.
    try await parts.imageFolder.prepare(database)

    // Identity.
    let identity = configuration.identity
    let passwordRules = try identity.passwordRules()
    let authority = TokenAuthority(
      keys: try TokenKeys.fromFile(site.tokenKeys), keyFile: site.tokenKeys,
      lifetime: .seconds(identity.token_lifetime),
      projectAdminsAreSiteAdmins: identity.project_admins_are_site_admins, clock: systemClock)
    let passwords = PasswordChecker(
      database: database, lockout: identity.lockout, logger: Logger(label: "passwords"), threads: identity.hash_threads,
      queue: identity.hash_queue)
    if identity.project_admins_are_site_admins {
      logger.warning("identity.project_admins_are_site_admins: role admin in whatever project administers this site")
    }
    let networks = configuration.networks
    try await database.write { session in
      try authority.load(in: session)
      try passwords.load(in: session)
      try SegmentRangeStore.ensureConfigured(
        physicalNetwork: networks.physical_network,
        vlans: networks.first_vlan...max(networks.first_vlan, networks.last_vlan),
        at: systemClock(), in: session)
    }

    // Facades.
    var neutronSettings = NeutronAPI.Settings()
    neutronSettings.isPortSecurityEnabled = networks.port_security
    neutronSettings.reservedVLANs = [configuration.provisioning?.vlan ?? 0]
    neutronSettings.controlPlanes = conductor.controlPlanes
    let neutron = NeutronAPI(
      database: database, settings: neutronSettings,
      rewire: { ports, session in try conductor.networksChanged(ports, in: session) },
      segmentsChanged: { session in conductor.segmentsChanged(in: session) },
      retag: { trunk, added, session in try conductor.subportsChanged(of: trunk, added: added, in: session) },
      routing: { session in conductor.routingChanged(in: session) }
    ) { port, actor, requestID, session in
      guard let holder = try VIFStore.holder(of: port.id, in: session),
        var node = try NodeStore.get(holder.nodeUUID, in: session)
      else {
        return
      }
      try conductor.detachVIF(
        networkPortID: port.id, node: &node, by: Requester(actor, requestID: requestID), in: session)
    }
    let downloads = try configuration.webContent().map { rules in
      ImageDownloads(
        intake: ImageIntake(database: database, folder: parts.imageFolder), web: WebContent(rules),
        logger: Logger(label: "images"), clock: systemClock)
    }
    let glance = GlanceAPI(database: database, folder: parts.imageFolder, downloads: downloads)
    let cinder = CinderAPI(database: database, conductor: conductor, images: glance)
    let others = [
      IronicAPI(database: database, conductor: conductor, longestPage: configuration.limits.page).service,
      neutron.service,
      glance.service,
      cinder.service,
      NovaAPI(
        database: database, conductor: conductor, networks: neutron,
        volumes: conductor.volumeBackends.isEmpty ? nil : cinder, images: glance,
        consoleURL: Self.consoleURL(configuration)
      ).service,
      LeapAPI(
        database: database, conductor: conductor, settings: configuration.leaseSettings,
        consoleURL: Self.consoleURL(configuration)
      ).service,
    ]
    let keystone = KeystoneFacade(
      database: database, authority: authority, passwords: passwords, passwordRules: passwordRules,
      // The second name of block storage: clients of before 2020 look for it.
      catalog: others.compactMap { CatalogEntry($0) }
        + [CatalogEntry(name: "cinderv3", type: "volumev3", path: "/volume/v3")], clock: systemClock)

    // Listeners.
    let listen = configuration.listen
    let tls = try Self.tls(listen)
    let scheme = tls == nil ? "http" : "https"
    let socket = try ListeningSocket.open(host: listen.address, port: listen.port)
    url = "\(scheme)://\(socket.host):\(socket.port)"
    var services: [any ServiceLifecycle.Service] = [
      Listener(
        socket: socket,
        responder: APIResponder(
          services: [keystone.service()] + others, authenticator: authority, publicOrigin: configuration.public_url,
          scheme: scheme,
          clock: systemClock), tls: tls, logger: logger)
    ]
    if let provisioning = configuration.provisioning, let ramdisk = configuration.ramdisk {
      let agents = AgentAPI(
        conductor: conductor,
        settings: .init(kernel: ramdisk.kernel, initrd: ramdisk.initrd, logFolder: "\(site.data)/logs/agent"),
        startScript: BootScript.ask(server: try Self.server(provisioning)).text,
        bootScript: Self.bootScript(try Self.server(provisioning)))
      services.append(
        Listener(
          socket: try ListeningSocket.open(
            host: provisioning.address, port: provisioning.port, namespace: provisioning.namespace),
          responder: APIResponder(services: [agents.service], authenticator: NoTokens(), clock: systemClock),
          logger: logger))
      if let boot = try configuration.volumeBoot, let server = BootServer(address: boot.server, port: boot.port) {
        let volumeBoots = VolumeBootAPI(
          conductor: conductor, startScript: BootScript.ask(server: server).text,
          bootScript: Self.networkBootScript(server))
        services.append(
          Listener(
            socket: try ListeningSocket.open(
              host: boot.server, port: boot.port, namespace: provisioning.namespace),
            responder: APIResponder(services: [volumeBoots.service], authenticator: NoTokens(), clock: systemClock),
            logger: logger))
      }
    } else {
      logger.warning(
        "no provisioning network is configured: machines can be leased and wired, but not inspected, cleaned or deployed"
      )
    }
    if let port = configuration.console.websocket_port {
      services.append(
        try ConsoleProxy(
          socket: try ListeningSocket.open(host: configuration.console.address, port: port), database: database,
          consoles: parts.consoles, tls: tls, logger: Logger(label: "console-proxy"), clock: systemClock))
    }
    if let downloads { services.append(downloads) }
    let webhooks = try configuration.webhookReceivers()
    if !webhooks.isEmpty {
      services.append(
        WebhookService(
          database: database, webhooks: webhooks, sender: HTTPWebhooks(), logger: Logger(label: "webhooks"),
          clock: systemClock))
    }
    self.services = [parts.consoles] + parts.boot.services + conductor.services() + services
  }

  func close() async { await parts.close() }

  /// Where console tokens are taken; nil without a proxy.
  private static func consoleURL(_ configuration: Configuration) -> String? {
    let console = configuration.console
    guard let port = console.websocket_port else { return nil }
    let host = console.public_host ?? console.address
    return "\(configuration.listen.certificate == nil ? "ws" : "wss")://\(host):\(port)"
  }

  /// Ends this process at the N-th point of its workflows when the crash tests ask for it.
  private static func crashProbe() -> @Sendable (String) -> Void {
    guard let text = getenv("STEELYARD_KILL_AT").map({ String(cString: $0) }) else { return { _ in } }
    return { point in if point == text { kill(getpid(), SIGKILL) } }
  }

  private static func tls(_ listen: Configuration.Listen) throws -> TLSConfiguration? {
    switch (listen.certificate, listen.key) {
    case (nil, nil): return nil
    case (let certificate?, let key?):
      do {
        var tls = TLSConfiguration.makeServerConfiguration(
          certificateChain: try NIOSSLCertificate.fromPEMFile(certificate).map { .certificate($0) },
          privateKey: .privateKey(try NIOSSLPrivateKey(file: key, format: .pem)))
        tls.minimumTLSVersion = .tlsv12
        return tls
      } catch {
        throw Failure("listen.certificate and listen.key: \(certificate), \(key) cannot be used: \(error)")
      }
    default: throw Failure("listen.certificate and listen.key belong together: give both or none")
    }
  }

  /// The agents' listener takes no OpenStack tokens.
  private struct NoTokens: Authenticator {
    func actor(forToken token: String, now: Timestamp) throws -> Actor {
      throw APIError(.unauthorized, "No tokens are taken here.")
    }
  }
}
