import Domain
import DriverInterfaces
import Store
import Wire
import Workflows

/// The installed system, started by the agent in its own place instead of by the firmware (kexec, docs/decisions/0026).
///
/// The tenant's system must never run on the provisioning network, also when the server dies in between. So what starts it is not the
/// network but the power button, which is pressed when the tenant's networks are in force and read back; until then the agent waits with its
/// interfaces down, and switches the machine off when nobody comes.
enum LoadedSystem {
  /// The parameter of a deployment that asks for it.
  static let parameter = "kexec"
  static let step = "load-system"

  @Sendable static func isWanted(_ params: JSONObject) -> Bool { params[parameter] != nil && needsAgent(params) }
  /// The word that the agent says on the console when it starts the system; nil when it has loaded none.
  static func word(_ context: StepContext) -> String? {
    let output = context.outputs[step] ?? .null
    return output["loaded"]?.bool == true ? output["word"]?.string : nil
  }
  @Sendable static func isLoaded(_ context: StepContext) -> Bool { word(context) != nil }

  /// How long the server waits to see what came of the button: the agent began to wait before that, and for less.
  static func patience(_ settings: ConductorSettings) -> Duration { settings.buttonPatience * 3 / 2 }
}

extension Parts {
  /// Has the agent load what the boot loader on the disk would start. That it cannot fails nothing: then the firmware boots it.
  func loadSystem() -> Step {
    let loading = work(LoadedSystem.step, shownIn: \.deployStep, when: LoadedSystem.isWanted) { context in
      [
        AgentCommand(
          LoadedSystem.step,
          [
            "disk": context.params["disk"] ?? .emptyObject,
            "button_seconds": .int(max(1, Int(settings.buttonPatience.inSeconds))),
          ])
      ]
    } work: { context in
      .deploy(image: context.params["image"]?.string ?? "")
    }
    return Step(
      loading.name, when: loading.isPart,
      run: { context in
        do { return try await loading.run(context) } catch let error as DriverError {
          return .done(["loaded": false, "why": .string(error.detail)])
        }
      }, commit: loading.commit, undo: loading.undo)
  }

  /// Has the waiting agent start what it has loaded, once the machine is on its tenant's networks.
  ///
  /// The button is pressed at most once, and that is written before: pressed again it would ask the tenant's system to end. What came of it is
  /// the agent's word on the console; or, where no console is read, that the machine is still on when the agent would have switched it
  /// off.
  /// - Returns: nil when the firmware is to boot the machine, which is then off or does not hear.
  func startLoaded(_ word: String, _ driver: NodeDriver, _ context: StepContext) async throws -> StepOutcome? {
    guard let button = driver.powerButton else { return nil }
    try await driver.management.ensureBootOverride(BootOverride(.disk, persistent: true))
    let now = clock()
    // The agent's session is over: this command is a note of what it is told by the button.
    let isPressed = try await database.write { session -> Bool in
      guard try AgentStore.command(context.key, in: session) == nil else { return true }
      try AgentStore.give(
        "start-system", [:], id: context.key, node: context.subject, workflow: context.workflow, at: now, in: session)
      return false
    }
    if !isPressed {
      await markPowerOn(context.subject, driver)
      do {
        try await button.pressPowerButton()
      } catch let error as DriverError {
        // (one that did not answer may have obeyed)
        guard error.isTransient else { return nil }
      }
    }
    let isOver = context.elapsed > LoadedSystem.patience(settings)
    do {
      guard try await driver.power.observePower() == .on else { return nil }
    } catch let error as DriverError where error.isTransient && !isOver {
      return .wait(until: clock() + .seconds(2), on: nil)
    }
    if await hasSaid(word, context.subject) { return .done(["boot": "kexec", "seen": "console"]) }
    if isOver { return .done(["boot": "kexec", "seen": "power"]) }
    let pause = min(.milliseconds(500), LoadedSystem.patience(settings) / 10)
    return .wait(until: clock() + pause, on: nil)
  }

  private func hasSaid(_ word: String, _ node: String) async -> Bool {
    guard let printed = await consoles?.text(node: node, since: .powerOn, limit: 1 << 20) else { return false }
    return String(decoding: printed, as: UTF8.self).contains("starting the installed system (\(word))")
  }

  /// Which way the machine went, in its history.
  func noteStart(_ output: JSON, _ context: StepContext, in session: any Session) throws {
    guard LoadedSystem.isWanted(context.params) else { return }
    let why = context.outputs[LoadedSystem.step]?["why"]?.string
    try NodeStore.addEvent(
      output["boot"]?.string == "kexec"
        ? "The installed system was started by kexec, without the firmware."
        : "The installed system is booted by the firmware, not by kexec: \(why ?? "the machine did not obey its power button").",
      type: "provision", of: context.subject, at: context.now, in: session)
  }
}
