import Domain
import DriverInterfaces
import Store
import Workflows

extension Conductor {
  /// `rescue`: the machine runs a system to mend the one on its disks. Its networks stay as they are.
  ///
  /// Only for hardware that does it by its own means: the ramdisk of this site has no log-in.
  static func rescueNode(_ parts: Parts) -> WorkflowDefinition {
    WorkflowDefinition(
      kind: "rescue-node",
      steps: [parts.powerOff(), parts.rescueWork("rescue", .rescue), parts.powerOn()],
      done: { context, session in
        try finish(context, session, .done, "The machine runs its rescue system.") { $0.powerState = .on }
      },
      undone: { context, session in try finish(context, session, .fail, context.failure) },
      stuck: giveToOperator)
  }

  /// `unrescue`: the machine boots what is on its disks again.
  static func unrescueNode(_ parts: Parts) -> WorkflowDefinition {
    WorkflowDefinition(
      kind: "unrescue-node",
      steps: [parts.powerOff(), parts.rescueWork("unrescue", .unrescue), parts.powerOn()],
      done: { context, session in
        try finish(context, session, .done, "The machine runs its own system again.") { $0.powerState = .on }
      },
      undone: { context, session in try finish(context, session, .fail, context.failure) },
      stuck: giveToOperator)
  }
}

extension Parts {
  fileprivate func rescueWork(_ name: String, _ rescue: ProvisioningWork) -> Step {
    work(name, shownIn: \.deployStep) { _ in
      []
    } work: { _ in
      rescue
    }
  }
  fileprivate func powerOn() -> Step {
    Step(
      "power-on",
      run: { context in
        let driver = try await driver(of: context.subject)
        await markPowerOn(context.subject, driver)
        try await driver.power.ensurePower(.on, graceful: false, patience: settings.powerPatience)
        return .done
      },
      undo: { context in
        try await driver(of: context.subject).power.ensurePower(.off, graceful: false, patience: settings.powerPatience)
      })
  }
}
