import Glibc
import Processes
import Synchronization
import Testing

/// A real IPMI 2.0 controller (OpenIPMI's `ipmi_sim`) on loopback: user "admin", password "password". Its chassis is a
/// script that keeps power and boot device in files, and a log of what was asked.
final class SimulatedController: Sendable {
  let folder: String
  let port: Int
  /// The machine's serial port. Up before the controller, which else looks for it every 10 s only.
  let serial: SerialPort
  private let process: Mutex<Int32?>

  private init(folder: String) throws {
    self.folder = folder
    port = freePort(SOCK_DGRAM)
    serial = try SerialPort()
    process = Mutex(nil)
  }
  deinit { process.withLock { if let process = $0 { kill(-process, SIGKILL) } } }

  /// - Parameter stubborn: the machine ignores a soft shutdown.
  static func start(stubborn: Bool = false) async throws -> SimulatedController {
    var template = Array("/tmp/steelyard-ipmi-XXXXXX".utf8CString)
    let folder = mkdtemp(&template).map { String(cString: $0) } ?? "/tmp"
    let controller = try SimulatedController(folder: folder)
    try controller.write("power", "0")
    if stubborn { try controller.write("stubborn", "1") }
    try await writeExecutable(chassis, to: "\(folder)/chassis.sh")
    try controller.write(
      "lan.conf",
      """
      name "node"
      set_working_mc 0x20
        startlan 1
          addr 127.0.0.1 \(controller.port)
          priv_limit admin
          allowed_auths_callback md5
          allowed_auths_user md5
          allowed_auths_operator md5
          allowed_auths_admin md5
          guid a123456789abcdefa123456700000001
        endlan
        chassis_control "\(folder)/chassis.sh 0x20"
        sol "tcp:127.0.0.1:\(controller.serial.port)" 115200 history=16000
        startnow false
        user 1 false "" "x" user 10 none
        user 2 true "admin" "password" admin 10 md5

      """)
    // No events: fifteen bits each of what is supported and what is enabled.
    let none = String(repeating: "0", count: 15)
    try controller.write(
      "bmc.emu",
      """
      mc_setbmc 0x20
      mc_add 0x20 0 has-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02 persist_sdr
      mc_add_fru_data 0x20 0 256 data \(fru(vendor: "Lab", product: "Virtual PC", serial: "SN-1"))
      sensor_add 0x20 0 1 0x01 0x01
      sensor_set_event_support 0x20 0 1 enable scanning per-state \(none) \(none) \(none) \(none)
      sensor_set_value 0x20 0 1 23 0
      main_sdr_add 0x20 \(sensorRecord(1, type: 0x01, unit: 0x01, "Inlet"))
      sensor_add 0x20 0 2 0x04 0x01
      sensor_set_event_support 0x20 0 2 enable scanning per-state \(none) \(none) \(none) \(none)
      sensor_set_value 0x20 0 2 210 0
      main_sdr_add 0x20 \(sensorRecord(2, type: 0x04, unit: 0x12, "Fan 1"))
      mc_enable 0x20

      """)
    try await controller.run()
    return controller
  }

  func run() async throws {
    let result = try await runChecked(
      "sh",
      [
        "-c", "cd \"$1\" && setsid ipmi_sim -c lan.conf -f bmc.emu -s \"$1\" -n >sim.log 2>&1 </dev/null & echo $!",
        "sh", folder,
      ])
    let started = Int32(result.text.filter(\.isNumber))
    process.withLock { $0 = started }
    let ready = ContinuousClock.now + .seconds(10)
    while true {
      let status = try await Processes.run(
        "ipmitool",
        [
          "-I", "lanplus", "-H", "127.0.0.1", "-p", "\(port)", "-U", "admin", "-E", "-C", "3", "-N", "1", "-R", "1",
          "mc", "info",
        ], environment: ["IPMI_PASSWORD": "password"])
      if status.status == 0 { return }
      guard ContinuousClock.now < ready else { throw CommandError(program: "ipmi_sim", reason: .timeout(.seconds(10))) }
    }
  }

  /// Ends the controller as when its plug is pulled.
  func unplug() async throws {
    let process = process.withLock { process in
      defer { process = nil }
      return process
    }
    guard let process else { return }
    kill(-process, SIGKILL)
    try await until { kill(process, 0) != 0 || state(of: process) == "Z" }
  }

  /// Unplugs it and removes its files. Call at the end of a test.
  func remove() async throws {
    try await unplug()
    serial.close()
    try await runChecked("rm", ["-rf", folder])
  }

  /// What the controller asked of the machine, in order, looks left out.
  var orders: [String] {
    (try? read("log"))?.split(separator: "\n").filter { $0.hasPrefix("set ") }.map { String($0) } ?? []
  }

