import Conductor
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
  }
  struct Ramdisk: Codable, Sendable {
    var kernel: String
    var initrd: String
  }
  struct Switch: Codable, Sendable {
    var name: String
    var kind = "openvswitch"
    /// "unix:/path" or "tcp:host:port".
    var endpoint: String
    var bridge: String
    /// Ports that are not machines'.
    var uplinks: [String]?
    var control: String?
  }
  struct Networks: Codable, Sendable {
    var physical_network = "datacentre"
    /// The tenants' VLAN pool, first and last.
    var first_vlan = 200
    var last_vlan = 299
  }
  struct Console: Codable, Sendable {
    var address = "127.0.0.1"
    /// Host in the URLs that clients are told; absent when it is the address.
    var public_host: String?
    var first_port = 7600
    var last_port = 7699
  }
  struct Limits: Codable, Sendable {
    /// Seconds from power on to the agent's call.
    var agent_patience = 900
    var agent_silence = 90
    var power_patience = 60
    /// Seconds between two looks at every machine's power, and at every switch port.
    var power_sync = 60
    var switch_audit = 60
  }
  var listen = Listen()
  /// "https://cloud.example:5000" when clients come through a proxy.
  var public_url: String?
  var provisioning: Provisioning?
  var ramdisk: Ramdisk?
  var switches: [Switch]?
  var networks = Networks()
  var console = Console()
  /// "full" (every byte, read back) or "metadata".
  var erase = "full"
  var limits = Limits()

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
        "provisioning": (try defaults(of: Provisioning()), ["namespace"]), "ramdisk": ([:], ["kernel", "initrd"]),
        "switches": nil,
        "networks": (try defaults(of: Networks()), []), "console": (try defaults(of: Console()), ["public_host"]),
        "erase": nil,
        "limits": (try defaults(of: Limits()), []),
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
    settings.agentPatience = .seconds(limits.agent_patience)
    settings.agentSilence = .seconds(limits.agent_silence)
    settings.powerPatience = .seconds(limits.power_patience)
    settings.powerSyncPeriod = .seconds(limits.power_sync)
    settings.switchAuditPeriod = .seconds(limits.switch_audit)
    settings.eraseMode = erase
    settings.dataFolder = dataFolder
    return settings
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
