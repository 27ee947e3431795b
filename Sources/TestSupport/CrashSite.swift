import Conductor
import Cryptography
import Domain
import DriverInterfaces
import Glibc
import Logging
import Processes
import Store
import Synchronization
import Wire
import Workflows

/// Real parts in the place of those that live in the ``World``, for tests of what goes wrong in them.
public struct SiteParts: Sendable {
  public var hardware: (any HardwareType)?
  /// Given the one that lives in the world, which decides where the machine boots from.
  public var switches: (@Sendable (WorldSwitch) -> any SwitchRegistry)?
  public var boot: (@Sendable (WorldBoot) -> any BootInterface)?
  /// What carries routers and DHCP; nothing does when nil.
  public var routing: (@Sendable (World) -> any RoutingInterface)?
  public var images: (@Sendable (Database) throws -> any ImageStoreInterface)?
  public var configDrives: (any ConfigDriveInterface)?
  /// Changes the node before it is enrolled; the members of `driver_info` that are secret.
  public var node: (@Sendable (inout Node) -> Void)?
  public var secrets: Set<String> = ["password"]
  /// Changes the node's port before it is made.
  public var port: (@Sendable (inout Port) -> Void)?
  /// The backends of volumes; the one that lives in the world when nil.
  public var volumes: [String: any VolumeInterface]?
  /// None are read when nil.
  public var consoles: (any NodeConsoles)?
  public init() {}
}

/// One server's life in a crash test: the real conductor, engine and SQLite file, in a ``World``.
public struct CrashSite: Sendable {
  public static let node = "11111111-1111-4111-8111-111111111111"
  public static let mac = "52:54:00:00:00:01"
  static let machine = "n1"
  /// The port group of the scenarios with a bond, and its address; its members are wired to ports n1 and n2 of sw0.
  public static let bond = "66666666-6666-4666-8666-666666666666"
  public static let bondMAC = "52:54:00:00:00:0b"
  public static let vif = "22222222-2222-4222-8222-222222222222"
  static let lease = "33333333-3333-4333-8333-333333333333"
  public static let tenantVLAN = 205
  static let server = "44444444-4444-4444-8444-444444444444"

  public let world: World
  public let database: Database
  public let conductor: Conductor
  private let parts: SiteParts
  private let complaints: Complaints
  let printsPoints: Bool
  let points: Points

  /// Counts the points and ends the process at the chosen one.
  final class Points: Sendable {
    private let seen = Mutex<(count: Int, names: [String])>((0, []))
    private let kill: Int
    init(kill: Int) { self.kill = kill }
    func reach(_ name: String) {
      let count = seen.withLock { seen in
        seen.count += 1
        seen.names.append(name)
        return seen.count
      }
      if count == kill { Glibc.kill(getpid(), SIGKILL) }
    }
    var names: [String] { seen.withLock { $0.names } }
  }
  struct Injected: Error, CustomStringConvertible { let description = "failed on request" }

