import DriverInterfaces
import Domain
import Store
import TestSupport
import Testing
import Wire

/// A machine that says one line, and has no other hardware than its console.
struct TalkingHardware: HardwareType {
  let name = "talking"
  let properties: [DriverProperty] = []
  let console: any ConsoleInterface

  func problems(in driverInfo: JSONObject) -> [String] { [] }
  func driver(node: String, driverInfo: JSONObject) throws -> NodeDriver {
    NodeDriver(power: Nothing(), management: Nothing(), console: console)
  }
  private struct Nothing: PowerInterface, ManagementInterface {
    let error = DriverError(.unsupported, device: .node("test"), detail: "only a console")
    func observePower() async throws -> Power { throw error }
    func ensurePower(_ power: Power, graceful: Bool, patience: Duration) async throws { throw error }
    func verify() async throws -> JSONObject { throw error }
    func observeBootOverride() async throws -> BootOverride? { throw error }
    func ensureBootOverride(_ boot: BootOverride) async throws { throw error }
    func supportedBootDevices() async throws -> [BootDevice] { throw error }
    func inventory() async throws -> JSONObject { throw error }
  }
}

private struct OneLine: ConsoleInterface {
  func open() -> AsyncThrowingStream<[UInt8], any Error> {
    AsyncThrowingStream { $0.yield(Array("login:".utf8)) }
  }
}

@Suite struct ConsoleTests {
  @Test func aMachineWithoutAConsoleSaysSo() async throws {
    try await withSite(console: OneLine()) { site in
      let uuid = try await site.node("n1", owner: Site.owner, lessee: Site.lessee)
      let lessee = site.token(Site.lessee)
      let sentence = "Driver world does not support console (disabled or not implemented)."

      for query in ["", "?follow=true", "?since=now&follow=false"] {
        let read = try await site.call(.get, "/v1/nodes/\(uuid)/console\(query)", as: lessee)
        #expect(read.status == 400 && read.fault.hasPrefix(sentence), "\(query): \(read.status) \(read.text)")
      }
      for isEnabled in [true, false] {
        let set = try await site.call(
          .put, "/v1/nodes/\(uuid)/states/console", ["enabled": .bool(isEnabled)], as: lessee)
        #expect(set.status == 400 && set.fault.hasPrefix(sentence), "\(set.status) \(set.text)")
      }
      // As upstream: what is not enabled is not asked for, so this is no error.
      let shown = try await site.call(.get, "/v1/nodes/\(uuid)/states/console", as: lessee)
      #expect(shown.status == 200 && shown.json == ["console_enabled": false, "console_info": .null])
      let checks = try await site.call(.get, "/v1/nodes/\(uuid)/validate", as: lessee).json
      #expect(checks["console"] == ["result": false, "reason": .string(sentence)])
      #expect(checks["power"]?["result"] == true)
    }
  }

  @Test func aMachineWithAConsoleIsRead() async throws {
    try await withSite(console: OneLine()) { site in
      let uuid = try await site.node("n1", owner: Site.owner, lessee: Site.lessee, driver: "talking")
      let lessee = site.token(Site.lessee)
      let silent = try await site.call(.get, "/v1/nodes/\(uuid)/console", as: lessee)
      #expect(silent.status == 200 && silent.bytes.isEmpty, "what has not been printed yet is no error")
      let node = try await site.database.read { try NodeStore.get(uuid, in: $0) }
      let consoles = try #require(site.conductor.consoles)
      await consoles.start(node: uuid, driver: try await site.conductor.driver(of: try #require(node)))

      var read = silent
      for _ in 0..<100 where read.bytes.isEmpty {
        read = try await site.call(.get, "/v1/nodes/\(uuid)/console", as: lessee)
        try await Task.sleep(for: .milliseconds(20))
      }

      #expect(read.status == 200 && read.text == "login:")
      #expect(
        try await site.call(.get, "/v1/nodes/\(uuid)/validate", as: lessee).json["console"]?["result"] == true)
      await consoles.stop(node: uuid)
    }
  }
}
