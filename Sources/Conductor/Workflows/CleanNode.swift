import Domain
import DriverInterfaces
import Store
import Wire
import Workflows

extension Conductor {
  /// `provide`: every disk is erased and read back, then the machine is available. `clean`: the steps that the caller chose,
  /// then the machine is manageable again.
  ///
  /// Params: `clean_steps` (of a manual cleaning, checked), and what the hardware does without (``Without``).
  static func cleanNode(_ parts: Parts) -> WorkflowDefinition {
    WorkflowDefinition(
      kind: "clean-node",
      steps: parts.cleaningSteps(),
      done: { context, session in
        try finish(
          context, session, after: { isManual(context.params) ? .cleaned : cleaned($0) }, "Cleaning finished.")
      },
      undone: cleaningFailed, stuck: giveToOperator)
  }
}

extension Parts {
  /// From whatever the machine is doing to powered off, in quarantine, with empty disks.
  func cleaningSteps() -> [Step] {
    [biosSettings(), provisioningNetwork()] + agentSteps() + [
      biosCheck(), erase(),
    ] + (0...CleanStep.mostHolds).flatMap { chosenSteps(part: $0) } + endOfCleaning()
  }
  /// From an agent that waits to powered off, in quarantine, with empty disks.
  func erasingSteps() -> [Step] { [erase()] + endOfCleaning() }

  private func erase() -> Step {
    work("erase", shownIn: \.cleanStep, when: { !isManual($0) }) { _ in
      [erasure(settings.eraseMode)]
    } work: { _ in
      .erase(mode: settings.eraseMode)
    }
  }
  private func endOfCleaning() -> [Step] {
    [
      standBy(),
      endAgent(),
      quarantine(),
      Step(
        "record-erasure", when: { !isManual($0) },
        commit: { context, _, session in
          let output = context.outputs["erase"]
          let record = try EraseProof.add(
            context, output, mode: settings.eraseMode, database.secrets, in: session)
          try change(context.subject, session) { node in
            node.driverInternalInfo["last_erase"] = [
              "at": .string(context.now.iso8601Zulu), "mode": .string(settings.eraseMode),
              "disks": output?["disks"] ?? [], "record": JSON(record?.uuid),
            ]
          }
        }),
    ]
  }
}

extension Parts {
  /// The steps of a manual cleaning up to the first hold (part 0), or a hold and what follows it.
  fileprivate func chosenSteps(part: Int) -> [Step] {
    let name = part == 0 ? "clean-steps" : "clean-steps-\(part)"
    let steps = work(name, shownIn: \.cleanStep, when: { isManual($0) && holds($0) >= part }) { context in
      cleanSteps(context.params, part: part).filter { $0.interface == .deploy }.map {
        erasure($0.step == "erase_devices" ? "full" : "metadata", shownAs: $0)
      }
    } work: { context in
      .clean(cleanSteps(context.params, part: part))
    }
    return part == 0 ? [steps] : [hold(part), steps]
  }

  /// Waits in `clean hold` until somebody says `unhold`; the machine stays as it is. Source: Ironic, "Steps", hold.
  private func hold(_ number: Int) -> Step {
    Step(
      "hold-\(number)", when: { isManual($0) && holds($0) >= number },
      run: { context in
        let isOver = try await database.write { session -> Bool in
          var isOver = true
          try change(context.subject, session) { node in
            isOver = Hold.released(node, by: context.workflow) >= number
            guard !isOver, node.apply(.hold, at: context.now) else { return }
            node.cleanStep = ["step": .string(CleanStep.hold), "interface": "deploy", "priority": 100]
            node.updatedAt = context.now
          }
          return isOver
        }
        return isOver ? .done : .wait(until: clock() + .seconds(3600), on: nil)
      },
      commit: { context, _, session in try change(context.subject, session) { $0.cleanStep = [:] } },
      undo: { context in
        try await database.write { session in try change(context.subject, session) { $0.cleanStep = [:] } }
      })
  }