  /// - Parameter options: `kill` (number of the point), `fail` (a step's name), `twice`, `points`, `patience` with agents
  ///   that have yet to call and `silence` of those that did (milliseconds), `fast-track`, `world` (the path of the world's file), `empty` (of an
  ///   empty database to begin with), `fill` (a step's name: the disk of the folder has no byte left from the step's effect on, for a
  ///   second and a half).
  public init(folder: String, options: [String: String], parts: SiteParts = SiteParts()) throws {
    mkdir(folder, 0o700)
    self.parts = parts
    world = try World(options["world"] ?? "\(folder)/world.db")
    let path = "\(folder)/steelyard.db"
    if access(path, F_OK) != 0 { try Database.writeEmpty(to: path, template: options["empty"]) }
    database = try Database(path: path, secrets: try SecretBox.fromFile("\(folder)/key", create: true), readers: 1)
    let points = Points(kill: options["kill"].flatMap { Int($0) } ?? 0)
    self.points = points
    printsPoints = options["points"] != nil
    let failing = options["fail"]
    let twice = options["twice"] != nil
    var settings = ConductorSettings()
    settings.dataFolder = folder
    // Any file will do: agents of this world only say that they have become it.
    settings.rescueSystem = "\(folder)/key"
    settings.volumeBoot = VolumeBootSettings(
      server: "10.77.0.1", port: 8078, first: "10.77.0.2", last: "10.77.0.9", portals: ["10.77.0.1:3260"])
    func wait(_ name: String) -> Duration {
      options[name].flatMap { Int($0) }.map { .milliseconds($0) } ?? .seconds(20)
    }
    let patience = wait("patience")
    settings.agentSilence = wait("silence")
    settings.agentPatience = patience
    settings.buttonPatience = .milliseconds(options["button"].flatMap { Int($0) } ?? 300)
    settings.fastTrackPatience = min(patience, .seconds(2))
    settings.isFastTracked = options["fast-track"] != nil
    var runner = WorkflowRunner.Settings()
    runner.retryDelay = .milliseconds(5)
    runner.undoDelay = .milliseconds(5)
    let mac = MACAddress(Self.mac)
    let worldSwitch = WorldSwitch(world)
    let worldBoot = WorldBoot(world, machines: mac.map { [$0: Self.machine] } ?? [:])
    let worldImages = WorldImages(world)
    let complaints = Complaints()
    self.complaints = complaints
    let fill = options["fill"]
    conductor = Conductor(
      database: database, settings: settings,
      hardwareTypes: parts.hardware.map { [$0] } ?? [
        WorldHardware(world), WorldHardware(world, needsAgent: false),
      ],
      switches: parts.switches?(worldSwitch) ?? worldSwitch, boot: parts.boot?(worldBoot) ?? worldBoot,
      images: try parts.images?(database) ?? worldImages, configDrives: parts.configDrives ?? worldImages,
      consoles: parts.consoles,
      routing: parts.routing?(world), volumes: parts.volumes ?? ["local": WorldVolumes(world)],
      backups: WorldBackups(world),
      logger: complaints.logger, runnerSettings: runner,
      probe: { point in
        if let fill, point == "\(fill):after-effect" { fillDisk(of: folder, for: 1500) }
        points.reach(point)
      },
      adjust: { definition in definition.adjusted(failing: failing, twice: twice, points: points) },
      clock: { Self.now() })
  }

  public static func now() -> Timestamp {
    var time = timespec()
    clock_gettime(CLOCK_REALTIME, &time)
    return Timestamp(microseconds: time.tv_sec * 1_000_000 + time.tv_nsec / 1000)
  }

  /// One life, and its report on standard output.
  public func run(_ scenario: Scenario) async throws {
    let report = try await play(scenario)
    if printsPoints { print(points.names.joined(separator: "\n")) } else { print(report) }
  }

  /// Asks for something else of the machine, and runs until nothing is open.
  public func ask(_ verb: ProvisionVerb) async throws -> JSON {
    let conductor = conductor
    try await database.write { session in
      guard var node = try NodeStore.get(Self.node, in: session) else { return }
      // As an administrator would, once he has looked.
      node.maintenance = false
      try conductor.provision(verb, node: &node, parameters: [:], by: .system, in: session)
    }
    return try await play(nil)
  }

