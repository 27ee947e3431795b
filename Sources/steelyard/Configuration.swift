import Conductor
import Domain
import DriverInterfaces
import Glibc
import Wire
import Yams

/// The configuration file, `steelyard.yaml` in the data folder. docs/deployment.md is its reference.
struct Configuration: Codable, Sendable {
  struct Listen: Codable, Sendable {
    var address = "127.0.0.1"
    var port = 5000
    /// PEM files; both or none.
    var certificate: String?
    var key: String?
  }
  struct Provisioning: Codable, Sendable {
    /// The server's address on the provisioning network; agents reach the listener there.
    var address = "10.77.0.1"
    var prefix = 24
    var port = 8077
    var interface = "prov"
    /// The network namespace that the interface is in; absent when it is the server's own.
    var namespace: String?
    /// First and last address handed to machines.
    var first = "10.77.0.50"
    var last = "10.77.0.250"
    var vlan = 100
    /// First and last address of machines that boot from volumes; absent where none do. Not among those above, nor of
    /// `discovery`.
    var volume_first: String?
    var volume_last: String?
    /// Where they ask for their boot script.
    var volume_port: Int?
  }
  /// Machines that nobody has enrolled and that boot on the provisioning network.
  struct Discovery: Codable, Sendable {
    var enabled = false
    /// First and last address handed to them; not among those of `provisioning`.
    var first = "10.77.0.20"
    var last = "10.77.0.40"
    /// The hardware type that they begin with.
    var driver = "ipmi"
    /// How many may wait for an administrator.
    var most_waiting = 50
  }
  struct Ramdisk: Codable, Sendable {
    var kernel: String
    var initrd: String
    /// The archive of the rescue system; absent: machines are not rescued.
    var rescue: String?
  }
  struct Switch: Codable, Sendable {
    var name: String
    var kind = "openvswitch"
    /// "unix:/path" or "tcp:host:port"; "https://…", "netconf://…" or "ssh://…", by kind.
    var endpoint: String
    var bridge: String?
    /// Ports that are not machines'.
    var uplinks: [String]?
    var control: String?
    /// The set of switches on which a VLAN means one thing; absent for `networks.physical_network`.
    var physical_network: String?
    var vtep: VTEP?
    // Switches with accounts of their own; see SwitchConfiguration.
    var username: String?
    var password_file: String?
    var key_file: String?
    var secret_file: String?
    var ca_file: String?
    var fingerprint: String?
    var host_key: String?
    var known_hosts: String?
    var save: Bool?
    /// Seconds.
    var patience: Int?
  }
  /// How a switch carries networks that have a VNI: `openvswitch` by tunnels to the other sites' switches, others in a fabric.
  struct VTEP: Codable, Sendable {
    var address: String?
    var peers: [String]?
    /// The EVPN fabric's name.
    var fabric: String?
    /// The fabric's AS number.
    var asn: Int?
  }
  struct Networks: Codable, Sendable {
    var physical_network = "datacentre"
    /// The tenants' VLAN pool, first and last.
    var first_vlan = 200
    var last_vlan = 299
    /// Whether new networks have port security that do not say it themselves.
    var port_security = false
  }
  struct Console: Codable, Sendable {
    var address = "127.0.0.1"
    /// Host in the URLs that clients are told; absent when it is the address.
    var public_host: String?
    var first_port = 7600
    var last_port = 7699
    /// Of the console proxy, which carries consoles to browsers; absent when there is none.
    var websocket_port: Int?
  }
  /// How long leases are, who is told of their end, and what may be leased beside machines.
  struct Leases: Codable, Sendable {
    /// Of a lease that is asked for without an end.
    var default_days = 7
    /// The longest; not for administrators.
    var maximum_days = 21
    /// Seconds before a lease's end at which its parties are told, by events and webhooks.
    var notices = [86_400, 3_600]
    /// The leases of a withdrawn offer run to their end unless the caller says otherwise.
    var keep_on_offer_delete = false
    /// A folder of `dummy_node` resources, one JSON file each; for tests and rehearsals.
    var dummy_nodes: String?
    /// Every name is a `test_node` resource; for load tests.
    var test_nodes = false
  }
  /// Somebody who is told what happens to leases.
  struct WebhookEntry: Codable, Sendable {
    var url: String
    /// A file whose content signs the messages.
    var secret_file: String?
    /// Beginnings of event types; the notices alone when absent.
    var events: [String]?
    /// The receiver may be on this machine or on a link-local address.
    var allow_local: Bool?
  }
  /// Hardware type `fake-hardware`: machines that do not exist, for tests and rehearsals.
  struct FakeHardware: Codable, Sendable {
    var enabled = false
    /// `driver_info` of every fake that does not say otherwise: delays and faults.
    var driver_info: [String: Scalar]?
  }
  /// A plain value of the file.
  enum Scalar: Codable, Sendable {
    case number(Double)
    case text(String)
    init(from decoder: any Decoder) throws {
      let container = try decoder.singleValueContainer()
      if let number = try? container.decode(Double.self) {
        self = .number(number)
      } else {
        self = .text(try container.decode(String.self))
      }
    }
    func encode(to encoder: any Encoder) throws {
      var container = encoder.singleValueContainer()
      switch self {
      case .number(let number): try container.encode(number)
      case .text(let text): try container.encode(text)
      }
    }
    var json: JSON {
      switch self {
      case .number(let number): .double(number)
      case .text(let text): .string(text)
      }
    }
  }
  /// What images may be fetched from the web for tenants (`web-download`).
  struct Images: Codable, Sendable {
    var web_download = true
    /// Names that may lead anywhere, networks beside the public Internet, ports beside 80 and 443.
    var web_download_hosts: [String] = []
    var web_download_networks: [String] = []
    var web_download_ports: [Int] = []
  }
  /// How machines are deployed.
  struct Deploy: Codable, Sendable {
    /// Machines that were cleaned keep their agent up for the next deployment.
    var fast_track = false
    /// How long; then they are switched off.
    var fast_track_hours = 8
    /// The agent starts the installed system, without the firmware, where an image or a node does not say otherwise.
    var kexec = false
  }
  struct Limits: Codable, Sendable {
    /// Seconds from power on to the agent's call.
    var agent_patience = 900
    var agent_silence = 90
    var power_patience = 60
    /// Seconds between two looks at every machine's power, and at every switch port.
    var power_sync = 60
    var switch_audit = 60
    /// Nodes in the longest page of a list.
    var page = 1000
  }
  /// Who administers the site, how long tokens live, and what is demanded of passwords.
  struct Identity: Codable, Sendable {
    /// Role `admin` in whatever project administers the site, as upstream's default has it. For tests only.
    var project_admins_are_site_admins = false
    /// Seconds.
    var token_lifetime = 3600
    /// So many wrong passwords in a row lock a user for so many seconds; 0 never locks.
    var lockout_failures = 6
    var lockout_seconds = 1800
    var password_minimum_length = 1
    /// A regular expression that a new password must match, and what it asks for in words.
    var password_pattern: String?
    var password_pattern_description: String?
    /// The last so many passwords cannot be chosen again.
    var password_history = 1
    /// Days that a password must be kept after its user changed it, and after which it must be changed; 0 for none.
    var password_minimum_days = 0
    var password_maximum_days = 0
    /// A password that an administrator set must be changed before it can be used.
    var password_change_after_reset = false
    /// How many passwords are hashed at a time, each at a cost of 20 ms and 16 MiB, and how many more may wait.
    var hash_threads = 2
    var hash_queue = 1000
  }
  /// Servers of the compute service.
  struct Servers: Codable, Sendable {
    /// Every project's servers may be put on machines that have neither owner nor lessee, as upstream does it.
    var unowned_machines_are_shared = false
  }
  var listen = Listen()
  var servers = Servers()
  var identity = Identity()
  /// "https://cloud.example:5000" when clients come through a proxy.
  var public_url: String?
  var provisioning: Provisioning?
  var discovery = Discovery()
  var ramdisk: Ramdisk?
  var switches: [Switch]?
  var ovn: OVN?
  var networks = Networks()
  var volumes = Volumes()
  var console = Console()
  /// "full" (every byte, read back) or "metadata".
  var erase = "full"
  var deploy = Deploy()
  var images = Images()
  var limits = Limits()
  var leases = Leases()
  var webhooks: [WebhookEntry]?
  var fake_hardware = FakeHardware()

