import Glibc
import Processes
import Store
import TestSupport
import Testing
import Wire

/// Kills a real server process (the conductor, the engine and the SQLite file that ship) at every point of every workflow.
///
/// The quick run kills at every point of the main job's workflows, and at every third of the others; in undo after the last step
/// failed. `STEELYARD_CRASH=all` has every point, and the undo of every step; `STEELYARD_CRASH=pairs` samples second kills during the
/// recovery. `STEELYARD_CRASH_SCENARIOS` names those that are
/// run, with commas between them; all when it is not set.
@Suite(.serialized) struct CrashTests {
  static let mode = getenv("STEELYARD_CRASH").map { String(cString: $0) } ?? "quick"
  static let scenarios: [Scenario] = {
    guard let text = getenv("STEELYARD_CRASH_SCENARIOS") else { return Scenario.allCases }
    return String(cString: text).split(separator: ",").compactMap { Scenario(rawValue: String($0)) }
  }()

  /// Whose every point the quick run takes.
  private static let main: [Scenario] = [.startLease, .attach, .deploy, .undeploy, .endLease]
  /// Where a scenario is killed.
  static func points(_ range: ClosedRange<Int>, of scenario: Scenario) -> [Int] {
    guard mode == "quick", !main.contains(scenario), let place = Scenario.allCases.firstIndex(of: scenario) else {
      return Array(range)
    }
    // Not the same third everywhere: the same steps are in many scenarios.
    return range.filter { ($0 + place).isMultiple(of: 3) }
  }