  func read(_ name: String) throws -> String {
    guard let file = fopen("\(folder)/\(name)", "r") else { throw CommandError(program: name, reason: .notFound) }
    defer { fclose(file) }
    var text: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 65536)
    while true {
      let count = fread(&buffer, 1, buffer.count, file)
      if count == 0 { return String(decoding: text, as: UTF8.self) }
      text += buffer[..<count]
    }
  }

  func write(_ name: String, _ text: String) throws {
    let descriptor = open("\(folder)/\(name)", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
    guard descriptor >= 0 else { throw CommandError(program: name, reason: .notStarted(errno)) }
    defer { close(descriptor) }
    let bytes = Array(text.utf8)
    guard Glibc.write(descriptor, bytes, bytes.count) == bytes.count else {
      throw CommandError(program: name, reason: .notStarted(errno))
    }
  }

  private static let chassis = """
    #!/bin/bash
    # called by ipmi_sim: MC get|set|check NAME [VALUE] ...
    cd "$(dirname "$0")"; shift; echo "$*" >>log
    op=$1; shift
    case $op in
    get) for name in "$@"; do case $name in
      power) echo "power:$(cat power)";;
      boot) echo "boot:$(cat boot 2>/dev/null || echo default)";;
      *) exit 1;; esac; done;;
    set) while [ $# -gt 1 ]; do case $1 in
      power) echo "$2" >power;;
      boot) echo "$2" >boot;;
      shutdown|graceful_shutdown) [ -e stubborn ] || echo 0 >power;;
      reset) ;;
      *) exit 1;; esac; shift 2; done;;
    esac
    exit 0

    """

  /// A full sensor record of a reading without thresholds, one for one. Source: IPMI 2.0, 43.1.
  private static func sensorRecord(_ number: UInt8, type: UInt8, unit: UInt8, _ name: String) -> String {
    var body: [UInt8] = [0x20, 0, number, 7, 1, 0x7f, 0x48, type, 0x01, 0, 0, 0, 0, 0, 0, 0, unit, 0, 0]
    // M 1, tolerance 0, B 0, exponents 0; nothing nominal; 0 to 255; no thresholds, no hysteresis.
    body += [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 0] + [UInt8](repeating: 0, count: 6) + [0, 0, 0, 0, 0]
    body += [0xc0 | UInt8(name.utf8.count)] + Array(name.utf8)
    return ([0, 0, 0x51, 1, UInt8(body.count)] + body).map { "0x" + String($0, radix: 16) }.joined(separator: " ")
  }

  /// A FRU image with board and product areas, as `ipmi_sim` wants it. Source: IPMI FRU Information Storage v1.0.
  private static func fru(vendor: String, product: String, serial: String) -> String {
    func text(_ value: String) -> [UInt8] { [0xc0 | UInt8(value.utf8.count)] + Array(value.utf8) }
    func checked(_ bytes: [UInt8]) -> [UInt8] { bytes + [0 &- bytes.reduce(0, &+)] }
    func area(_ body: [UInt8]) -> [UInt8] {
      var bytes: [UInt8] = [1, 0] + body + [0xc1]
      while (bytes.count + 1) % 8 != 0 { bytes.append(0) }
      bytes[1] = UInt8((bytes.count + 1) / 8)
      return checked(bytes)
    }
    let board = area([0, 0, 0, 0] + text(vendor) + text(product) + text(serial) + text("PN1") + text(""))
    let productArea = area(
      [0] + text(vendor) + text(product) + text("PN1") + text("1.0") + text(serial) + text("") + text(""))
    var bytes = checked([1, 0, 0, 1, UInt8(1 + board.count / 8), 0, 0]) + board + productArea
    while bytes.count < 256 { bytes.append(0) }
    return bytes.map { "0x" + String($0, radix: 16) }.joined(separator: " ")
  }
}

/// A port of loopback that nobody has now.
func freePort(_ kind: __socket_type) -> Int {
  let descriptor = socket(AF_INET, Int32(kind.rawValue), 0)
  defer { close(descriptor) }
  var address = sockaddr_in()
  address.sin_family = sa_family_t(AF_INET)
  address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
  var length = socklen_t(MemoryLayout<sockaddr_in>.size)
  return withUnsafeMutablePointer(to: &address) { pointer in
    pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
      bind(descriptor, address, length)
      getsockname(descriptor, address, &length)
    }
    return Int(UInt16(bigEndian: pointer.pointee.sin_port))
  }
}

/// Waits for a condition, at most for the limit.
func until(_ limit: Duration = .seconds(20), _ condition: () async throws -> Bool) async throws {
  let deadline = ContinuousClock.now + limit
  while try await !condition() {
    guard ContinuousClock.now < deadline else { throw CommandError(program: "until", reason: .timeout(limit)) }
    try await Task.sleep(for: .milliseconds(20))
  }
}

func state(of process: Int32) -> String? {
  guard let file = fopen("/proc/\(process)/stat", "r") else { return nil }
  defer { fclose(file) }
  var buffer = [UInt8](repeating: 0, count: 512)
  let count = fread(&buffer, 1, buffer.count, file)
  let text = String(decoding: buffer[..<count], as: UTF8.self)
  return text.split(separator: ")").last?.split(separator: " ").first.map { String($0) }
}
