import Cryptography
import Domain
import DriverInterfaces
import Logging
import Store
import Wire
import Workflows

/// Who asks for a change: recorded with the workflow that it starts.
public struct Requester: Sendable, Equatable {
  public var projectID: String?
  public var userID: String?
  public var requestID: String?
  public init(projectID: String?, userID: String?, requestID: String?) {
    self.projectID = projectID
    self.userID = userID
    self.requestID = requestID
  }
  public init(_ actor: Actor, requestID: String) {
    self.init(projectID: actor.projectID, userID: actor.userID, requestID: requestID)
  }
  /// The server itself: timers and reconcilers.
  public static let system = Requester(projectID: nil, userID: nil, requestID: nil)
}

/// A verb that cannot be done now, in words for the caller.
public struct ConductorError: Error, Sendable, Equatable, CustomStringConvertible {
  public enum Code: Sendable { case badRequest, conflict, notFound }
  public let code: Code
  public let description: String
  public init(_ code: Code, _ description: String) {
    self.code = code
    self.description = description
  }
}

/// What the site looks like to the conductor; made from the configuration file by the program.
public struct ConductorSettings: Sendable {
  /// The VLAN of the provisioning network on every switch, 1 to 4094.
  public var provisioningVLAN = 100
  /// The physical network of switches that name none.
  public var physicalNetwork = "datacentre"
  /// The provisioning listener as agents reach it: "http://10.77.0.1:8077".
  public var agentServer = "http://10.77.0.1:8077"
  /// How machines boot from volumes; nil where none do.
  public var volumeBoot: VolumeBootSettings?
  /// The archive of the rescue system (ramdisk/build-rescue); nil: real machines are not rescued.
  public var rescueSystem: String?
  /// The backend of volumes whose type names none; nil for the first by name.
  public var usualVolumeBackend: String?
  /// How long a machine may take from power on to the agent's claim.
  public var agentPatience: Duration = .seconds(900)
  /// How long an agent that was there may be silent.
  public var agentSilence: Duration = .seconds(90)
  /// Machines that were cleaned keep their agent up for the next deployment, in quarantine (decision 0027); a node may say
  /// otherwise.
  public var isFastTracked = false
  /// How long they do; then they are switched off.
  public var standByTime: Duration = .seconds(8 * 3600)
  /// How long such an agent may take to call on the provisioning network before the machine is booted instead.
  public var fastTrackPatience: Duration = .seconds(30)
  /// How long a machine may take to obey its power button.
  public var powerPatience: Duration = .seconds(60)
  /// How long an agent that has loaded the installed system waits for the power button, in whole seconds for real ones; then it switches
  /// the machine off.
  public var buttonPatience: Duration = .seconds(60)
  /// Whether deployments to a disk start the installed system by kexec, where nothing else is said.
  public var startsByKexec = false
  /// Where config drives, consoles and agent logs are kept.
  public var dataFolder = "."
  /// "full" or "metadata": how a machine's disks are cleaned between tenants.
  public var eraseMode = "full"
  public var lldpSeconds = 5
  /// Machines that boot or are written at the same time; the others wait.
  public var provisioningSlots = 16
  /// How often every machine's power is read.
  public var powerSyncPeriod: Duration = .seconds(60)
  /// How often every wired switch port is read back.
  public var switchAuditPeriod: Duration = .seconds(60)
  /// How often routers and DHCP are compared with what is wanted.
  public var routingAuditPeriod: Duration = .seconds(30)
  /// Servers may be put on machines that have neither owner nor lessee, whoever asks.
  public var unownedMachinesAreShared = false
  /// Nil: machines that nobody enrolled boot their local disk.
  public var discovery: DiscoverySettings?
  /// Lengths of leases, and when their parties are told of the end.
  public var leases = LeaseSettings()
  /// How long ended workflows are kept.
  public var workflowRetention: Duration = .seconds(30 * 86_400)
  public init() {}
}

