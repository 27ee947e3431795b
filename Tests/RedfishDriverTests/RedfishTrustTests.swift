import Domain
import DriverInterfaces
import RedfishDriver
import Simulators
import Testing
import Wire

@Suite struct RedfishTrustTests {
  @Test func aWrongPasswordIsRefusedInWords() async throws {
    try await withController { bmc in
      for type in ["auto", "session", "basic"] {
        let driver = try bmc.driver(["redfish_password": "wr0ng", "redfish_auth_type": .string(type)])
        let error = await driverError { _ = try await driver.management.verify() }
        #expect(error.code == .refused, "\(type)")
        #expect(error.detail.contains("rejected the user name or password"), "\(error)")
        #expect(error.detail.contains("redfish_password") && !error.detail.contains("wr0ng"), "\(error)")
        #expect(error.device.name == "bmc 127.0.0.1:\(bmc.port)")
      }
      #expect(bmc.log.entries("session").isEmpty && bmc.log.entries("effect").isEmpty)
    }
  }

  @Test func oneSessionServesManyRequestsAndIsEndedAtShutdown() async throws {
    let hardware = RedfishHardware()
    try await withController(hardware: hardware) { bmc in
      await withTaskGroup(of: Void.self) { group in
        for _ in 0..<10 { group.addTask { _ = try? await bmc.driver().power.observePower() } }
      }
      for _ in 0..<5 { _ = try await bmc.driver().power.observePower() }
      #expect(bmc.log.entries("session").count == 1)
      #expect(await bmc.bmc.sessionCount == 1)

      await hardware.shutdown()
      #expect(await bmc.bmc.sessionCount == 0)
    }
  }

  @Test func anExpiredSessionIsRenewed() async throws {
    try await withController { bmc in
      let driver = try bmc.driver()
      _ = try await driver.power.observePower()
      await bmc.bmc.expireSessions()
      try await driver.power.ensurePower(.on, graceful: false, patience: .seconds(10))
      await bmc.bmc.expireSessions()
      try await driver.management.ensureBootOverride(BootOverride(.pxe, persistent: false))

      #expect(bmc.effects("reset") == ["On"] && bmc.effects("boot") == ["pxe"])
      #expect(await bmc.bmc.sessionCount == 1)
    }
  }

  @Test func passwordsThatAreChangedAtTheControllerEndInARefusal() async throws {
    try await withController { bmc in
      let driver = try bmc.driver()
      _ = try await driver.power.observePower()
      await bmc.fault { $0.refuseCredentials = true }
      let error = await driverError { _ = try await driver.power.observePower() }
      #expect(error.code == .refused)
    }
  }

  @Test func basicIsUsedWhereThereAreNoSessions() async throws {
    try await withController { bmc in
      await bmc.fault { $0.noSessions = true }
      let found = try await bmc.driver().management.verify()
      #expect(found["authentication"]?.string == "basic")

      let error = await driverError {
        _ = try await bmc.driver(["redfish_auth_type": "session"]).management.verify()
      }
      #expect(error.code == .unsupported && error.detail.contains("redfish_auth_type"))
    }
  }

  @Test func theFirstCertificateIsPinnedAndShown() async throws {
    try await withController(tls: true) { bmc in
      let found = try await bmc.driver().management.verify()
      #expect(found["observedFingerprint"]?.string == (await bmc.fingerprint))
      #expect(found["vendor"]?.string == "Steelyard" && found["authentication"]?.string == "session")
    }
  }

  @Test func aCertificateThatNobodySignedIsRefusedUnlessPinned() async throws {
    try await withController(tls: true) { bmc in
      let error = await driverError { _ = try await bmc.driver(["redfish_verify_ca": true]).management.verify() }
      #expect(error.code == .refused && error.detail.contains("redfish_fingerprint"), "\(error)")
      #expect(bmc.log.entries("request").isEmpty)

      let pin = try #require(await bmc.fingerprint)
      let driver = try bmc.driver(["redfish_verify_ca": true, "redfish_fingerprint": .string(pin.uppercased())])
      _ = try await driver.management.verify()
    }
  }

  @Test func aSwappedCertificateIsRefusedAndNothingIsSent() async throws {
    let hardware = RedfishHardware()
    let first = Shared<(port: Int, pin: String)>()
    try await withController(tls: true, hardware: hardware) { bmc in
      _ = try await bmc.driver().power.observePower()
      first.value = (bmc.port, await bmc.fingerprint ?? "")
    }
    let (port, pin) = try #require(first.value)

    try await withController(tls: true, port: port, hardware: hardware) { bmc in
      // The pin of the first use, and the same as a setting of another node.
      for (node, more) in [("n1", JSONObject()), ("n2", ["redfish_fingerprint": .string(pin)])] {
        for _ in 0..<2 {
          let error = await driverError { _ = try await bmc.driver(more, node: node).power.observePower() }
          #expect(error.code == .refused)
          #expect(error.detail.contains("certificate changed") && error.detail.contains(pin), "\(error)")
          #expect(error.detail.contains(await bmc.fingerprint ?? "?"))
        }
      }
      // Another password is another connection, not another certificate.
      let error = await driverError {
        _ = try await bmc.driver(["redfish_password": "other"]).power.observePower()
      }
      #expect(error.detail.contains("certificate changed"))
      #expect(bmc.log.entries.isEmpty, "nothing reached the impostor")

      let new = try #require(await bmc.fingerprint)
      _ = try await bmc.driver(["redfish_fingerprint": .string(new)]).power.observePower()
    }
    await hardware.shutdown()
  }
}

/// A value handed out of a closure.
final class Shared<Value: Sendable>: @unchecked Sendable {
  var value: Value?
}
