import Domain
import DriverInterfaces
import Glibc
import IPMIDriver
import Processes
import Testing
import Wire

/// Quick limits: loopback answers at once or never.
let quick: IPMILimits = {
  var limits = IPMILimits()
  limits.answerSeconds = 1
  limits.retries = 1
  limits.poll = .milliseconds(50)
  return limits
}()

func info(_ controller: SimulatedController, _ changes: [String: JSON] = [:]) -> JSONObject {
  var info: JSONObject = [
    "ipmi_address": "127.0.0.1", "ipmi_port": .int(controller.port), "ipmi_username": "admin",
    "ipmi_password": "password",
  ]
  for (key, value) in changes { info[key] = value }
  return info
}

func failure(_ body: () async throws -> Void) async -> DriverError? {
  do {
    try await body()
    return nil
  } catch { return error as? DriverError }
}

@Suite struct IPMIDriverInfoTests {
  let type = IPMIHardwareType()

  @Test func theUsualSettingsAreFine() {
    #expect(type.problems(in: ["ipmi_address": "10.0.3.7"]).isEmpty)
    #expect(
      type.problems(in: [
        "ipmi_address": "bmc-7.example.org", "ipmi_port": "6230", "ipmi_username": "root",
        "ipmi_password": "p w'\"$(x)",
        "ipmi_priv_level": "operator", "ipmi_cipher_suite": "17", "ipmi_protocol_version": "2.0",
        "ipmi_terminal_port": 8000,
      ]).isEmpty)
    #expect(type.problems(in: ["ipmi_address": "fe80::1%eth0"]).isEmpty)
  }

  @Test(
    arguments: [
      ("ipmi_address", "-H"), ("ipmi_address", "10.0.0.1; id"), ("ipmi_address", "a b"), ("ipmi_address", "$(id)"),
      ("ipmi_address", "a\nb"), ("ipmi_address", ""), ("ipmi_address", 7), ("ipmi_username", "-a"),
      ("ipmi_username", "a b"), ("ipmi_username", "a\u{1b}"), ("ipmi_username", "seventeen-letters"),
      ("ipmi_password", "a\nb"), ("ipmi_password", "twenty-one characters"), ("ipmi_port", 0), ("ipmi_port", 65536),
      ("ipmi_port", "623; id"), ("ipmi_priv_level", "ROOT"), ("ipmi_cipher_suite", 0), ("ipmi_cipher_suite", 18),
      ("ipmi_cipher_suite", "x"), ("ipmi_protocol_version", "3"), ("ipmi_bridging", "single"),
    ] as [(String, JSON)])
  func whatCannotWorkOrCouldDoHarmIsRefusedByKey(key: String, value: JSON) {
    var info: JSONObject = ["ipmi_address": "10.0.3.7"]
    info[key] = value
    let problems = type.problems(in: info)
    #expect(problems.count == 1 && problems[0].contains(key))
    #expect(throws: DriverError.self) { try type.driver(node: "n", driverInfo: info) }
    if key == "ipmi_password" { #expect(!problems[0].contains(value.string ?? "-")) }
  }

  @Test func passwordIsTheOnlySecretAndAddressTheOnlyNecessity() {
    #expect(type.properties.filter(\.isSecret).map(\.name) == ["ipmi_password"])
    #expect(type.properties.filter(\.isRequired).map(\.name) == ["ipmi_address"])
    #expect(type.problems(in: [:]).first?.contains("ipmi_address is missing") == true)
  }

  @Test func protocol15HasNoConsole() throws {
    let old = try type.driver(node: "n", driverInfo: ["ipmi_address": "h", "ipmi_protocol_version": "1.5"])
    #expect(old.console == nil)
    #expect(try type.driver(node: "n", driverInfo: ["ipmi_address": "h"]).console != nil)
  }
}