  @Test(arguments: scenarios) func killedAnywhereAWorkflowStillEndsWhole(scenario: Scenario) async throws {
    let bench = try CrashBench(scenario)
    let clean = try await bench.life("clean", [])
    #expect(clean["state"]?.string == scenario.whole.rawValue)
    #expect(clean["leftovers"] == [])
    if scenario == .restoreDisk { #expect(clean["world"]?["disk/n1"] == "backed up", "the disk is not what it was") }
    if scenario == .backUpDisk { #expect(clean["disk_backups"]?.array?.first?.string?.contains(" available ") == true) }
    let cleanings: [Scenario] = [
      .provide, .provideByDriver, .undeploy, .endLease, .shelveServer, .shelveVolumeServer, .provideFastTrack,
    ]
    if cleanings.contains(scenario) {
      #expect(clean["erasures"]?.array?.count == 1, "every erasure is on record")
    }
    #expect(clean["secure_boot"]?.bool != true && clean["world"]?["secure/n1"] == nil)
    #expect(clean["world"]?["mode/n1"] == nil, "the next tenant gets the boot mode of the last")
    let points = try #require(clean["points"]?.int)

    let cases = await bench.each(Self.points(1...points, of: scenario)) { point in
      let life = try await bench.killed("kill-\(point)", ["kill=\(point)"])
      expectWhole(life, clean, "\(scenario) killed at \(point)")
      if scenario.isOfFastTrack { expectApart(life, "\(scenario) killed at \(point)") }
    }
    if scenario.isOfFastTrack { expectFastTrack(clean, scenario) }
    print("crash: \(scenario.rawValue): \(cases) kills forward")
    bench.remove()
  }

  @Test(arguments: scenarios) func everyStepRunTwiceEndsTheSame(scenario: Scenario) async throws {
    let bench = try CrashBench(scenario)
    let clean = try await bench.life("clean", [])
    let twice = try await bench.life("twice", ["twice"])
    expectWhole(twice, clean, "\(scenario) with every step run twice")
    bench.remove()
  }

  /// A deletion while a server is built is two workflows, of which the first is undone in any case.
  /// One that cannot be unshelved is undone and then given back (``killedInUndoAServerStaysShelved()``).
  @Test(arguments: scenarios.filter { ![.deleteBuildingServer, .unshelveServer].contains($0) })
  func killedInUndoAWorkflowStillEndsUndone(
    scenario: Scenario
  ) async throws {
    let bench = try CrashBench(scenario)
    let steps = try await bench.steps()
    let failing = Self.mode == "quick" ? Array(steps.suffix(1)) : steps
    var total = 0
    for step in failing {
      let failed = try await bench.life("fail-\(step)", ["fail=\(step)"])
      expectUndone(failed, scenario, step, "\(scenario) failed at \(step)")
      let twice = try await bench.life("fail-twice-\(step)", ["fail=\(step)", "twice"])
      expectUndone(twice, scenario, step, "\(scenario) failed at \(step), every undo run twice")
      let points = try #require(failed["points"]?.int)
      // What lies before the failure is the other test's: the kills begin where the failing step starts.
      let first = try #require(failed["failing_point"]?.int ?? 1)
      total += await bench.each(Self.points(first...points, of: scenario)) { point in
        let life = try await bench.killed("fail-\(step)-\(point)", ["fail=\(step)", "kill=\(point)"])
        expectUndone(life, scenario, step, "\(scenario) failed at \(step), killed at \(point)")
      }
    }
    print("crash: \(scenario.rawValue): \(total) kills in undo of \(failing.count) steps")
    bench.remove()
  }

  @Test(.enabled(if: scenarios.contains(.unshelveServer))) func killedInUndoAServerStaysShelved() async throws {
    let bench = try CrashBench(.unshelveServer)
    let failed = try await bench.life("fail", ["fail=boot-instance"])
    #expect(failed["server"] == "SHELVED_OFFLOADED " && failed["images"]?.array?.count == 2)
    #expect(failed["state"] == "available" && failed["reservation"] == .null && failed["vif"] == "DOWN ")
    let points = try #require(failed["points"]?.int)
    let first = try #require(failed["failing_point"]?.int)

    let cases = await bench.each(Self.points(first...points, of: .unshelveServer)) { point in
      let life = try await bench.killed("fail-\(point)", ["fail=boot-instance", "kill=\(point)"])
      expectWhole(life, failed, "a server that cannot be unshelved, killed at \(point)")
    }
    print("crash: a server that cannot be unshelved: \(cases) kills")
    bench.remove()
  }

  @Test(.enabled(if: mode == "pairs"), arguments: scenarios)
  func killedAgainDuringRecoveryAWorkflowStillEndsWhole(scenario: Scenario) async throws {
    let bench = try CrashBench(scenario)
    let clean = try await bench.life("clean", [])
    let points = try #require(clean["points"]?.int)
    let cases = await bench.each(Array(1...100)) { number in
      let first = Int.random(in: 1...points), second = Int.random(in: 1...points)
      let life = try await bench.killed("pair-\(number)", ["kill=\(first)"], ["kill=\(second)"])
      expectWhole(life, clean, "\(scenario) killed at \(first), then at \(second)")
    }
    print("crash: \(scenario.rawValue): \(cases) pairs")
    bench.remove()
  }

  private func expectWhole(_ life: JSON, _ clean: JSON, _ what: String) {
    for member in [
      "state", "reservation", "power", "last_error", "workflows", "leftovers", "world", "vif", "lease", "lessee",
      "volumes", "boots", "server", "erasures", "images", "disk_backups",
    ] {
      #expect(life[member] == clean[member], "\(what): \(member)")
    }
  }
  /// What does not touch the machine's networks, or leaves it with its tenant.
  private static let networksStay: [Scenario] = [
    .verify, .undeploy, .attach, .detach, .attachBond, .detachBond, .powerOff, .reboot, .startLease, .endLease, .rescue,
    .unrescue, .captureDisk, .backUpDisk, .rescueByAgent, .unrescueByAgent, .discover, .undeployVolume,
    .undeployRamdisk, .deleteServer,
    .deleteVolumeServer,
    .attachServerVolume, .detachServerVolume, .shelveServer, .shelveVolumeServer, .attachFastTrack, .rebootFastTrack,
  ]
  private func expectUndone(_ life: JSON, _ scenario: Scenario, _ step: String, _ what: String) {
    if scenario == .deleteVolumeServer, ["remove-snapshots", "remove-volume"].contains(step) {
      return expectVolumeLeft(life, what)
    }
    if scenario.isOfFastTrack { expectApart(life, what) }
    // A step after the tenant has let go ends in cleaning's failure.
    let allowed =
      scenario == .endLease
      ? ["clean failed"]
      : [.undeploy, .undeployVolume, .undeployRamdisk, .deleteServer, .deleteVolumeServer].contains(scenario)
        ? ["error", "clean failed"]
        : scenario.isOfShelving
          ? ["active", "clean failed"]
          // A backup that is damaged is found to be so before anything is done.
          : scenario == .restoreDisk ? ["active", "deploy failed"] : [scenario.undone.rawValue]
    #expect(allowed.contains(life["state"]?.string ?? ""), "\(what): state \(life["state"]?.string ?? "")")
    #expect(life["reservation"] == .null, "\(what)")
    #expect(life["leftovers"] == [], "\(what)")
    // What boots over the network to its volume looks like an agent in this world, and has an address. So has what could not be
    // undeployed, and can be switched on again.
    let isOnVolume = scenario == .shelveVolumeServer && life["state"] == "active"
    let isStillDeployed =
      [.undeployVolume, .undeployRamdisk, .deleteVolumeServer].contains(scenario) && life["state"] == "error"
    #expect(isOnVolume || isStillDeployed || life["world"]?["dhcp/n1"] == nil, "\(what): an address is left")
    if scenario != .startLease, !scenario.isOfVolume { #expect(life["last_error"]?.string != nil, "\(what)") }
    if scenario == .restoreDisk, life["state"] == "active" {
      #expect(life["power"]?.string == "power on" && life["world"]?["switch/n1"] == "205", "\(what): not as it was")
      #expect(life["vif"]?.string?.hasPrefix("ACTIVE ") == true, "\(what)")
    } else if scenario == .restoreDisk {
      #expect(life["vif"]?.string?.hasPrefix("DOWN ") == true, "\(what): \(life["vif"]?.string ?? "")")
    }
    if scenario == .captureDisk {
      #expect(life["power"]?.string == "power on" && life["world"]?["switch/n1"] == "205", "\(what): not as it was")
      #expect(life["images"]?.array?.count == 1, "\(what): an image is left")
    }
    if scenario == .backUpDisk {
      #expect(life["power"]?.string == "power on" && life["world"]?["switch/n1"] == "205", "\(what): not as it was")
      #expect(
        life["disk_backups"]?.array?.first?.string?.contains(" error ") == true,
        "\(what): it does not say that it failed")
      #expect(life["world"]?.object?.keys.contains { $0.hasPrefix("backup") } == false, "\(what): a copy is left")
    }
    if scenario.isOfShelving {
      // Either it runs as before, or it has left its machine with all that it has.
      let isLeft = life["state"] == "clean failed"
      #expect(life["server"]?.string == (isLeft ? "SHELVED_OFFLOADED " : "ACTIVE "), "\(what)")
      #expect(life["power"]?.string == (isLeft ? "power off" : "power on"), "\(what)")
      let kept = scenario == .shelveServer && isLeft ? 2 : 1
      #expect(life["images"]?.array?.count == kept, "\(what): \(life["images"] ?? .null)")
      if scenario == .shelveServer {
        #expect(life["world"]?["switch/n1"]?.string == (isLeft ? nil : "205"), "\(what)")
      } else {
        #expect(life["volumes"]?["attachments"] == (isLeft ? ["reserved "] : ["attached exported"]), "\(what)")
      }
    }
    // What is not certain is not signed; and a machine of which it is not is nobody's to have.
    #expect(life["erasures"] == [], "\(what)")
    if scenario == .endLease {
      // Not cleaned, so nobody's: the lease that waits keeps others off.
      #expect(life["lease"]?.string == "wait cancel", "\(what)")
      #expect(life["lessee"] == .null, "\(what)")
    }
    // A volume that was made for a machine is made, whatever becomes of that, and goes by a workflow of its own.
    let others =
      life["workflows"]?.array?.filter {
        !["create-volume done", "delete-volume done", "end-fast-track done"].contains($0.string ?? "")
      } ?? []
    #expect(!others.isEmpty && others.allSatisfy { $0.string?.hasSuffix(" undone") == true }, "\(what)")
    let isLeftAsItWas = isOnVolume || scenario == .attachFastTrack
    #expect(isLeftAsItWas || life["world"]?["runs/n1"]?.string != "agent", "\(what): the agent is left running")
    // A machine whose next system cannot be prepared runs what it ran.
    let isUntouched =
      (scenario == .restoreDisk && life["state"] == "active") || (scenario == .leaveRamdisk && step == "prepare-image")
    if isUntouched {
      #expect(life["power"]?.string == "power on", "\(what)")
    } else if !Self.networksStay.contains(scenario) {
      #expect(life["world"]?["switch/n1"] == nil, "\(what): the switch port is not in quarantine")
      #expect(life["power"]?.string == "power off", "\(what)")
    }
  }
  /// The machine of a server is cleaned and free whatever becomes of its volume, which says what it is, and counts.
  private func expectVolumeLeft(_ life: JSON, _ what: String) {
    #expect(life["state"] == "available" && life["power"] == "power off" && life["reservation"] == .null, "\(what)")
    #expect(life["server"] == "DELETED " && life["erasures"]?.array?.count == 1, "\(what)")
    #expect(
      life["leftovers"] == [] && life["world"]?["dhcp/n1"] == nil && life["world"]?["switch/n1"] == nil, "\(what)")
    let volumes = life["volumes"]?.object ?? [:]
    #expect(volumes.contains { $0.key.hasPrefix("volume ") && $0.value == "error_deleting 1" }, "\(what): \(volumes)")
    #expect(volumes["attachments"] == [] && volumes["quota"]?.array?.first == 1, "\(what): \(volumes)")
    #expect(
      life["workflows"] == ["undeploy-node done", "delete-volume undone"], "\(what): \(life["workflows"] ?? .null)")
  }
}

