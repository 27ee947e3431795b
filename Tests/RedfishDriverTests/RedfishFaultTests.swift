import Domain
import DriverInterfaces
import RedfishDriver
import Simulators
import Testing
import Wire

@Suite struct RedfishFaultTests {
  @Test func aControllerThatIsNotThereIsUnreachableAtOnce() async throws {
    let hardware = RedfishHardware()
    let driver = try hardware.driver(
      node: "n1",
      driverInfo: ["redfish_address": "http://127.0.0.1:1", "redfish_username": "a", "redfish_password": "pa55-w0rd"])
    let time = await ContinuousClock().measure {
      let error = await driverError { _ = try await driver.power.observePower() }
      #expect(error.code == .unreachable && error.isTransient)
      #expect(error.detail.contains("redfish_address") && error.device.name == "bmc 127.0.0.1:1", "\(error)")
    }
    #expect(time < .seconds(3))
    await hardware.shutdown()
  }

  @Test func aControllerThatStallsIsGivenUp() async throws {
    try await withController(requestLimit: .seconds(1)) { bmc in
      let driver = try bmc.driver()
      await bmc.fault { $0.stallSeconds = 30 }
      let time = await ContinuousClock().measure {
        let error = await driverError { _ = try await driver.power.observePower() }
        #expect(error.code == .unreachable && error.detail.contains("no answer within"), "\(error)")
      }
      #expect(time < .seconds(5))

      await bmc.fault { _ in }
      #expect(try await driver.power.observePower() == .off)
    }
  }

  @Test func answersThatAreNotRedfishAreBadReplies() async throws {
    try await withController { bmc in
      let driver = try bmc.driver()
      await bmc.fault { $0.garbage = true }
      #expect(await driverError { _ = try await driver.power.observePower() }.code == .badReply)
      await bmc.fault { $0.huge = 9 << 20 }
      let error = await driverError { _ = try await driver.power.observePower() }
      #expect(error.code == .badReply && error.detail.contains("8 MiB"), "\(error)")
    }
  }

  @Test func credentialsDoNotFollowARedirectToAnotherHost() async throws {
    try await withController { other in
      try await withController { bmc in
        let driver = try bmc.driver()
        _ = try await driver.power.observePower()
        await bmc.fault { $0.redirect = other.address }
        let error = await driverError { _ = try await driver.power.observePower() }
        #expect(error.code == .refused && error.detail.contains("redirects"), "\(error)")
        #expect(other.log.entries.isEmpty)
      }
    }
  }

  @Test func aSystemThatDoesNotExistIsAMatterOfConfiguration() async throws {
    try await withController { bmc in
      let error = await driverError {
        _ = try await bmc.driver(["redfish_system_id": "/redfish/v1/Systems/7"]).power.observePower()
      }
      #expect(error.code == .misconfigured && error.detail.contains("redfish_system_id"))
      _ = try await bmc.driver(["redfish_system_id": "/redfish/v1/Systems/1"]).power.observePower()
    }
  }

  @Test func theControllersOwnWordsReachTheOperator() async throws {
    // A machine control command that fails: the controller answers 500 with its words.
    try await withController(control: ["/bin/sh", "-c", "echo the chassis is open >&2; exit 3"]) { bmc in
      let error = await driverError { _ = try await bmc.driver().power.observePower() }
      #expect(error.code == .busy && error.detail.contains("the chassis is open"), "\(error)")
    }
  }

  @Test func theInventoryHasWhatTheControllerKnows() async throws {
    try await withController { bmc in
      let inventory = try await bmc.driver().management.inventory()
      #expect(inventory["cpus"]?.int == 2 && inventory["cpu_arch"]?.string == "x86_64")
      #expect(inventory["memory_mb"]?.int == 4096 && inventory["boot_mode"]?.string == "uefi")
      #expect(inventory["system"]?["serial"]?.string == "SIM-r1")
      #expect(inventory["system"]?["uuid"]?.string == bmc.bmc.configuration.uuid)
      let macs = inventory["interfaces"]?.array?.compactMap { $0["mac"]?.string }
      #expect(macs == bmc.bmc.configuration.macs)
      #expect(inventory["disks"]?.array?.first?["size_bytes"]?.int == 8_589_934_592)
    }
  }
}

@Suite struct RedfishSettingsTests {
  static let good: JSONObject = [
    "redfish_address": "https://10.0.0.7", "redfish_username": "root", "redfish_password": "calvin",
  ]

  @Test(
    arguments: [
      ("redfish_address", JSON.string("ftp://10.0.0.7")), ("redfish_address", "https://user:pw@10.0.0.7"),
      ("redfish_address", "https://10.0.0.7/redfish"), ("redfish_address", "https://a b"),
      ("redfish_address", "https://10.0.0.7:99999"), ("redfish_address", "https://$(reboot)"),
      ("redfish_address", "-oProxyCommand=x"), ("redfish_address", "https://[::1"), ("redfish_address", .int(7)),
      ("redfish_address", .null), ("redfish_system_id", "Systems/1"), ("redfish_system_id", "/redfish v1"),
      ("redfish_system_id", "//evil.example/"), ("redfish_username", "a:b"), ("redfish_username", "a\r\nX-Evil: 1"),
      ("redfish_password", .null), ("redfish_verify_ca", "maybe"), ("redfish_verify_ca", .int(1)),
      ("redfish_auth_type", "none"), ("redfish_fingerprint", "sha1:00"), ("redfish_fingerprint", "sha256:zz"),
    ] as [(String, JSON)])
  func aBadValueIsNamed(key: String, value: JSON) {
    var info = Self.good
    info[key] = value
    let problems = RedfishHardware().problems(in: info)
    #expect(problems.first?.contains(key) == true, "\(problems)")
    #expect(!problems.joined().contains("calvin"))
  }

  @Test func goodValuesHaveNoProblems() throws {
    let hardware = RedfishHardware()
    for address in ["10.0.0.7", "https://bmc-7.example:8443/", "http://10.0.0.7:8000", "https://[fd00::7]:443"] {
      for ca: JSON in [.bool(true), .bool(false), "False", "/etc/ssl/certs"] {
        var info = Self.good
        info["redfish_address"] = .string(address)
        info["redfish_verify_ca"] = ca
        #expect(hardware.problems(in: info) == [])
      }
    }
    var info = Self.good
    info["redfish_verify_ca"] = "/nonexistent/ca.pem"
    #expect(throws: DriverError.self) { try hardware.driver(node: "n", driverInfo: info) }
    #expect(hardware.properties.filter(\.isSecret).map(\.name) == ["redfish_password"])
    #expect(hardware.properties.filter(\.isRequired).map(\.name) == ["redfish_address"])
  }
}