  static func read(_ path: String) throws -> Configuration {
    let text = try readFile(path)
    do {
      guard let given = try Yams.load(yaml: text) as? [String: Any] else {
        throw Failure("it is not a mapping of keys to values")
      }
      // What the file leaves out has its default; a key that is none is a slip of the pen.
      var whole = try defaults(of: Configuration())
      let known = try sections
      for (key, value) in given {
        guard let section = known[key] else {
          throw Failure("'\(key)' is no key; there are \(known.keys.sorted().joined(separator: ", "))")
        }
        guard let (defaults, optional) = section, let mapping = value as? [String: Any] else {
          whole[key] = value
          continue
        }
        for name in mapping.keys where defaults[name] == nil && !optional.contains(name) {
          throw Failure(
            "'\(key).\(name)' is no key; there are \((Array(defaults.keys) + optional).sorted().joined(separator: ", "))"
          )
        }
        whole[key] = defaults.merging(mapping) { $1 }
      }
      return try YAMLDecoder().decode(Configuration.self, from: try Yams.dump(object: whole))
    } catch {
      throw Failure("\(path): \(error)")
    }
  }

  /// The top-level keys: sections with their defaults and the names of their optional keys, or nil for plain values.
  private static var sections: [String: ([String: Any], [String])?] {
    get throws {
      [
        "listen": (try defaults(of: Listen()), ["certificate", "key"]), "public_url": nil,
        "provisioning": (
          try defaults(of: Provisioning()), ["namespace", "volume_first", "volume_last", "volume_port"]
        ), "ramdisk": ([:], ["kernel", "initrd", "rescue"]),
        "discovery": (try defaults(of: Discovery()), []),
        "switches": nil, "ovn": ([:], ["northbound", "southbound", "chassis", "physical_networks"]),
        "networks": (try defaults(of: Networks()), []),
        "volumes": (
          try defaults(of: Volumes()),
          ["folder", "portals", "namespace", "backups", "backup_credentials", "backup_authority", "backends"]
        ),
        "console": (try defaults(of: Console()), ["public_host", "websocket_port"]),
        "erase": nil, "deploy": (try defaults(of: Deploy()), []),
        "identity": (
          try defaults(of: Identity()), ["password_pattern", "password_pattern_description"]
        ),
        "servers": (try defaults(of: Servers()), []),
        "images": (try defaults(of: Images()), []),
        "limits": (try defaults(of: Limits()), []),
        "leases": (try defaults(of: Leases()), ["dummy_nodes"]), "webhooks": nil,
        "fake_hardware": (try defaults(of: FakeHardware()), ["driver_info"]),
      ]
    }
  }
  private static func defaults(of value: some Encodable) throws -> [String: Any] {
    try Yams.load(yaml: try YAMLEncoder().encode(value)) as? [String: Any] ?? [:]
  }
  var yaml: String { get throws { try YAMLEncoder().encode(self) } }

