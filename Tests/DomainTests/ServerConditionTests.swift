import Domain
import Testing
import Wire

@Suite struct ServerConditionTests {
  private let now = Timestamp(seconds: 1_800_000_000)
  private func server() -> Server {
    Server(projectID: "p", userID: "u", name: "web", flavor: [:], createdAt: now)
  }
  private func machine(_ state: ProvisionState, _ power: Power? = nil) -> ServerMachine {
    var machine = ServerMachine(uuid: "n", name: nil, state: state)
    machine.power = power
    return machine
  }

  @Test func aStatusFollowsFromTheMachine() {
    for (state, power, status) in [
      (ProvisionState.deploying, Power.off, ServerCondition.Status.build), (.deployWait, .on, .build),
      (.active, .on, .active), (.active, .off, .shutoff), (.deployFailed, .off, .error), (.rescue, .on, .rescue),
      (.error, nil, .error), (.rescueFailed, .off, .error), (.deleting, .on, .active),
    ] as [(ProvisionState, Power?, ServerCondition.Status)] {
      let condition = ServerCondition.of(server(), on: machine(state, power))
      #expect(condition.status == status, "\(state)")
      #expect((condition.status == .error) == (condition.reason != nil), "\(state): an error says why")
    }
  }

  @Test func everyStateOfAMachineIsOneOfAServer() {
    for state in ProvisionState.allCases {
      let condition = ServerCondition.of(server(), on: machine(state))
      #expect(!condition.vmState.isEmpty)
      if state.isTransient { #expect(condition.taskState != nil || condition.status == .error, "\(state)") }
    }
  }

  @Test func whatIsAskedForShowsAsATask() {
    var booting = machine(.active, .off)
    booting.isReserved = true
    booting.targetPower = .on
    #expect(ServerCondition.of(server(), on: booting).taskState == "powering-on")
    booting.isRebooting = true
    #expect(ServerCondition.of(server(), on: booting).status == .hardReboot)

    var second = server()
    second.launchedAt = now
    #expect(ServerCondition.of(second, on: machine(.deploying)).status == .rebuild)
    second.shelvedAt = now
    #expect(ServerCondition.of(second, on: nil).status == .shelvedOffloaded)
    #expect(ServerCondition.of(second, on: machine(.deployWait)).taskState == "spawning")
    #expect(ServerCondition.of(second, on: machine(.deployFailed)).taskState == "shelving_offloading")
    #expect(ServerCondition.of(second, on: machine(.error)).status == .error)
    second.shelvedAt = nil
    var leaving = machine(.active, .off)
    leaving.isReserved = true
    (leaving.isShelved, leaving.wasOn) = (true, true)
    #expect(ServerCondition.of(second, on: leaving).taskState == "shelving")
    leaving.deployStep = ["step": "read-disk"]
    #expect(ServerCondition.of(second, on: leaving).taskState == "shelving_image_uploading")
    #expect(ServerCondition.of(second, on: leaving).status == .active)
    second.deletionAskedAt = now
    #expect(ServerCondition.of(second, on: machine(.active, .on)).taskState == "deleting")
    second.deletedAt = now
    #expect(ServerCondition.of(second, on: nil).status == .deleted)
  }

  @Test func hostNamesAreMadeOfNames() {
    for (name, hostname) in [
      ("web", "web"), ("My Server_1", "my-server-1"), ("a.example.org", "a-example-org"), ("-x-", "x"), ("日本", nil),
      (String(repeating: "a", count: 200), String(repeating: "a", count: 63)),
    ] as [(String, String?)] { #expect(Server.hostname(of: name) == hostname) }
  }

  @Test func extraSpecsSayWhichMachines() {
    var flavor = Flavor(name: "f", memory: 1024, vcpus: 2, disk: 10, createdAt: now)
    flavor.extraSpecs = [
      "resources:CUSTOM_GOLD": "1", "resources:VCPU": "0", "resources:MEMORY_MB": "0", "trait:CUSTOM_GPU": "required",
      "trait:CUSTOM_OLD": "forbidden", "hw:boot_menu": "true",
    ]
    let demands = flavor.demands
    #expect(demands.resourceClasses == ["CUSTOM_GOLD"])
    #expect(demands.vcpus == 0 && demands.memory == 0 && demands.disk == 10)
    #expect(demands.required == ["CUSTOM_GPU"] && demands.forbidden == ["CUSTOM_OLD"])
    #expect(MachineDemands.placementName("baremetal-gold.2") == "CUSTOM_BAREMETAL_GOLD_2")
  }
}