  /// Sets the scene if this is the first life, then runs until nothing is open.
  public func play(_ scenario: Scenario?) async throws -> JSON {
    if let scenario {
      let isThere = try await database.read { try NodeStore.get(Self.node, in: $0) != nil }
      if !isThere { try await begin(scenario) }
      if scenario == .startLease { _ = try await conductor.runLeases() }
    }
    let conductor = conductor, database = database
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { try await conductor.runner.run() }
      if let mac = MACAddress(Self.mac) {
        group.addTask {
          await WorldAgent(world: self.world, conductor: conductor, machine: Self.machine, mac: mac).run()
        }
      }
      var open = 1
      let limit = ContinuousClock.now + .seconds(60)
      // A machine that the server cannot switch off does it itself, when it hears that it is over.
      while open > 0 || (world.value("leaves/n1") != nil && world.value("runs/n1") == "agent") {
        try await Task.sleep(for: .milliseconds(3))
        // What a reconciler goes on with.
        try await conductor.deleteServers()
        try await conductor.endFastTracks()
        open = try await database.read { session in
          try WorkflowStore.open(in: session).filter { $0.state != .stuck }.count
            + ServerStore.deletionsAsked(in: session).count + ServerVolumeStore.leaving(in: session).count
            + ServerStore.stranded(in: session).count + ServerStore.leavingImages(in: session).count
        }
        if ContinuousClock.now > limit { throw Injected() }
      }
      group.cancelAll()
      try await group.waitForAll()
    }
    return try await report()
  }

  /// What can be seen from outside, as JSON: for the test's judgement.
  func report() async throws -> JSON {
    let box = database.secrets
    let backups = try await database.read { JSON(try Self.diskBackups(in: $0)) }
    let (node, workflows, vif, lease, volumes, server, erasures, images, boots) = try await database.read { session in
      (
        try NodeStore.get(Self.node, in: session), try WorkflowStore.list(in: session),
        try NetworkPortStore.get(Self.vif, in: session), try LeaseStore.get(Self.lease, in: session),
        try Self.volumes(box, in: session), try ServerStore.get(Self.server, in: session),
        try EraseRecordStore.list(EraseRecordStore.Filter(.everything), in: session), try ImageStore.list(in: session),
        try self.boots(in: session)
      )
    }
    return [
      "state": JSON(node?.provisionState.rawValue), "reservation": JSON(node?.reservation),
      "power": JSON(node?.powerState?.rawValue), "secure_boot": node?.isSecureBoot.map { .bool($0) } ?? .null,
      "last_error": JSON(node?.lastError?.whole), "public_error": JSON(node?.lastError?.sentence),
      "maintenance_reason": JSON(node?.maintenanceReason?.whole),
      "workflows": JSON(workflows.map { "\($0.kind) \($0.state.rawValue)" }),
      "leftovers": JSON(try await conductor.leftovers().map(\.description)),
      "world": .object(
        // A new target has another name in each life.
        // So has the secret of an agent.
        world.values(prefix: "").map {
          (
            $0.key.hasPrefix("export/") ? "export/of \($0.value)" : $0.key,
            $0.key.hasPrefix("agent/") ? "has a secret" : $0.value
          )
        }
        .sorted { $0.0 < $1.0 }.reduce(into: JSONObject()) { $0[$1.0] = .string($1.1) }),
      "images": JSON(
        images.map { "\($0.name ?? $0.id) \($0.status.rawValue) \($0.size ?? 0) \($0.sha512 ?? "")" }.sorted()),
      "erasures": JSON(erasures.map { "\($0.nodeUUID) \($0.leaseUUID ?? "")" }),
      "disk_backups": backups, "volumes": volumes, "boots": boots, "lease": JSON(lease?.status.rawValue),
      "lessee": JSON(node?.lessee),
      "vif": JSON(vif.map { "\($0.status.rawValue) \($0.bindingHostID)" }), "ledger": JSON(world.ledger()),
      "server": JSON(server.map { "\($0.condition.status.rawValue) \($0.condition.taskState ?? "")" }),
      "points": .int(points.names.count), "complaints": JSON(complaints.all),
      "failing_point": JSON(points.names.firstIndex { $0.hasSuffix(":after-failed") }.map { $0 + 1 }),
    ]
  }

  /// Makes a port group of the machine's NIC and a second one.
  public func bond(isAttached: Bool = false, at now: Timestamp = CrashSite.now(), in session: any Session) throws {
    guard var first = try PortStore.byAddress(Self.mac, in: session) else { return }
    var group = PortGroup(uuid: Self.bond, nodeUUID: Self.node, createdAt: now)
    group.address = Self.bondMAC
    try PortGroupStore.insert(group, in: session)
    first.portGroupUUID = group.uuid
    try PortStore.update(first, in: session)
    var second = Port(uuid: Identifier.uuid(), nodeUUID: Self.node, address: "52:54:00:00:00:02", createdAt: now)
    second.isPXEEnabled = false
    second.localLinkConnection = first.localLinkConnection
    second.localLinkConnection["port_id"] = "n2"
    second.portGroupUUID = group.uuid
    try PortStore.insert(second, in: session)
    guard isAttached else { return }
    let place = VIFHolder.portGroup(group, members: [first, second])
    try VIFStore.set(Self.vif, on: place, at: now, in: session)
    try NetworkPortStore.bind(
      Self.vif, hostID: Self.node, macAddress: place.macAddress, profile: place.bindingProfile, at: now, in: session)
    try NetworkPortStore.setStatus(.active, of: Self.vif, at: now, in: session)
  }

  /// An agent that nobody waits for has asked for its boot script and claims.
  private func beginDiscovery() async throws {
    let conductor = conductor
    let token = Base64.urlText(randomBytes(32)), secret = Identifier.hex() + Identifier.hex()
    try world.ensure("power/n1", "power on")
    try world.ensure("runs/n1", "agent")
    try world.ensure("agent/n1", "\(token) \(secret)")
    try world.ensure("leaves/n1", "when its session is over")
    try await database.write { session in
      guard let mac = MACAddress(Self.mac) else { return }
      _ = try conductor.enrolDiscovered(
        mac, token: token, secret: secret, inventory: [:], driver: "world", uuid: Self.node, in: session)
    }
    points.reach("begun")
  }

  private func begin(_ scenario: Scenario) async throws {
    if scenario == .discover { return try await beginDiscovery() }
    if [.restoreDisk, .deleteDiskBackup].contains(scenario) {
      try seedDiskBackup()
    } else if scenario.isOfVolume || scenario.isOfVolumeServer || [.undeployVolume, .deployVolume].contains(scenario) {
      try seedVolumes(scenario)
    }
    if scenario.isOfRamdisk { try seedRamdisk(scenario) }
    let now = Self.now(), database = database, conductor = conductor, parts = parts
    let isActive = scenario.before.isInUse
    try world.ensure("power/n1", isActive || scenario.standsBy ? "power on" : "power off")
    try world.ensure("disk/n1", isActive ? "/agent/v1/image/old" : "old data")
    if scenario == .endLease { try world.ensure("secure/n1", "on") }
    if scenario.standsBy { try seedStandBy() }
    let isAttached = [
      .detach, .undeploy, .deploy, .deployByKexec, .deployByDriver, .endLease, .deleteServer, .rescueByAgent,
      .unrescueByAgent,
      .captureDisk, .backUpDisk, .restoreDisk, .shelveServer, .deployFastTrack, .rebootFastTrack,
    ].contains(scenario)
    if isActive && isAttached { try world.ensure("switch/n1", "\(Self.tenantVLAN)") }
    if scenario == .detachBond {
      for port in ["n1", "n2"] { try world.ensure("switch/\(port)", "\(Self.tenantVLAN)") }
    }
    try await database.write { session in
      let network = Network(
        projectID: "p", name: "net", physicalNetwork: "datacentre", vlan: Self.tenantVLAN, createdAt: now)
      try NetworkStore.insert(network, in: session)
      try NetworkPortStore.insert(
        NetworkPort(id: Self.vif, networkID: network.id, projectID: "p", name: "vif", createdAt: now), in: session)
      var image = Image(id: "new", owner: "p", createdAt: now)
      image.status = .active
      try ImageStore.insert(image, in: session)
      var node = Node(
        uuid: Self.node, name: "n1", driver: scenario.needsAgent ? "world" : "world-own", createdAt: now)
      node.driverInfo = ["address": "n1", "password": "secret"]
      node.provisionState = scenario.before
      node.powerState = isActive || scenario.standsBy ? .on : .off
      if scenario.isOfFastTrack { node.driverInfo["fast_track"] = true }
      node.instanceInfo = ["image_source": "new"]
      if scenario == .deployByKexec { node.instanceInfo["kexec"] = true }
      if scenario.isOfServer { node.owner = "p" }
      if [.manualClean, .manualCleanByDriver].contains(scenario) { node.interfaces[.bios] = "world" }
      if scenario == .endLease {
        // The lessee has turned Secure Boot on, with which the ramdisk does not boot, from their own system, and chosen
        // another boot mode.
        node.driverInfo["secure_boot"] = true
        node.driverInternalInfo[Node.modeBeforeLease] = "uefi"
        node.noteBootMode(.bios)
      }
      if [.rescue, .unrescue].contains(scenario) { node.interfaces[.rescue] = "world" }
      if [.rescueByAgent, .unrescueByAgent].contains(scenario) { node.interfaces[.rescue] = "agent" }
      parts.node?(&node)
      try NodeStore.insert(node, secrets: parts.secrets, box: database.secrets, in: session)
      var port = Port(uuid: Identifier.uuid(), nodeUUID: node.uuid, address: Self.mac, createdAt: now)
      port.localLinkConnection = ["switch_info": "sw0", "port_id": "n1", "switch_id": "00:00:00:00:00:01"]
      parts.port?(&port)
      if isAttached { port.vifPortID = Self.vif }
      try PortStore.insert(port, in: session)
      if isAttached {
        try NetworkPortStore.bind(Self.vif, hostID: node.uuid, macAddress: Self.mac, at: now, in: session)
      }
      if scenario.standsBy { try insertStandBy(at: now, in: session) }
      if scenario.isBonded { try bond(isAttached: scenario == .detachBond, at: now, in: session) }
      if isAttached && isActive { try NetworkPortStore.setStatus(.active, of: Self.vif, at: now, in: session) }
      switch scenario {
      case .discover: break
      case .createVolume, .cloneVolume, .deleteVolume, .extendVolume, .snapshotVolume, .deleteSnapshot, .revertVolume,
        .attachVolume, .detachVolume, .backUpVolume, .restoreVolume, .deleteBackup, .uploadVolume:
        try beginVolume(scenario, at: now, in: session)
      case .deployVolume:
        try insertVolume(at: now, in: session)
        try target(at: now, in: session)
        node.instanceInfo = [:]
        try NodeStore.update(node, in: session)
        try conductor.provision(
          .active, node: &node, parameters: [:], by: Requester(projectID: "p", userID: nil, requestID: nil), in: session
        )
      case .undeployVolume:
        try insertVolume(at: now, in: session)
        try insertAttachment(at: now, isOfNode: true, in: session)
        try conductor.provision(.deleted, node: &node, parameters: [:], by: .system, in: session)
      case .backUpDisk, .restoreDisk, .deleteDiskBackup:
        try beginDiskBackup(scenario, &node, at: now, in: session)
      case .deployRamdisk, .undeployRamdisk, .leaveRamdisk: try beginRamdisk(scenario, &node, in: session)
      case .captureDisk:
        try conductor.capture(
          &node, as: Image(name: "captured", owner: "p", createdAt: now), by: .system, in: session)
      case .verify: try conductor.provision(.manage, node: &node, parameters: [:], by: .system, in: session)
      case .inspect, .inspectByDriver:
        try conductor.provision(.inspect, node: &node, parameters: [:], by: .system, in: session)
      case .manualClean, .manualCleanByDriver:
        let steps: JSON = [
          [
            "interface": "bios", "step": "apply_configuration",
            "args": ["settings": [["name": "turbo", "value": "on"]]],
          ], ["interface": "deploy", "step": "erase_devices_metadata"],
          ["interface": "deploy", "step": "erase_devices"],
        ]
        try conductor.provision(.clean, node: &node, parameters: ["clean_steps": steps], by: .system, in: session)
      case .provide, .provideByDriver, .provideFastTrack:
        try conductor.provision(.provide, node: &node, parameters: [:], by: .system, in: session)
      case .deploy, .deployByKexec, .deployByDriver, .deployFastTrack:
        try conductor.provision(.active, node: &node, parameters: [:], by: .system, in: session)
      case .undeploy: try conductor.provision(.deleted, node: &node, parameters: [:], by: .system, in: session)
      case .rescue, .rescueByAgent:
        try conductor.provision(
          .rescue, node: &node, parameters: ["rescue_password": "hunter2"], by: .system, in: session)
      case .unrescue, .unrescueByAgent:
        try conductor.provision(.unrescue, node: &node, parameters: [:], by: .system, in: session)
      case .attach, .attachBond, .attachFastTrack:
        try conductor.attachVIF(networkPortID: Self.vif, node: &node, by: .system, in: session)
      case .detach, .detachBond: try conductor.detachVIF(networkPortID: Self.vif, node: &node, by: .system, in: session)
      case .powerOff: try conductor.setPower(.off, node: &node, timeout: nil, by: .system, in: session)
      case .startLease, .endLease:
        let isOver = scenario == .endLease
        let lease = Lease(
          uuid: Self.lease, projectID: "tenant", ownerID: "p", resourceUUID: node.uuid,
          time: TimeRange(now - .seconds(60), now + .seconds(3600)), createdAt: now)
        try LeaseStore.insert(lease, in: session)
        guard isOver else { break }
        try LeaseStore.setActive(lease.uuid, at: now, in: session)
        node.lessee = "tenant"
        node.leaseUUID = lease.uuid
        try NodeStore.update(node, in: session)
        if let active = try LeaseStore.get(lease.uuid, in: session) {
          try conductor.endLease(active, reason: .deleted, in: session)
        }
      case .reboot, .rebootFastTrack:
        try conductor.setPower(.reboot, node: &node, timeout: nil, by: .system, in: session)
      case .createServer, .deleteServer, .deleteBuildingServer: try begin(scenario, &node, at: now, in: session)
      case .shelveServer, .unshelveServer: try beginShelving(scenario, &node, at: now, in: session)
      case .createVolumeServer, .deleteVolumeServer, .attachServerVolume, .detachServerVolume, .shelveVolumeServer:
        try beginVolumeServer(scenario, &node, at: now, in: session)
      }
    }
    points.reach("begun")
  }
}