/// Everything that happens to machines: verbs that facades call in their transactions, the workflows behind them, and the
/// reconcilers. The only place that sees workflows, driver protocols and the store together.
public final class Conductor: Sendable {
  public let database: Database
  public let settings: ConductorSettings
  /// By name: "ipmi", "redfish".
  public let hardwareTypes: [any HardwareType]
  let parts: Parts
  let clock: @Sendable () -> Timestamp
  let logger: Logger
  /// Makes workflows; set once at the end of `init`.
  public let runner: WorkflowRunner
  let definitions: [String: WorkflowDefinition]
  /// Agents that hold a request open, woken without a look at the database.
  public let agentCalls = Signals()
  /// Wakes reconcilers by name.
  let wakeups = Signals()
  let offers = DiscoveryOffers()
  let silence = ControllerSilence()
  /// By the name of the switch.
  let switchSilence = ControllerSilence()
  let leaseAlarm = LeaseAlarm()
  /// Carries tenants' DHCP, routers and floating IPs; nil where nothing does.
  let routing: (any RoutingInterface)?
  let routingReport = RoutingReport()
  /// Serial consoles of the nodes; nil where none are kept (tests).
  public let consoles: (any NodeConsoles)?

  /// - Parameter adjust: what the crash tests do to the workflows before they run.
  public init(
    database: Database, settings: ConductorSettings, hardwareTypes: [any HardwareType], switches: any SwitchRegistry,
    boot: any BootInterface, images: any ImageStoreInterface, configDrives: any ConfigDriveInterface,
    consoles: (any NodeConsoles)? = nil, routing: (any RoutingInterface)? = nil,
    volumes: [String: any VolumeInterface] = [:], backups: (any BackupInterface)? = nil,
    logger: Logger, runnerSettings: WorkflowRunner.Settings = .init(), probe: @escaping WorkflowRunner.Probe = { _ in },
    adjust: (WorkflowDefinition) -> WorkflowDefinition = { $0 }, clock: @escaping @Sendable () -> Timestamp
  ) {
    self.database = database
    self.settings = settings
    self.hardwareTypes = hardwareTypes
    self.consoles = consoles
    self.routing = routing
    self.clock = clock
    self.logger = logger
    let parts = Parts(
      database: database, settings: settings, hardwareTypes: hardwareTypes, switches: switches, boot: boot,
      images: images,
      configDrives: configDrives, consoles: consoles, volumes: volumes, backups: backups, agentCalls: agentCalls,
      wakeups: wakeups,
      clock: clock)
    self.parts = parts
    let definitions = Self.workflows(parts).map { adjust(parts.endingFastTrack($0)) }
    self.definitions = Dictionary(definitions.map { ($0.kind, $0) }) { $1 }
    runner = WorkflowRunner(
      database: database, definitions: definitions, settings: runnerSettings, logger: logger, probe: probe, clock: clock
    )
  }

  /// Every workflow there is; one file each in `Workflows/`.
  static func workflows(_ parts: Parts) -> [WorkflowDefinition] {
    [
      verifyNode(parts), inspectNode(parts), cleanNode(parts), deployNode(parts), undeployNode(parts), setPower(parts),
      attachNetwork(parts), detachNetwork(parts), startLease(parts), endLease(parts), rescueNode(parts),
      unrescueNode(parts), discoverNode(parts), createVolume(parts), deleteVolume(parts), extendVolume(parts),
      deployVolume(parts), revertVolume(parts), createSnapshot(parts), deleteSnapshot(parts), attachVolume(parts),
      detachVolume(parts), backUpVolume(parts), restoreVolume(parts), deleteBackup(parts), captureDisk(parts),
      uploadVolume(parts), backUpDisk(parts), restoreDisk(parts), deleteDiskBackup(parts), shelveNode(parts),
      shelveVolume(parts), deployRamdisk(parts), endFastTrack(parts),
    ]
  }

  public func hardwareType(named name: String) -> (any HardwareType)? { hardwareTypes.first { $0.name == name } }

  /// The driver of a node, from its sealed `driver_info`.
  public func driver(of node: Node) async throws -> NodeDriver { try await parts.driver(of: node.uuid) }

  /// Inserts a workflow and wakes the runner when the transaction has committed.
  func start(
    _ kind: String, id: String = Identifier.uuid(), subject: String, params: JSONObject, by requester: Requester,
    in session: any Session
  ) throws -> String {
    guard let definition = definitions[kind] else { throw ConductorError(.conflict, "There is no workflow \(kind).") }
    // Anything but another cleaning may write to the disks: an erasure that was interrupted begins anew then.
    let writers = [
      "deploy-node", "deploy-ramdisk", "undeploy-node", "end-lease", "set-power", "rescue-node", "restore-disk",
      "shelve-node",
      "shelve-volume",
    ]
    if writers.contains(kind) {
      try EraseProgressStore.forget(node: subject, in: session)
    }
    var params = params
    for member in try fastTrack(kind, subject: subject, params, in: session) { params[member.key] = member.value }
    let id = try WorkflowStore.insert(
      definition, id: id, subject: subject, params: params, project: requester.projectID,
      requestID: requester.requestID, at: clock(),
      in: session)
    session.afterCommit { [runner] in runner.wake(workflow: id) }
    return id
  }
}