@Suite struct IPMIPowerTests {
  @Test func commandsDoNotReadTheListOfManufacturersAndTheVendorIsStillNamed() async throws {
    let controller = try await SimulatedController.start()
    let folder = "/tmp/syipmi\(getpid())-\(UInt32.random(in: 0 ... .max))"
    let without = try IPMIHardwareType(limits: quick).driver(node: "n", driverInfo: info(controller))
    let with = try IPMIHardwareType(limits: quick, folder: folder).driver(node: "n", driverInfo: info(controller))
    let vendor = try await without.management.verify()["vendor"]
    #expect(try await with.management.verify()["vendor"] == vendor && vendor != nil)
    #expect(try await with.power.observePower() == .off)
    // The short list is the one that is read: an empty one is an error to ipmitool.
    #expect(truncate("\(folder)/.local/usr/share/misc/enterprise-numbers.txt", 0) == 0)
    await #expect(throws: DriverError.self) { try await with.power.observePower() }
    let homeless = try IPMIHardwareType(limits: quick, folder: "/nowhere/at/all").driver(
      node: "n", driverInfo: info(controller))
    #expect(try await homeless.power.observePower() == .off)
    try await runChecked("rm", ["-rf", "--", folder])
    try await controller.remove()
  }

  @Test func powerIsBroughtThereOnceAndLeftAloneAfterwards() async throws {
    let controller = try await SimulatedController.start()
    let driver = try IPMIHardwareType(limits: quick).driver(node: "n", driverInfo: info(controller))

    #expect(try await driver.power.observePower() == .off)
    try await driver.power.ensurePower(.on, graceful: false, patience: .seconds(10))
    try await driver.power.ensurePower(.on, graceful: false, patience: .seconds(10))
    #expect(try await driver.power.observePower() == .on)
    #expect(controller.orders == ["set power 1"])
    try await driver.power.ensurePower(.off, graceful: true, patience: .seconds(10))
    #expect(try await driver.power.observePower() == .off)
    #expect(controller.orders.count == 2 && !controller.orders.contains("set power 0"), "\(controller.orders)")
    try await controller.remove()
  }

  @Test func aMachineThatIgnoresTheSoftShutdownIsForcedAfterHalfThePatience() async throws {
    let controller = try await SimulatedController.start(stubborn: true)
    try controller.write("power", "1")
    let driver = try IPMIHardwareType(limits: quick).driver(node: "n", driverInfo: info(controller))

    let started = ContinuousClock.now
    try await driver.power.ensurePower(.off, graceful: true, patience: .seconds(2))
    #expect(ContinuousClock.now - started >= .seconds(1))
    #expect(controller.orders.last == "set power 0" && controller.orders.count == 2, "\(controller.orders)")
    try await controller.remove()
  }

  @Test func thePowerButtonIsPressedOnceAndNothingIsForced() async throws {
    let controller = try await SimulatedController.start(stubborn: true)
    try controller.write("power", "1")
    let driver = try IPMIHardwareType(limits: quick).driver(node: "n", driverInfo: info(controller))

    try await #require(driver.powerButton).pressPowerButton()
    #expect(try await driver.power.observePower() == .on, "what runs has its own mind")
    #expect(controller.orders.count == 1 && controller.orders[0].contains("shutdown"), "\(controller.orders)")
    try await controller.remove()
  }

  @Test func manyAtOnceForOneControllerAllSucceed() async throws {
    let controller = try await SimulatedController.start()
    let type = IPMIHardwareType(limits: quick)
    try await withThrowingTaskGroup(of: Power.self) { group in
      for _ in 0..<12 {
        let driver = try type.driver(node: "n", driverInfo: info(controller))
        group.addTask { try await driver.power.observePower() }
      }
      for try await power in group { #expect(power == .off) }
    }
    try await controller.remove()
  }
}

@Suite struct IPMIManagementTests {
  @Test func verifyTellsWhatTheControllerIs() async throws {
    let controller = try await SimulatedController.start()
    let driver = try IPMIHardwareType(limits: quick).driver(node: "n", driverInfo: info(controller))

    let identity = try await driver.management.verify()
    #expect(identity["vendor"] == "MontaVista Software, Inc.")
    #expect(identity["firmware"] == "9.08")
    let inventory = JSON.object(try await driver.management.inventory())
    #expect(inventory["system"]?["serial"] == "SN-1" && inventory["system"]?["product"] == "Virtual PC")
    #expect(try await driver.management.supportedBootDevices() == BootDevice.allCases)
    #expect(controller.orders.isEmpty)
    try await controller.remove()
  }