  func conductorSettings(dataFolder: String) -> ConductorSettings {
    var settings = ConductorSettings()
    if let provisioning {
      settings.provisioningVLAN = provisioning.vlan
      settings.agentServer = "http://\(provisioning.address):\(provisioning.port)"
    }
    settings.volumeBoot = try? volumeBoot
    settings.rescueSystem = ramdisk?.rescue
    settings.usualVolumeBackend = volumes.backends?.first?.name
    if discovery.enabled {
      var found = DiscoverySettings()
      found.driver = discovery.driver
      found.mostWaiting = discovery.most_waiting
      settings.discovery = found
    }
    settings.agentPatience = .seconds(limits.agent_patience)
    settings.agentSilence = .seconds(limits.agent_silence)
    settings.powerPatience = .seconds(limits.power_patience)
    settings.powerSyncPeriod = .seconds(limits.power_sync)
    settings.physicalNetwork = networks.physical_network
    settings.switchAuditPeriod = .seconds(limits.switch_audit)
    settings.eraseMode = erase
    settings.startsByKexec = deploy.kexec
    settings.isFastTracked = deploy.fast_track
    settings.standByTime = .seconds(deploy.fast_track_hours * 3600)
    settings.dataFolder = dataFolder
    settings.unownedMachinesAreShared = servers.unowned_machines_are_shared
    settings.leases = leaseSettings
    return settings
  }