  /// Tells the controller what the BIOS is to be; the machine is booted next, and has it then.
  ///
  /// No undo: what was asked for is taken back by asking for something else.
  fileprivate func biosSettings() -> Step {
    Step(
      "bios-settings", when: { needsAgent($0) && changesBIOS($0) },
      run: { context in
        let bios = try await biosInterface(context)
        for step in biosSteps(context.params) { try await bios.perform(step) }
        return .done
      })
  }
  /// Reads the settings back, once the machine has booted with them.
  fileprivate func biosCheck() -> Step {
    Step(
      "bios-check", when: { needsAgent($0) && changesBIOS($0) },
      run: { context in
        let bios = try await biosInterface(context)
        var wanted: [String: String] = [:]
        for step in biosSteps(context.params) {
          // What the maker's settings are, the controller knows.
          if step.step == "factory_reset" { wanted = [:] }
          for choice in BIOSSetting.choices(step.arguments["settings"]) ?? [] { wanted[choice.name] = choice.value }
        }
        let shown = Dictionary(
          try await bios.biosSettings(isDetailed: false).map { ($0.name, $0.value) }, uniquingKeysWith: { $1 })
        let others = wanted.filter { (shown[$0.key] ?? nil)?.lowercased() != $0.value.lowercased() }.keys.sorted()
        if others.isEmpty { return .done }
        // Some controllers learn from the BIOS late what it has done.
        guard context.elapsed > .seconds(120) else { return .wait(until: clock() + .seconds(5), on: nil) }
        throw DriverError(
          .notInForce, device: .controller("of node \(context.subject)"),
          detail: "these BIOS settings are not what was asked for after a boot: \(others.joined(separator: ", "))")
      })
  }
  private func biosInterface(_ context: StepContext) async throws -> any BIOSInterface {
    guard let bios = try await driver(of: context.subject).bios else {
      throw DriverError(
        .misconfigured, device: .node(context.subject),
        detail: "its driver was changed while it was worked on; try again")
    }
    return bios
  }
}

private func biosSteps(_ params: JSONObject) -> [CleanStep] { cleanSteps(params).filter { $0.interface == .bios } }
private func changesBIOS(_ params: JSONObject) -> Bool { !biosSteps(params).isEmpty }

/// A cleaning by steps that somebody chose.
@Sendable private func isManual(_ params: JSONObject) -> Bool { params["clean_steps"] != nil }
private func cleanSteps(_ params: JSONObject) -> [CleanStep] {
  (params["clean_steps"]?.array ?? []).compactMap { CleanStep($0) }
}
private func holds(_ params: JSONObject) -> Int { cleanSteps(params).count { $0.isHold } }
/// What is between two holds: part 0 is before the first.
private func cleanSteps(_ params: JSONObject, part: Int) -> [CleanStep] {
  let parts = cleanSteps(params).split(omittingEmptySubsequences: false) { $0.isHold }
  return parts.indices.contains(part) ? Array(parts[part]) : []
}

/// How often somebody has let a workflow go on; kept with the node it holds.
enum Hold {
  static func released(_ node: Node, by workflow: String) -> Int {
    let released = node.driverInternalInfo["holds_released"]
    return released?["workflow"]?.string == workflow ? released?["count"]?.int ?? 0 : 0
  }
  static func release(_ node: inout Node, _ workflow: String) {
    node.driverInternalInfo["holds_released"] = [
      "workflow": .string(workflow), "count": .int(released(node, by: workflow) + 1),
    ]
  }
}
private func erasure(_ mode: String, shownAs step: CleanStep? = nil) -> Parts.AgentCommand {
  Parts.AgentCommand(
    "erase", ["mode": .string(mode), "disks": nil], shownAs: step ?? CleanStep(.deploy, "erase"))
}

/// Whether an erased machine is for anybody to have: a retired one is not. Source: Ironic, "Node retirement".
func cleaned(_ node: Node) -> ProvisionEvent { node.isRetired ? .cleaned : .done }

/// A machine that could not be cleaned is nobody's until an administrator has looked: maintenance, `clean failed`.
@Sendable func cleaningFailed(_ context: StepContext, _ session: any Session) throws {
  try finish(context, session, .fail, context.failure) { node in
    node.maintenance = true
    node.maintenanceReason = context.failure?.following("Cleaning failed: ")
    node.fault = "clean failure"
  }
}