/// Runs lives of the worker in folders of their own, a few at a time.
struct CrashBench: Sendable {
  let scenario: Scenario
  private let folder: String
  private let worker: String
  private var empty: String { "\(folder)/empty.db" }

  init(_ scenario: Scenario) throws {
    self.scenario = scenario
    folder = try makeTemporaryFolder("crash")
    worker = try #require(CrashBench.products) + "/crash-worker"
    try Database.writeEmpty(to: empty)
  }
  /// The folder of the test bundle: the worker is built beside it.
  static var products: String? {
    for argument in CommandLine.arguments where argument.hasSuffix(".xctest") {
      return String(argument[..<(argument.lastIndex(of: "/") ?? argument.startIndex)])
    }
    return ".build/debug"
  }

  func remove() { removeTree(folder) }

  private func start(_ name: String, _ options: [String]) async throws -> CommandResult {
    try await run(
      worker, ["\(folder)/\(name)", scenario.rawValue, "empty=\(empty)"] + options, timeout: .seconds(90))
  }

  /// One life that ends by itself.
  func life(_ name: String, _ options: [String]) async throws -> JSON {
    let result = try await start(name, options)
    try #require(result.status == 0, "\(scenario.rawValue) \(options): \(result.text) \(result.errorText)")
    let json = try JSON(parsing: result.text)
    removeTree("\(folder)/\(name)")
    return json
  }
  /// A life that is killed, perhaps a second, and one that must bring everything to an end.
  func killed(_ name: String, _ first: [String], _ second: [String]? = nil) async throws -> JSON {
    for options in [first, second].compactMap({ $0 }) {
      _ = try? await start(name, options)
    }
    return try await life(name, first.filter { $0.hasPrefix("fail=") })
  }
  /// The workflow's steps in order.
  func steps() async throws -> [String] {
    let result = try await start("points", ["points"])
    removeTree("\(folder)/points")
    var names: [String] = []
    for line in result.text.split(separator: "\n") {
      let parts = line.split(separator: ":")
      if parts.count == 2, parts[1] == "after-started", !names.contains(String(parts[0])) {
        names.append(String(parts[0]))
      }
    }
    return names
  }
  /// - Returns: how many were run.
  func each(_ numbers: [Int], _ body: @escaping @Sendable (Int) async throws -> Void) async -> Int {
    await withTaskGroup(of: Void.self) { group in
      var rest = numbers[...]
      func add() {
        guard let number = rest.popFirst() else { return }
        group.addTask {
          do { try await body(number) } catch { Issue.record(error, "\(scenario.rawValue) case \(number)") }
        }
      }
      for _ in 0..<3 { add() }
      while await group.next() != nil { add() }
    }
    return numbers.count
  }
}