  var leaseSettings: LeaseSettings {
    var settings = LeaseSettings(
      defaultLength: .seconds(leases.default_days * 86_400), maximumLength: .seconds(leases.maximum_days * 86_400),
      notices: leases.notices.map { .seconds($0) })
    settings.keepsLeasesOfWithdrawnOffers = leases.keep_on_offer_delete
    settings.dummyFolder = leases.dummy_nodes
    settings.hasTestNodes = leases.test_nodes
    return settings
  }
  /// - Throws: ``Failure`` for a secret that cannot be read, or that is empty.
  func webhookReceivers() throws -> [Webhook] {
    let entries = webhooks ?? []
    guard Set(entries.map(\.url)).count == entries.count else { throw Failure("webhooks: a url is given twice") }
    return try entries.map { entry in
      guard entry.url.hasPrefix("https://") || entry.url.hasPrefix("http://") else {
        throw Failure("webhooks: '\(entry.url)' is no http or https URL")
      }
      var webhook = Webhook(url: entry.url, isLocalAllowed: entry.allow_local ?? false)
      if let events = entry.events { webhook.events = events }
      if let file = entry.secret_file {
        var secret = Array(try readFile(file).utf8)
        while secret.last == 0x0a { secret.removeLast() }
        guard secret.count >= 16 else { throw Failure("\(file): a secret of at least 16 bytes is expected") }
        webhook.secret = secret
      }
      return webhook
    }
  }
}

extension Configuration.Identity {
  var lockout: LockoutRules {
    var rules = LockoutRules()
    rules.failures = lockout_failures
    rules.duration = .seconds(lockout_seconds)
    return rules
  }
  /// - Throws: ``Failure`` for a value that cannot be meant.
  func passwordRules() throws -> PasswordRules {
    if let password_pattern, (try? Regex(password_pattern)) == nil {
      throw Failure("identity.password_pattern: '\(password_pattern)' is no regular expression")
    }
    guard (60...86_400).contains(token_lifetime) else {
      throw Failure("identity.token_lifetime: 60 to 86400 seconds are expected")
    }
    let counts = [
      lockout_failures, lockout_seconds, password_minimum_length, password_history, password_minimum_days,
      password_maximum_days, hash_queue,
    ]
    guard counts.allSatisfy({ (0...1_000_000).contains($0) }), (1...64).contains(hash_threads), password_history <= 24
    else {
      throw Failure("identity: numbers must not be negative, hash_threads is 1 to 64, password_history at most 24")
    }
    var rules = PasswordRules()
    rules.pattern = password_pattern
    rules.patternDescription = password_pattern_description
    rules.minimumLength = password_minimum_length
    rules.history = password_history
    rules.minimumAge = .seconds(password_minimum_days * 86_400)
    rules.maximumAge = password_maximum_days == 0 ? nil : .seconds(password_maximum_days * 86_400)
    rules.mustChangeAfterReset = password_change_after_reset
    return rules
  }
}

/// A reason for the user, printed as it is.
struct Failure: Error, CustomStringConvertible {
  let description: String
  init(_ description: String) { self.description = description }
}

func readFile(_ path: String) throws -> String {
  let descriptor = open(path, O_RDONLY | O_CLOEXEC)
  guard descriptor >= 0 else { throw Failure("cannot read \(path): \(String(cString: strerror(errno)))") }
  defer { close(descriptor) }
  var bytes: [UInt8] = []
  var buffer = [UInt8](repeating: 0, count: 1 << 16)
  while true {
    let count = read(descriptor, &buffer, buffer.count)
    guard count >= 0 else { throw Failure("cannot read \(path): \(String(cString: strerror(errno)))") }
    if count == 0 { return String(decoding: bytes, as: UTF8.self) }
    bytes += buffer.prefix(count)
  }
}

/// Writes a file whole: under another name first, so that a reader never sees half of it.
func writeFile(_ path: String, _ text: String, mode: mode_t = 0o644) throws {
  let temporary = path + ".new"
  let descriptor = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode)
  guard descriptor >= 0 else { throw Failure("cannot write \(temporary): \(String(cString: strerror(errno)))") }
  let bytes = Array(text.utf8)
  let isWritten =
    write(descriptor, bytes, bytes.count) == bytes.count && fchmod(descriptor, mode) == 0 && fsync(descriptor) == 0
  close(descriptor)
  guard isWritten, rename(temporary, path) == 0 else {
    throw Failure("cannot write \(path): \(String(cString: strerror(errno)))")
  }
}

func makeFolder(_ path: String, mode: mode_t = 0o700) throws {
  guard mkdir(path, mode) == 0 || errno == EEXIST else {
    throw Failure("cannot make the folder \(path): \(String(cString: strerror(errno)))")
  }
}
