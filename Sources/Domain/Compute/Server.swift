import Wire

/// A machine with a system on it, as its tenant knows it. Source: Nova API v2.1, "Servers".
///
/// It has no states of its own: what it is follows from the node that it is on (``ServerCondition``).
public struct Server: Sendable, Equatable {
  /// Also the node's `instance_uuid`.
  public var id: String
  /// Of all servers that one request made.
  public var reservationID: String
  public var launchIndex: Int
  public var projectID: String
  public var userID: String
  public var name: String
  /// What the system is called on its networks (RFC 1123), made of the name unless given.
  public var hostname: String
  public var description: String?
  /// Nil when no machine was found.
  public var nodeUUID: String?
  /// Nil for one that boots from a volume.
  public var imageID: String?
  /// As the flavor was then (``Flavor/snapshot``).
  public var flavor: JSONObject
  public var keyName: String?
  /// The key itself: the keypair may be gone.
  public var publicKey: String?
  /// Texts by their names.
  public var metadata: JSONObject
  /// In ascending order.
  public var tags: [String]
  /// Base64, as it was given.
  public var userData: String?
  /// The zone that was asked for; nil for any.
  public var pinnedZone: String?
  public var hasConfigDrive: Bool
  public var accessIPv4: String
  public var accessIPv6: String
  public var schedulerHints: JSONObject
  public var groupID: String?
  /// Who has locked it.
  public var lock: Lock?
  public var lockedReason: String?
  public var fault: Fault?
  public var createdAt: Timestamp
  public var updatedAt: Timestamp
  /// When a system ran on it first, or again after it was shelved.
  public var launchedAt: Timestamp?
  /// When it gave its machine back and kept the rest; nil for one that has a machine. Set until it runs on another one.
  public var shelvedAt: Timestamp?
  /// What was on its disk then; nil for one that runs from volumes.
  public var shelvedImageID: String?
  /// Its owner wants it gone; it is when the machine was given back.
  public var deletionAskedAt: Timestamp?
  public var deletedAt: Timestamp?

  public enum Lock: String, Sendable { case owner, admin }

  /// Why it is in error.
  public struct Fault: Sendable, Equatable {
    public var code: Int
    public var message: String
    /// For whoever runs the site.
    public var details: String?
    public var at: Timestamp
    public init(code: Int = 500, message: String, details: String? = nil, at: Timestamp) {
      self.code = code
      self.message = message
      self.details = details
      self.at = at
    }
  }

  public init(
    id: String = Identifier.uuid(), projectID: String, userID: String, name: String, flavor: JSONObject,
    createdAt: Timestamp
  ) {
    self.id = id
    self.projectID = projectID
    self.userID = userID
    self.name = name
    self.flavor = flavor
    self.createdAt = createdAt
    updatedAt = createdAt
    reservationID = "r-" + String(Identifier.hex().prefix(8))
    launchIndex = 0
    hostname = Self.hostname(of: name) ?? "server-\(id)"
    metadata = [:]
    tags = []
    hasConfigDrive = true
    accessIPv4 = ""
    accessIPv6 = ""
    schedulerHints = [:]
  }

  /// A host name made of a name: what is no letter or digit becomes a dash. Nil when nothing is left. Source: Nova,
  /// `sanitize_hostname`.
  public static func hostname(of name: String) -> String? {
    var out = ""
    for character in name.lowercased() {
      if character.isASCII && (character.isLetter || character.isNumber) {
        out.append(character)
      } else if character == " " || character == "_" || character == "." || character == "-" {
        out.append("-")
      }
    }
    while out.first == "-" { out.removeFirst() }
    out = String(out.prefix(63))
    while out.last == "-" { out.removeLast() }
    return out.isEmpty ? nil : out
  }
}

/// What of a node a server's condition follows from.
public struct ServerMachine: Sendable, Equatable {
  public var uuid: String
  public var name: String?
  public var state: ProvisionState
  public var power: Power?
  public var targetPower: Power?
  public var isReserved: Bool
  public var isInMaintenance: Bool
  public var lastError: Reason?
  public var deployStep: JSONObject
  /// The workflow that holds it turns it off and on.
  public var isRebooting: Bool
  /// The workflow that holds it makes an image of its disk.
  public var isCaptured: Bool
  /// The workflow that holds it shelves the server.
  public var isShelved: Bool
  /// It was on when that began.
  public var wasOn: Bool
  public var updatedAt: Timestamp?

  public init(uuid: String, name: String?, state: ProvisionState) {
    self.uuid = uuid
    self.name = name
    self.state = state
    isReserved = false
    isInMaintenance = false
    deployStep = [:]
    isRebooting = false
    isCaptured = false
    isShelved = false
    wasOn = false
  }
}

