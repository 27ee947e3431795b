import Domain
import DriverInterfaces
import Processes
import Store
import Wire
import Workflows

extension Conductor {
  /// `active` from memory: a kernel, a ramdisk and the config drive beside it are kept for this machine, and it boots them from the
  /// boot server, now and whenever it starts. Nothing is written to its disks, and no agent is needed.
  ///
  /// Params: `kernel` and `ramdisk` (images), `name` (``RamdiskBoot/name``), `config_drive` (what the caller gave), and what the hardware
  /// does without (``Without``).
  static func deployRamdisk(_ parts: Parts) -> WorkflowDefinition {
    WorkflowDefinition(
      kind: "deploy-ramdisk",
      steps: [
        // What it ran before ends, and with it the use of its NIC for that.
        Step(
          "power-off", retries: 4,
          run: { context in
            try await parts.driver(of: context.subject).power.ensurePower(
              .off, graceful: false, patience: parts.settings.powerPatience)
            return .done
          },
          commit: { context, _, session in
            try NodeStore.setObservedPower(.off, of: context.subject, at: context.now, in: session)
          },
          undo: { context in
            try await parts.withdrawNetworks(node: context.subject)
            if let nic = try await parts.volumeBoot(context.subject) { try await parts.boot.ensureDenied([nic.mac]) }
          }),
        prepareRamdisk(parts),
        parts.tenantNetworks(),
        parts.admitNetworkBoot("admit-boot"),
        parts.bootFromNetwork("boot-ramdisk"),
      ],
      done: { context, session in
        try finish(context, session, .done, "Runs from memory.") { node in
          node.powerState = .on
          if node.instanceUUID == nil { node.instanceUUID = context.workflow }
        }
        try ServerStore.launched(node: context.subject, at: context.now, in: session)
        session.afterCommit {
          parts.removeRamdisks(of: context.subject, besides: context.params["name"]?.string)
          parts.wakeups.signal(serversName)
        }
      },
      undone: { context, session in
        try forgetRamdisk(of: context.subject, parts, session)
        try finish(context, session, .fail, context.failure)
        // A server that was deleted meanwhile waited for this.
        session.afterCommit {
          parts.removeRamdisks(of: context.subject)
          parts.wakeups.signal(serversName)
        }
      },
      stuck: giveToOperator)
  }

  /// The files that the machine will boot, in a folder of this deployment.
  private static func prepareRamdisk(_ parts: Parts) -> Step {
    Step(
      "prepare-ramdisk", retries: 1,
      run: { context in
        let folder = "\(parts.ramdiskFolder)/\(context.params["name"]?.string ?? "")"
        try await FileThread.shared.run { try Files.makeFolder(folder) }
        for file in [RamdiskBoot.File.kernel, .ramdisk] {
          try await parts.images.share(
            imageID: context.params[file.rawValue]?.string ?? "", as: "\(folder)/\(file.rawValue)")
        }
        try await parts.configDrives.makeArchive(
          try await parts.configDriveContent(context), at: "\(folder)/\(RamdiskBoot.File.config.rawValue)")
        return .done
      },
      undo: { context in
        if let name = context.params["name"]?.string { removeTree("\(parts.ramdiskFolder)/\(name)") }
      })
  }

  /// The machine runs nothing from its memory any more; its NIC is free, unless it reaches volumes by it.
  static func forgetRamdisk(of node: String, _ parts: Parts, _ session: any Session) throws {
    try VolumeBootStore.set(nil, node: node, in: session)
    guard try VolumeAttachmentStore.list(ofNode: node, box: parts.database.secrets, in: session).isEmpty else { return }
    try VolumeBootStore.delete(node: node, in: session)
  }

  /// A machine that ran from its memory gets an image on its disk: the NIC is free when nobody is on it.
  static func leaveRamdisk(_ parts: Parts) -> Step {
    Step(
      "leave-ramdisk", when: { $0["leaves_ramdisk"] != nil },
      run: { context in
        parts.removeRamdisks(of: context.subject)
        return .done
      },
      commit: { context, _, session in try forgetRamdisk(of: context.subject, parts, session) })
  }
}

extension Parts {
  var ramdiskFolder: String { "\(settings.dataFolder)/\(RamdiskBoot.folder)" }

  /// Removes what a machine has run from its memory; there are passwords in it.
  func removeRamdisks(of node: String, besides name: String? = nil) {
    for other in fileNames(in: ramdiskFolder) where other.hasPrefix("\(node).") && other != name {
      removeTree("\(ramdiskFolder)/\(other)")
    }
  }

  /// Gives the NIC that the machine boots by its address, and the boot server's name with it.
  func admitNetworkBoot(_ name: String) -> Step {
    Step(
      name, when: needsAgent,
      run: { context in
        guard let boot = try await volumeBoot(context.subject) else { return .done }
        try await self.boot.ensureVolumeBoot(boot.mac, address: boot.address, label: boot.label)
        return .done
      },
      undo: { context in
        guard let boot = try await volumeBoot(context.subject) else { return }
        try await self.boot.ensureDenied([boot.mac])
      })
  }

  /// The machine starts, from the boot server, now and whenever it does.
  func bootFromNetwork(_ name: String) -> Step {
    Step(
      name,
      run: { context in
        let driver = try await driver(of: context.subject)
        // Off first: a step that runs again must not leave the machine in the middle of an earlier boot's choice.
        try await driver.power.ensurePower(.off, graceful: false, patience: settings.powerPatience)
        try await driver.management.ensureBootOverride(BootOverride(.pxe, persistent: true))
        await markPowerOn(context.subject, driver)
        try await driver.power.ensurePower(.on, graceful: false, patience: settings.powerPatience)
        return .done
      },
      undo: { context in
        try await driver(of: context.subject).power.ensurePower(
          .off, graceful: false, patience: settings.powerPatience)
      })
  }
}
