import Domain
import DriverInterfaces
import Glibc
import Store
import TestSupport
import Testing
import Wire
import Workflows

@testable import Conductor

/// A deployment whose installed system is started by the agent. Whatever goes wrong on the way, the machine ends up with its system running on
/// its tenant's networks, and never elsewhere.
@Suite struct KexecTests {
  /// Deploys in a world with these faults.
  /// - Returns: the report, and the machine's history.
  private func deploy(
    _ faults: [String: String] = [:], button: Int = 400, consoles: (any NodeConsoles)? = nil
  ) async throws -> (life: JSON, ledger: [String], events: [String]) {
    var parts = SiteParts()
    parts.consoles = consoles
    let given = parts
    return try await withFolder("kexec") { folder in
      let site = try CrashSite(folder: folder, options: ["button": "\(button)"], parts: given)
      for (name, value) in faults { try site.world.ensure("fault/\(name)", value) }
      let life = try await site.play(.deployByKexec)
      let events = try await site.database.read { try NodeStore.events(NodeEventFilter(node: CrashSite.node), in: $0) }
        .map(\.event)
      site.database.close()
      return (life, life["ledger"]?.array?.compactMap(\.string) ?? [], events)
    }
  }
  private static let said = "steelyard-agent: starting the installed system (spoken)\r\n"
  private func expectWhole(_ life: JSON) {
    #expect(life["state"] == "active" && life["power"] == "power on" && life["reservation"] == .null)
    #expect(life["world"]?["runs/n1"] == "disk: /agent/v1/image/new", "\(life["world"] ?? .null)")
    #expect(life["world"]?["boot/n1"] == "disk" && life["world"]?["dhcp/n1"] == nil)
    #expect(life["world"]?["switch/n1"] == "205")
    #expect(life["leftovers"] == [])
  }
  private func powerOns(_ ledger: [String]) -> Int { ledger.count { $0 == "power/n1=power on" } }

  @Test func theFirmwareRunsOnceAndTheSystemStartsOnItsTenantsNetwork() async throws {
    // Without the word on the console the deployment would take a quarter of an hour, and the test fail.
    let (life, ledger, events) = try await deploy(button: 600_000, consoles: Words(Self.said))
    expectWhole(life)
    #expect(powerOns(ledger) == 1)
    // In this order: loaded, moved, started.
    let order = ["runs/n1=waiting agent", "switch/n1=205", "runs/n1=disk: /agent/v1/image/new"]
    let places = order.map { ledger.lastIndex(of: $0) ?? -1 }
    #expect(places == places.sorted() && !places.contains(-1), "\(ledger)")
    #expect(events.contains { $0.contains("started by kexec") }, "\(events)")
  }

  @Test func anotherWordIsNoSign() async throws {
    let said = Words("steelyard-agent: starting the installed system (another)\r\n")
    let started = ContinuousClock.now
    let (life, _, _) = try await deploy(button: 2000, consoles: said)
    expectWhole(life)
    #expect(ContinuousClock.now - started > .seconds(2), "the agent might still have been waiting")
  }

  @Test(arguments: [
    // It is not understood what the image boots; the agent says so, or breaks down over it.
    ["loads-nothing": "the configuration of GRUB is not understood: 'chainloader'"],
    ["agent-load-system": "out of memory"],
    // The controller has no button, or the machine does not hear it and is switched off by its agent.
    ["power-button": "refused: not supported"], ["deaf": "yes"],
    // It does not answer, and the button was not pressed.
    ["power-button": "unreachable: no answer"],
  ]) func otherwiseTheFirmwareBootsIt(faults: [String: String]) async throws {
    let (life, ledger, events) = try await deploy(faults)
    expectWhole(life)
    #expect(powerOns(ledger) == 2)
    #expect(events.contains { $0.contains("booted by the firmware, not by kexec") }, "\(events)")
  }

  /// The answer is lost, not the press: the tenant's system must not be asked to end by a second one.
  @Test func itIsNotPressedTwice() async throws {
    let (life, ledger, _) = try await deploy(
      ["heard-power-button": "unreachable: no answer"], button: 600_000, consoles: Words(Self.said))
    expectWhole(life)
    #expect(powerOns(ledger) == 1)
  }

  @Test func whoMayAskForIt() async throws {
    try await withFolder("kexec-asked") { folder in
      let site = try CrashSite(folder: folder, options: [:])
      _ = try await site.play(.startLease)
      try await site.database.write { session in
        for (id, wanted) in [("plain", nil as JSON?), ("willing", true), ("unwilling", "False"), ("strange", "maybe")] {
          var image = Image(id: id, owner: "p", createdAt: CrashSite.now())
          image.status = .active
          image.properties["kexec"] = wanted
          try ImageStore.insert(image, in: session)
        }
      }
      func isAsked(_ info: JSONObject) async throws -> Bool? {
        let conductor = site.conductor
        return try await site.database.read { session in
          guard var node = try NodeStore.get(CrashSite.node, in: session) else { return nil }
          node.instanceInfo = info
          return try conductor.deployment(node, [:], in: session)["kexec"]?.bool ?? false
        }
      }
      #expect(try await isAsked(["image_source": "plain"]) == false)
      #expect(try await isAsked(["image_source": "plain", "kexec": true]) == true)
      #expect(try await isAsked(["image_source": "willing"]) == true)
      #expect(try await isAsked(["image_source": "willing", "kexec": "false"]) == false)
      #expect(try await isAsked(["image_source": "unwilling"]) == false)
      for info in [
        ["image_source": "strange"], ["image_source": "plain", "kexec": 1],
        ["image_source": "plain", "kexec": ["a": "b"]],
        ["image_source": "plain", "kexec": .string(String(repeating: "t", count: 100_000))],
      ] as [JSONObject] {
        await #expect(throws: ConductorError.self) { try await isAsked(info) }
      }
      site.database.close()
    }
  }
}

/// Consoles on which every machine has said the same.
private struct Words: NodeConsoles {
  let text: String
  init(_ text: String) { self.text = text }
  func start(node uuid: String, driver: NodeDriver) async {}
  func stop(node uuid: String) async {}
  func markPowerOn(node uuid: String) async {}
  func openPort(node uuid: String) async throws -> String { "" }
  func closePort(node uuid: String) async {}
  func url(node uuid: String) async -> String? { nil }
  func text(node uuid: String, since start: ConsoleStart, limit: Int) async -> [UInt8] { Array(text.utf8) }
  func follow(node uuid: String, since start: ConsoleStart) -> AsyncStream<[UInt8]> { AsyncStream { nil } }
}