/// `status`, `vm_state`, `task_state`, `power_state` and `progress` of a server.
public struct ServerCondition: Sendable, Equatable {
  /// Source: Nova API guide, "Server concepts".
  public enum Status: String, Sendable, CaseIterable {
    case active = "ACTIVE"
    case build = "BUILD"
    case rebuild = "REBUILD"
    case shutoff = "SHUTOFF"
    case error = "ERROR"
    case rescue = "RESCUE"
    case reboot = "REBOOT"
    case hardReboot = "HARD_REBOOT"
    case shelvedOffloaded = "SHELVED_OFFLOADED"
    case deleted = "DELETED"
  }
  public var status: Status
  public var vmState: String
  public var taskState: String?
  /// 0 unknown, 1 running, 4 shut down.
  public var powerState: Int
  /// Percent.
  public var progress: Int
  /// Why it is in error, unless the server itself says.
  public var reason: Reason?

  init(_ status: Status, _ vmState: String, task: String? = nil, power: Int = 0, progress: Int = 0) {
    self.status = status
    self.vmState = vmState
    taskState = task
    powerState = power
    self.progress = progress
  }

  /// - Parameter machine: the server's node; nil when it has none, or that is gone.
  public static func of(_ server: Server, on machine: ServerMachine?) -> ServerCondition {
    if server.deletedAt != nil { return ServerCondition(.deleted, "deleted") }
    var condition = alive(server, on: machine)
    if server.deletionAskedAt != nil { condition.taskState = "deleting" }
    return condition
  }

  private static func alive(_ server: Server, on machine: ServerMachine?) -> ServerCondition {
    if server.shelvedAt != nil, machine?.state != .error { return shelved(on: machine) }
    guard let machine else {
      var condition = ServerCondition(.error, "error")
      if server.fault == nil { condition.reason = "The machine is not known any more: delete the server." }
      return condition
    }
    let power = machine.power == .on ? 1 : machine.power == .off ? 4 : 0
    let percent = machine.deployStep["percent"]?.int ?? 0
    func failed() -> ServerCondition {
      var condition = ServerCondition(.error, "error", power: power)
      condition.reason = machine.lastError ?? "The machine is in the state \(machine.state.rawValue)."
      return condition
    }
    switch machine.state {
    case .deploying, .deployWait:
      return server.launchedAt == nil
        ? ServerCondition(.build, "building", task: "spawning", power: power, progress: percent)
        : ServerCondition(.rebuild, "active", task: "rebuild_spawning", power: power, progress: percent)
    case .active:
      if machine.isRebooting {
        return ServerCondition(.hardReboot, "active", task: "rebooting_hard", power: power, progress: 100)
      }
      if machine.isCaptured {
        let isRunning = machine.power == .on
        return ServerCondition(
          isRunning ? .active : .shutoff, isRunning ? "active" : "stopped", task: "image_snapshot", power: power,
          progress: 100)
      }
      if machine.isShelved {
        return ServerCondition(
          machine.wasOn ? .active : .shutoff, machine.wasOn ? "active" : "stopped",
          task: machine.deployStep.isEmpty ? "shelving" : "shelving_image_uploading", power: power, progress: 100)
      }
      if machine.isReserved, machine.targetPower == .off {
        return ServerCondition(.active, "active", task: "powering-off", power: power, progress: 100)
      }
      if machine.isReserved, machine.targetPower == .on {
        return ServerCondition(.shutoff, "stopped", task: "powering-on", power: power, progress: 100)
      }
      return machine.power == .off
        ? ServerCondition(.shutoff, "stopped", power: power, progress: 100)
        : ServerCondition(.active, "active", power: power, progress: 100)
    case .rescuing: return ServerCondition(.active, "active", task: "rescuing", power: power)
    case .rescue: return ServerCondition(.rescue, "rescued", power: power)
    case .unrescuing: return ServerCondition(.rescue, "rescued", task: "unrescuing", power: power)
    case .deleting: return ServerCondition(.active, "active", task: "deleting", power: power)
    default: return failed()
    }
  }

  /// - Parameter machine: the one that it is about to run on.
  private static func shelved(on machine: ServerMachine?) -> ServerCondition {
    switch machine?.state {
    case nil: ServerCondition(.shelvedOffloaded, "shelved_offloaded", power: 4)
    case .deploying, .deployWait:
      ServerCondition(
        .shelvedOffloaded, "shelved_offloaded", task: "spawning", progress: machine?.deployStep["percent"]?.int ?? 0)
    // It could not run there, and the machine is given back.
    default: ServerCondition(.shelvedOffloaded, "shelved_offloaded", task: "shelving_offloading")
    }
  }
}

extension Server {
  /// What it asks of a machine, as its flavor was then.
  public var demands: MachineDemands {
    var kept = Flavor(
      id: flavor["id"]?.string ?? "", name: flavor["original_name"]?.string ?? "", memory: flavor["ram"]?.int ?? 0,
      vcpus: flavor["vcpus"]?.int ?? 0, disk: flavor["disk"]?.int ?? 0, createdAt: createdAt)
    kept.extraSpecs = flavor["extra_specs"]?.object ?? [:]
    var demands = kept.demands
    // Nothing is written on the machine's own disk.
    if imageID == nil { demands.disk = 0 }
    return demands
  }
}
