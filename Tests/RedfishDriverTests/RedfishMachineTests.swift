import Domain
import DriverInterfaces
import Glibc
import Processes
import RedfishDriver
import Simulators
import Testing
import Wire

/// The simulator in front of a machine control command, and the driver in front of somebody else's simulator.
@Suite struct RedfishMachineTests {
  /// Keeps the machine in files; refuses what the contract does not have.
  private static let script = """
    cd "$1" || exit 9; shift
    echo "$*" >> calls
    case "$*" in
    "get power") cat power 2>/dev/null || echo off ;;
    "get boot") cat boot 2>/dev/null || echo none ;;
    "set power on"|"set power off") echo "$3" > power ;;
    "set boot "*) echo "$3 $4" > boot ;;
    "set mode bios"|"set mode uefi") ;;
    shutdown) echo off > power ;;
    *) echo "what is $*" >&2; exit 2 ;;
    esac
    """

  @Test func theControlCommandIsCalledAsTheContractSays() async throws {
    let folder = try temporaryFolder()
    try write(Self.script, to: folder + "/machine")

    try await withController(control: ["/bin/sh", folder + "/machine", folder]) { bmc in
      let driver = try bmc.driver()
      try await driver.management.ensureBootOverride(BootOverride(.pxe, persistent: false, mode: .bios))
      try await driver.power.ensurePower(.on, graceful: false, patience: .seconds(10))
      try await driver.management.ensureBootOverride(BootOverride(.disk, persistent: true))
      try await driver.power.ensurePower(.off, graceful: true, patience: .seconds(10))
      #expect(try await driver.power.observePower() == .off)
    }

    let calls = try await runChecked("cat", [folder + "/calls"]).text.split(separator: "\n")
    #expect(
      calls.filter { !$0.hasPrefix("get ") } == [
        "set boot pxe once", "set mode bios", "set power on", "set boot disk continuous", "shutdown",
      ])
    try await runChecked("rm", ["-r", folder])
  }

  @Test func anAuthorityInAFileIsEnoughForTheNameItSigned() async throws {
    // The second certificate is for 0.0.0.0: the authority is known, the name is wrong.
    for (host, isRight) in [("127.0.0.1", true), ("0.0.0.0", false)] {
      let folder = try temporaryFolder()
      try await withController(tls: true, host: host) { bmc in
        let shown = try await run(
          "openssl", ["s_client", "-connect", "127.0.0.1:\(bmc.port)"], input: Array("Q\n".utf8), timeout: .seconds(10))
        let lines = shown.text.split(separator: "\n")
        let first = try #require(lines.firstIndex { $0.contains("BEGIN CERTIFICATE") })
        let last = try #require(lines.firstIndex { $0.contains("END CERTIFICATE") })
        try write(lines[first...last].joined(separator: "\n") + "\n", to: folder + "/ca.pem")
        let driver = try bmc.driver(["redfish_verify_ca": .string(folder + "/ca.pem")])

        if isRight {
          _ = try await driver.management.verify()
        } else {
          let error = await driverError { _ = try await driver.management.verify() }
          #expect(error.code == .refused && error.detail.contains("another name"), "\(error)")
          #expect(bmc.log.entries("request").isEmpty)
        }
      }
      try await runChecked("rm", ["-r", folder])
    }
  }

  @Test func theProgramTakesFaultsServesSeveralControllersAndKeepsALog() async throws {
    let folder = try temporaryFolder()
    try write(
      """
      {"bmcs": [{"name": "r1", "address": "127.0.0.1:0", "username": "u", "password": "pa55-w0rd", "memory_mib": 512},
                {"name": "r2", "address": "127.0.0.2:0"}]}
      """, to: folder + "/config.json")
    let arguments = [
      "--config", folder + "/config.json", "--faults", "unix:\(folder)/faults", "--log", folder + "/log",
    ]
    try await SimulatorProgram.run(["redfish"] + arguments) { url in
      func fault(_ method: String, _ path: String, _ body: String = "") async throws -> String {
        let more = body.isEmpty ? [] : ["-d", body]
        let socket = ["-sS", "--unix-socket", folder + "/faults", "-X", method, "http://faults" + path]
        return try await runChecked("curl", socket + more).text
      }
      let hardware = RedfishHardware()
      let info: JSONObject = [
        "redfish_address": .string(url), "redfish_username": "u", "redfish_password": "pa55-w0rd",
      ]
      let driver = try hardware.driver(node: "n1", driverInfo: info)
      #expect(try await driver.management.inventory()["memory_mb"]?.int == 512)

      #expect(try await fault("PUT", "/bmcs/r1/faults", #"{"unavailable": 1}"#).contains("true"))
      #expect(await driverError { _ = try await driver.power.observePower() }.code == .busy)
      #expect(try await fault("PUT", "/bmcs/r1/faults", #"{"unheard_of": 1}"#).contains("unheard_of"))
      #expect(try await fault("POST", "/bmcs/r1/expire-sessions").contains("true"))
      try await driver.power.ensurePower(.on, graceful: false, patience: .seconds(10))
      #expect(try await fault("POST", "/bmcs/*/lose-power").contains("true"))
      #expect(try await driver.power.observePower() == .off)
      #expect(try await JSON(parsing: fault("GET", "/bmcs"))["r2"]?["port"]?.int ?? 0 > 0)
      await hardware.shutdown()
    }

    let log = try await runChecked("cat", [folder + "/log"]).text
    let entries = try log.split(separator: "\n").map { try JSON(parsing: String($0)) }
    #expect(entries.filter { $0["event"]?.string == "effect" }.map { $0["value"]?.string } == ["On"])
    #expect(entries.contains { $0["fault"]?.string == "power lost" && $0["device"]?.string == "r2" })
    #expect(!log.contains("pa55-w0rd"))
    try await runChecked("rm", ["-r", folder])
  }

  private static let emulator: String? = SushyTests.python.flatMap { python in
    let path = python.split(separator: "/").dropLast().reduce("") { $0 + "/" + $1 } + "/sushy-emulator"
    return access(path, X_OK) == 0 ? path : nil
  }

  /// sushy-tools' emulator with its fake driver: a Redfish service that we did not write.
  @Test(.enabled(if: emulator != nil, "no sushy-emulator")) func theDriverWorksWithSushyTools() async throws {
    let emulator = try #require(Self.emulator)
    let folder = try temporaryFolder()
    try write("SUSHY_EMULATOR_STATE_DIR = '\(folder)'\n", to: folder + "/config.py")
    let program = try await Terminal.start(
      emulator, ["--fake", "-i", "127.0.0.1", "-p", String(try freePort()), "--config", folder + "/config.py"])
    defer { program.end() }
    var text = ""
    for await bytes in program.output {
      text += String(decoding: bytes, as: UTF8.self)
      if text.contains("Running on http://127.0.0.1:") && text.hasSuffix("\n") { break }
    }
    let url = try #require(
      text.split(whereSeparator: \.isWhitespace).first { $0.hasPrefix("http://127.0.0.1:") }, "\(text)")

    let hardware = RedfishHardware()
    let driver = try hardware.driver(node: "n1", driverInfo: ["redfish_address": .string(String(url))])
    let found = try await driver.management.verify()
    #expect(found["redfish_version"]?.string != nil)
    #expect(try await driver.power.observePower() == .off)
    try await driver.management.ensureBootOverride(BootOverride(.pxe, persistent: false))
    #expect(try await driver.management.observeBootOverride()?.device == .pxe)
    try await driver.power.ensurePower(.on, graceful: false, patience: .seconds(30))
    #expect(try await driver.power.observePower() == .on)
    try await driver.management.ensureBootOverride(BootOverride(.disk, persistent: true))
    let boot = try await driver.management.observeBootOverride()
    #expect(boot?.device == .disk && boot?.persistent == true)
    try await driver.power.ensurePower(.off, graceful: true, patience: .seconds(30))
    #expect(try await driver.power.observePower() == .off)
    let inventory = try await driver.management.inventory()
    #expect(inventory["interfaces"]?.array?.first?["mac"]?.string == "00:5c:52:31:3a:9c")
    await hardware.shutdown()

    program.end()
    _ = await program.ending()
    try await runChecked("rm", ["-r", folder])
  }
}

private func temporaryFolder() throws -> String {
  var template = Array("/tmp/redfish-test.XXXXXX".utf8CString)
  let folder = template.withUnsafeMutableBufferPointer { buffer in
    buffer.baseAddress.flatMap { mkdtemp($0) }.map { String(cString: $0) }
  }
  return try #require(folder)
}

/// A port that nobody has now: for programs that cannot take one by themselves.
private func freePort() throws -> UInt16 {
  let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
  defer { close(descriptor) }
  var address = sockaddr_in()
  address.sin_family = sa_family_t(AF_INET)
  address.sin_addr.s_addr = in_addr_t(0x7f00_0001).bigEndian
  var length = socklen_t(MemoryLayout<sockaddr_in>.size)
  let isBound = withUnsafeMutablePointer(to: &address) { pointer in
    pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
      bind(descriptor, $0, length) == 0 && getsockname(descriptor, $0, &length) == 0
    }
  }
  try #require(isBound)
  return UInt16(bigEndian: address.sin_port)
}

private func write(_ text: String, to path: String) throws {
  let file = try #require(fopen(path, "w"))
  fputs(text, file)
  fclose(file)
}
