import Wire

/// One simulated controller and the machine that it claims to manage.
///
/// As JSON (all but `address` may be left out): `{"name": "r1", "address": "127.78.0.13:8000", "control":
/// ["/path/machine", "r1"], "username": "admin", "password": "…", "tls": true, "identity": "/folder", "mode": "uefi", "uuid": "…", "serial":
/// "…", "manufacturer": "…", "model": "…", "bios_version": "…", "cpus": 2, "cpu_model": "…", "memory_mib": 1024,
/// "nics": ["52:54:00:…"], "disks": [{"name": "vda", "bytes": 2147483648, "serial": "…"}]}`. Without `control` the
/// machine is a fake one.
public struct BMCConfiguration: Sendable {
  public struct Disk: Sendable {
    public var name: String
    public var bytes: Int
    public var serial: String
    public init(name: String, bytes: Int, serial: String) {
      self.name = name
      self.bytes = bytes
      self.serial = serial
    }
  }
  /// How the log and the faults endpoint call it.
  public var name: String
  /// An address of this machine; port 0 takes a free one.
  public var host: String
  public var port: Int
  /// The machine control command as a prefix of arguments; nil for a fake machine.
  public var control: [String]?
  public var username = "admin"
  public var password = "password"
  public var isTLS = false
  /// Folder where its certificate and key stay, so that it is the same one the next time; nil for a new one each time.
  public var identityFolder: String?
  public var firmware = MachineFirmware.uefi
  public var uuid: String
  public var serial: String
  public var manufacturer = "Steelyard"
  public var model = "Simulated server"
  public var biosVersion = "1.0"
  public var cpus = 2
  public var cpuModel = "Simulated CPU"
  public var memoryMiB = 4096
  public var macs: [String]
  public var disks: [Disk]

  public init(name: String, host: String, port: Int, control: [String]? = nil) {
    self.name = name
    self.host = host
    self.port = port
    self.control = control
    uuid = Identifier.uuid()
    serial = "SIM-\(name)"
    let last = Self.digits(port & 0xff)
    macs = ["52:54:00:5e:\(last):01", "52:54:00:5e:\(last):02"]
    disks = [Disk(name: "disk0", bytes: 8_589_934_592, serial: "\(serial)-0")]
  }
  private static func digits(_ byte: Int) -> String {
    let text = String(byte, radix: 16)
    return text.count < 2 ? "0" + text : text
  }

  /// - Throws: ``MachineError`` naming the member that is missing or unknown.
  public init(_ json: JSON) throws {
    guard let object = json.object else { throw MachineError("a BMC is a JSON object") }
    let (host, port) = try splitAddress(object["address"]?.string ?? "")
    self.init(name: object["name"]?.string ?? "\(host):\(port)", host: host, port: port)
    for member in object {
      let value = member.value
      switch member.key {
      case "name", "address": break
      case "control":
        let words = value.array?.compactMap(\.string) ?? []
        if words.isEmpty { throw MachineError("control is a list of words") }
        control = words
      case "username": username = value.string ?? username
      case "password": password = value.string ?? password
      case "tls": isTLS = value.bool ?? false
      case "identity": identityFolder = value.string
      case "mode":
        guard let mode = value.string.flatMap({ MachineFirmware(rawValue: $0) }) else {
          throw MachineError("mode is bios or uefi")
        }
        firmware = mode
      case "uuid": uuid = value.string ?? uuid
      case "serial": serial = value.string ?? serial
      case "manufacturer": manufacturer = value.string ?? manufacturer
      case "model": model = value.string ?? model
      case "bios_version": biosVersion = value.string ?? biosVersion
      case "cpus": cpus = value.int ?? cpus
      case "cpu_model": cpuModel = value.string ?? cpuModel
      case "memory_mib": memoryMiB = value.int ?? memoryMiB
      case "nics": macs = value.array?.compactMap(\.string) ?? []
      case "disks":
        disks = (value.array ?? []).enumerated().map { index, disk in
          Disk(
            name: disk["name"]?.string ?? "disk\(index)", bytes: disk["bytes"]?.int ?? 0,
            serial: disk["serial"]?.string ?? "\(serial)-\(index)")
        }
      default: throw MachineError("unknown member \(member.key) of BMC \(name)")
      }
    }
  }

  /// Reads `--bmc name=…,address=HOST:PORT,control=CMD ARG …` of the command line.
  public init(option: String) throws {
    var object = JSONObject()
    for pair in option.split(separator: ",") {
      guard let equals = pair.firstIndex(of: "=") else { throw MachineError("--bmc: \(pair) has no =") }
      let value = String(pair[pair.index(after: equals)...])
      switch pair[..<equals] {
      case "control": object["control"] = JSON(value.split(separator: " ").map { String($0) })
      case "tls": object["tls"] = .bool(value == "true")
      case let key: object[String(key)] = .string(value)
      }
    }
    try self.init(.object(object))
  }
}

/// "127.0.0.1:8000" as its parts.
func splitAddress(_ text: String) throws -> (host: String, port: Int) {
  guard let colon = text.lastIndex(of: ":"), let port = Int(text[text.index(after: colon)...]), port >= 0, port < 65536,
    colon > text.startIndex
  else { throw MachineError("an address is HOST:PORT, not \"\(text)\"") }
  return (String(text[..<colon]), port)
}