  @Test func theBootDeviceIsSetOnAControllerThatCannotReportIt() async throws {
    let controller = try await SimulatedController.start()
    let driver = try IPMIHardwareType(limits: quick).driver(node: "n", driverInfo: info(controller))

    #expect(try await driver.management.observeBootOverride() == nil)
    try await driver.management.ensureBootOverride(BootOverride(.pxe, persistent: false))
    #expect(try controller.read("boot") == "pxe\n")
    try await driver.management.ensureBootOverride(BootOverride(.disk, persistent: true, mode: .uefi))
    #expect(try controller.read("boot") == "default\n")
    #expect(try await driver.management.observeBootOverride() == nil)
    try await controller.remove()
  }

  @Test func wrongPasswordWrongUserAndSilenceAreToldApart() async throws {
    let controller = try await SimulatedController.start()
    let type = IPMIHardwareType(limits: quick)
    func verify(_ changes: [String: JSON]) async -> DriverError? {
      await failure {
        _ = try await type.driver(node: "n", driverInfo: info(controller, changes)).management.verify()
      }
    }

    let password = await verify(["ipmi_password": "not-the-password"])
    #expect(password?.code == .refused && password?.detail.contains("ipmi_password") == true)
    #expect(password?.description.contains("not-the-password") == false)
    let user = await verify(["ipmi_username": "nobody"])
    #expect(user?.code == .refused && user?.detail.contains("ipmi_username") == true)
    let suite = await verify(["ipmi_cipher_suite": 17])
    #expect(suite?.code == .refused && suite?.detail.contains("ipmi_cipher_suite") == true)
    let level = await failure {
      _ = try await type.driver(node: "n", driverInfo: info(controller, ["ipmi_priv_level": "USER"]))
        .power.ensurePower(.on, graceful: false, patience: .seconds(1))
    }
    #expect(level?.code == .refused && level?.detail.contains("ipmi_priv_level") == true)
    try await controller.unplug()
    let silence = await verify([:])
    #expect(silence?.code == .unreachable && silence?.isTransient == true)
    #expect(silence?.device.name == "bmc 127.0.0.1 port \(controller.port)")
    try await controller.remove()
  }

  @Test func aControllerThatHangsCostsTheTimeLimitOnly() async throws {
    var limits = IPMILimits()
    limits.command = .milliseconds(500)
    let driver = try IPMIHardwareType(limits: limits).driver(
      node: "n", driverInfo: ["ipmi_address": "127.0.0.1", "ipmi_port": .int(freePort(SOCK_DGRAM))])
    let started = ContinuousClock.now
    let error = await failure { _ = try await driver.power.observePower() }
    #expect(error?.code == .unreachable)
    #expect(ContinuousClock.now - started < .seconds(3))
  }

  @Test func thePasswordIsInNoArgumentsOfAnyProcess() async throws {
    let controller = try await SimulatedController.start()
    let type = IPMIHardwareType(limits: quick)
    let password = "wr0ng-\(UInt32.random(in: 0 ... .max))"
    try await controller.unplug()

    // Nobody answers, so ipmitool hangs about long enough to be looked at; the console too.
    let driver = try type.driver(node: "n", driverInfo: info(controller, ["ipmi_password": .string(password)]))
    let looking = Task { try? await driver.power.observePower() }
    try await until { commandLines().contains { $0.contains("ipmitool") && $0.contains("\(controller.port)") } }
    #expect(!commandLines().contains { $0.contains(password) })
    looking.cancel()
    _ = await looking.value
    #expect(!commandLines().contains { $0.contains("ipmitool") && $0.contains("\(controller.port)") })
    try await controller.remove()
  }
}

/// The arguments of every process of the host.
func commandLines() -> [String] {
  guard let folder = opendir("/proc") else { return [] }
  defer { closedir(folder) }
  var result: [String] = []
  while let entry = readdir(folder) {
    let name = withUnsafePointer(to: entry.pointee.d_name) {
      $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
    }
    guard Int(name) != nil, let file = fopen("/proc/\(name)/cmdline", "r") else { continue }
    var buffer = [UInt8](repeating: 0, count: 8192)
    let count = fread(&buffer, 1, buffer.count, file)
    fclose(file)
    result.append(String(decoding: buffer[..<count].map { $0 == 0 ? 32 : $0 }, as: UTF8.self))
  }
  return result
}
