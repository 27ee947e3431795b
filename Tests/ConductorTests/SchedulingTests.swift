import Domain
import Testing
import Wire

@testable import Conductor

@Suite struct SchedulingTests {
  private func candidate(
    _ name: String, freePorts: Int = 2, _ adjust: (inout Node) -> Void = { _ in }
  ) -> MachineCandidate {
    var node = Node(uuid: "uuid-of-\(name)", name: name, driver: "fake", createdAt: Timestamp(seconds: 0))
    node.provisionState = .available
    node.resourceClass = "gold"
    node.properties = ["memory_mb": "4096", "cpus": 8, "local_gb": 100]
    adjust(&node)
    return MachineCandidate(node: node, freePorts: freePorts)
  }
  private var demands: MachineDemands {
    var demands = MachineDemands()
    demands.resourceClasses = ["CUSTOM_GOLD"]
    demands.memory = 2048
    demands.ports = 1
    return demands
  }

  @Test func theLeastMachineThatDoesIsTaken() {
    let (fitting, rejected) = Scheduling.sort(
      [
        candidate("large") { $0.properties["memory_mb"] = 65_536 }, candidate("right"),
        candidate("small") { $0.properties["memory_mb"] = 1024 },
      ], for: demands)
    #expect(fitting.map(\.name) == ["right", "large"])
    #expect(rejected.map(\.machine) == ["small"])
  }

  @Test func ofEqualMachinesTheOneWhoseAgentWaitsIsTaken() {
    var waiting = candidate("waiting")
    waiting.standsBy = true
    var large = candidate("large") { $0.properties["memory_mb"] = 65_536 }
    large.standsBy = true
    let (fitting, _) = Scheduling.sort([candidate("off"), large, waiting], for: demands)
    #expect(fitting.map(\.name) == ["waiting", "off", "large"])
  }

  @Test func eachReasonIsASentence() {
    var strict = demands
    strict.required = ["CUSTOM_GPU"]
    strict.forbidden = ["CUSTOM_OLD"]
    strict.chassisInUse = ["c1"]
    strict.isSpreadStrict = true
    var short = candidate("short") { $0.traits = ["CUSTOM_GPU"] }
    short.endsBefore = Timestamp(seconds: 1_800_000_000)
    for (candidate, words) in [
      (candidate("a") { $0.instanceUUID = "x" }, "is in use"),
      (candidate("a") { $0.provisionState = .cleaning }, "is not available but cleaning"),
      (candidate("a") { $0.maintenance = true }, "is in maintenance"),
      (candidate("a") { $0.isRetired = true }, "is retired"),
      (candidate("a") { $0.reservation = "w" }, "is being worked on"),
      (candidate("a") { $0.resourceClass = nil }, "is of resource class none, not CUSTOM_GOLD"),
      (candidate("a"), "lacks trait CUSTOM_GPU"),
      (candidate("a") { $0.traits = ["CUSTOM_GPU", "CUSTOM_OLD"] }, "has trait CUSTOM_OLD"),
      (candidate("a", freePorts: 0) { $0.traits = ["CUSTOM_GPU"] }, "has 0 free NICs, not 1"),
      (short, "is the project's until 2027-01-15T08:00:00Z only"),
      (
        candidate("a") {
          $0.traits = ["CUSTOM_GPU"]
          $0.chassisUUID = "c1"
        }, "stands on a chassis"
      ),
    ] {
      let reason = Scheduling.reason(against: candidate, strict) ?? "fits"
      #expect(reason.contains(words), "\(reason)")
    }
    var named = MachineDemands()
    named.node = "other"
    #expect(Scheduling.reason(against: candidate("a"), named)?.contains("not the machine that was named") == true)
    named.node = "uuid-of-a"
    #expect(Scheduling.reason(against: candidate("a"), named) == nil)
  }

  @Test func membersOfAGroupStandApartWhereTheyCan() {
    var spread = demands
    spread.chassisInUse = ["c1"]
    let (fitting, _) = Scheduling.sort(
      [candidate("beside") { $0.chassisUUID = "c1" }, candidate("apart") { $0.chassisUUID = "c2" }], for: spread)
    #expect(fitting.map(\.name) == ["apart", "beside"])
  }

  @Test func aLongExplanationEnds() {
    let rejected = (0..<500).map { (machine: "n\($0)", reason: "is retired") }
    let text = Scheduling.explanation(rejected, foreign: 1)
    #expect(text.contains("and 480 more"))
    #expect(text.contains("1 machine of others was not considered"))
    #expect(Scheduling.explanation([], foreign: 0).contains("The project has no machine"))
  }
}