/// What workflow steps work with.
struct Parts: Sendable {
  let database: Database
  let settings: ConductorSettings
  let hardwareTypes: [any HardwareType]
  let switches: any SwitchRegistry
  let boot: any BootInterface
  let images: any ImageStoreInterface
  let configDrives: any ConfigDriveInterface
  let consoles: (any NodeConsoles)?
  /// Where volumes are kept, by the backend's name.
  let volumes: [String: any VolumeInterface]
  /// Where copies of volumes are kept; nil where none are.
  let backups: (any BackupInterface)?
  let agentCalls: Signals
  /// Wakes reconcilers by name.
  let wakeups: Signals
  let clock: @Sendable () -> Timestamp

  func node(_ uuid: String) async throws -> Node {
    guard let node = try await database.read({ try NodeStore.get(uuid, in: $0) }) else {
      throw ConductorError(.notFound, "Node \(uuid) is gone.")
    }
    return node
  }
  func driver(of uuid: String) async throws -> NodeDriver {
    let secrets = database.secrets
    guard let (name, info) = try await database.read({ try NodeStore.driver(of: uuid, box: secrets, in: $0) }) else {
      throw ConductorError(.notFound, "Node \(uuid) is gone.")
    }
    return try driver(name, node: uuid, info: info)
  }
  /// - Parameter info: `driver_info` with its secrets in the clear.
  func driver(_ name: String, node uuid: String, info: JSONObject) throws -> NodeDriver {
    guard let type = hardwareTypes.first(where: { $0.name == name }) else {
      throw DriverError(.misconfigured, device: .node(uuid), detail: "there is no driver '\(name)'")
    }
    return try type.driver(node: uuid, driverInfo: info)
  }

  /// Whether switch ports follow this node's networks. A node of a type that is not there any more is left as it was.
  func isWired(_ node: Node) -> Bool {
    guard let type = hardwareTypes.first(where: { $0.name == node.driver }) else { return true }
    return !type.unwiredNetworks.contains(type.implementation(of: .network, for: node))
  }
}

/// Builds config drives. Source: Nova, "Config drives"; the volume label is config-2.
public protocol ConfigDriveInterface: Sendable {
  /// The config drive of one deployment, made at `path`; safe to repeat.
  /// - Parameter content: a JSON object `{meta_data, network_data, user_data, vendor_data}`, or the base64 text of a gzipped ISO.
  /// - Throws: ``DriverError`` `.refused` with a sentence when it is neither.
  func make(_ content: JSON, at path: String) async throws -> RawImage
  /// The same files as an archive that a kernel unpacks into its memory, made at `path`; safe to repeat.
  /// - Throws: ``DriverError`` `.refused` with a sentence when `content` is no such object.
  func makeArchive(_ content: JSON, at path: String) async throws
}

/// The consoles of the nodes, kept open by the server.
public protocol NodeConsoles: Sendable {
  /// From now on the node's console is read and logged; safe to repeat.
  func start(node uuid: String, driver: NodeDriver) async
  func stop(node uuid: String) async
  /// Marks the point where "log since power-on" begins.
  func markPowerOn(node uuid: String) async
  /// Lets readers connect to a TCP port that carries the console read-only.
  /// - Returns: "tcp://127.0.0.1:NNNN".
  func openPort(node uuid: String) async throws -> String
  /// Ends every reader's connection at once.
  func closePort(node uuid: String) async
  func url(node uuid: String) async -> String?
  /// What the machine has printed, the last `limit` bytes of it at most.
  func text(node uuid: String, since start: ConsoleStart, limit: Int) async -> [UInt8]
  /// What the machine prints, as it comes; ends when the console is closed to readers.
  func follow(node uuid: String, since start: ConsoleStart) -> AsyncStream<[UInt8]>
}

extension DriverError: TransientError {}
extension ConductorError: ReasonedError { public var reason: Reason { Reason(description) } }