extension CrashSite {
  /// A server is made, or deleted, or both.
  private func begin(_ scenario: Scenario, _ node: inout Node, at now: Timestamp, in session: any Session) throws {
    var server = Server(
      id: Self.server, projectID: "p", userID: "u", name: "s1", flavor: ["id": "f", "ram": 0, "vcpus": 0, "disk": 0],
      createdAt: now)
    server.imageID = "new"
    let port = ServerPort(Self.vif, isMade: true)
    if scenario == .deleteServer {
      server.nodeUUID = node.uuid
      server.launchedAt = now
      node.instanceUUID = server.id
      try NodeStore.update(node, in: session)
      try ServerStore.insert(server, in: session)
      try ServerStore.addPort(port, to: server.id, in: session)
    } else {
      server = try conductor.createServer(
        Conductor.ServerOrder(server, demands: MachineDemands(), ports: [port], isSiteAdmins: false), by: .system,
        in: session)
      guard server.nodeUUID != nil else { throw Injected() }
    }
    guard scenario != .createServer else { return }
    try conductor.deleteServer(server, by: .system, in: session)
  }
}

/// Takes every byte that is free, and gives it back after so many milliseconds.
private func fillDisk(of folder: String, for milliseconds: UInt32) {
  let path = "\(folder)/ballast"
  guard access(path, F_OK) != 0 else { return }
  let descriptor = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o600)
  for size in [1 << 20, 4096, 1] {
    let bytes = [UInt8](repeating: 0x5a, count: size)
    while write(descriptor, bytes, size) > 0 {}
  }
  close(descriptor)
  startThread("ballast") {
    usleep(milliseconds * 1000)
    // The name stays: once is enough.
    truncate(path, 0)
  }
}
