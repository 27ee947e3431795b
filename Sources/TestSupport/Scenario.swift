import Domain

/// The workflows that the crash tests kill, each with what must be so before it.
public enum Scenario: String, Sendable, CaseIterable {
  case verify, inspect, provide, deploy, undeploy, attach, detach
  /// Its agent starts the installed system.
  case deployByKexec = "deploy-by-kexec"
  // The same with a bond of two NICs.
  case attachBond = "attach-bond"
  case detachBond = "detach-bond"
  case powerOff = "power-off"
  case reboot
  case startLease = "start-lease"
  case endLease = "end-lease"
  case manualClean = "manual-clean"
  /// An image of the disk of a machine that is in use.
  case captureDisk = "capture-disk"
  /// A copy of it in the backup store; and back, over what was written since.
  case backUpDisk = "back-up-disk"
  case restoreDisk = "restore-disk"
  case deleteDiskBackup = "delete-disk-backup"
  // The same with hardware that needs no agent.
  case inspectByDriver = "inspect-by-driver"
  case provideByDriver = "provide-by-driver"
  case manualCleanByDriver = "manual-clean-by-driver"
  case deployByDriver = "deploy-by-driver"
  case rescue, unrescue
  // With the agent, whose ramdisk becomes the rescue system.
  case rescueByAgent = "rescue-by-agent"
  case unrescueByAgent = "unrescue-by-agent"
  /// An unknown machine has booted the agent.
  case discover
  // Volumes, with no machine in them.
  case createVolume = "create-volume"
  case cloneVolume = "clone-volume"
  case deleteVolume = "delete-volume"
  case extendVolume = "extend-volume"
  case snapshotVolume = "snapshot-volume"
  case deleteSnapshot = "delete-snapshot"
  case revertVolume = "revert-volume"
  case attachVolume = "attach-volume"
  case detachVolume = "detach-volume"
  case backUpVolume = "back-up-volume"
  case restoreVolume = "restore-volume"
  case deleteBackup = "delete-backup"
  case uploadVolume = "upload-volume"
  // Machines that boot from volumes.
  case deployVolume = "deploy-volume"
  case undeployVolume = "undeploy-volume"
  // Machines that run from their memory.
  case deployRamdisk = "deploy-ramdisk"
  case undeployRamdisk = "undeploy-ramdisk"
  /// A deployment to the disk of a machine that was to run from its memory.
  case leaveRamdisk = "leave-ramdisk"

  /// A cleaning that leaves the agent up, in quarantine.
  case provideFastTrack = "provide-fast-track"
  // A machine that stands by is deployed, is given a network, or is rebooted.
  case deployFastTrack = "deploy-fast-track"
  case attachFastTrack = "attach-fast-track"
  case rebootFastTrack = "reboot-fast-track"

  public var isOfFastTrack: Bool { self == .provideFastTrack || standsBy }
  /// The machine stands by when the scenario begins.
  var standsBy: Bool { [.deployFastTrack, .attachFastTrack, .rebootFastTrack].contains(self) }

  var isOfRamdisk: Bool { [.deployRamdisk, .undeployRamdisk, .leaveRamdisk].contains(self) }

  /// About a volume alone: the machine is as it was.
  public var isOfVolume: Bool {
    switch self {
    case .createVolume, .cloneVolume, .deleteVolume, .extendVolume, .snapshotVolume, .deleteSnapshot, .revertVolume,
      .attachVolume, .detachVolume, .backUpVolume, .restoreVolume, .deleteBackup, .uploadVolume, .deleteDiskBackup:
      true
    default: false
    }
  }
  // Servers, with a network port that they made.
  case createServer = "create-server"
  case deleteServer = "delete-server"
  /// Deleted in the moment in which it is made.
  case deleteBuildingServer = "delete-building-server"
  /// One that boots from a volume made with it, and has another one.
  case createVolumeServer = "create-volume-server"
  /// Its own volume goes with it.
  case deleteVolumeServer = "delete-volume-server"
  /// A running server is given a volume, or loses it.
  case attachServerVolume = "attach-server-volume"
  case detachServerVolume = "detach-server-volume"

  /// A server gives its machine back: one on its disk, and one on a volume.
  case shelveServer = "shelve-server"
  case shelveVolumeServer = "shelve-volume-server"
  /// A shelved server gets a machine.
  case unshelveServer = "unshelve-server"

  public var isOfShelving: Bool { [.shelveServer, .shelveVolumeServer, .unshelveServer].contains(self) }
  var isOfServer: Bool {
    [.createServer, .deleteServer, .deleteBuildingServer].contains(self) || isOfVolumeServer || isOfShelving
  }
  var isOfVolumeServer: Bool {
    [.createVolumeServer, .deleteVolumeServer, .attachServerVolume, .detachServerVolume, .shelveVolumeServer].contains(
      self)
  }
  /// The machine's two NICs are a port group.
  var isBonded: Bool { [.attachBond, .detachBond].contains(self) }

  var needsAgent: Bool {
    ![.inspectByDriver, .provideByDriver, .manualCleanByDriver, .deployByDriver, .rescue, .unrescue].contains(self)
  }

  /// The node's state when the scenario begins.
  var before: ProvisionState {
    switch self {
    case .verify, .discover: .enroll
    case .inspect, .provide, .provideFastTrack, .manualClean, .inspectByDriver, .provideByDriver, .manualCleanByDriver:
      .manageable
    case .leaveRamdisk: .deployFailed
    case .deploy, .deployByKexec, .deployByDriver, .startLease, .deployVolume, .deployRamdisk, .createServer,
      .deleteBuildingServer, .createVolumeServer, .unshelveServer, .deployFastTrack, .attachFastTrack, .rebootFastTrack:
      .available
    case .createVolume, .cloneVolume, .deleteVolume, .extendVolume, .snapshotVolume, .deleteSnapshot, .revertVolume,
      .attachVolume, .detachVolume, .backUpVolume, .restoreVolume, .deleteBackup, .uploadVolume, .deleteDiskBackup:
      .available
    case .captureDisk, .backUpDisk, .restoreDisk, .undeploy, .undeployVolume, .undeployRamdisk, .attach, .detach,
      .attachBond, .detachBond, .powerOff, .reboot,
      .endLease, .rescue,
      .deleteServer, .deleteVolumeServer, .attachServerVolume, .detachServerVolume, .rescueByAgent, .shelveServer,
      .shelveVolumeServer:
      .active
    case .unrescue, .unrescueByAgent: .rescue
    }
  }
  /// The state when all went well.
  public var whole: ProvisionState {
    switch self {
    case .discover: .enroll
    case .verify, .inspect, .inspectByDriver, .manualClean, .manualCleanByDriver: .manageable
    case .provide, .provideByDriver, .undeploy, .startLease, .endLease, .undeployVolume, .undeployRamdisk,
      .deleteServer, .deleteBuildingServer, .deleteVolumeServer, .shelveServer, .shelveVolumeServer,
      .provideFastTrack, .attachFastTrack, .rebootFastTrack:
      .available
    case .createVolume, .cloneVolume, .deleteVolume, .extendVolume, .snapshotVolume, .deleteSnapshot, .revertVolume,
      .attachVolume, .detachVolume, .backUpVolume, .restoreVolume, .deleteBackup, .uploadVolume, .deleteDiskBackup:
      .available
    case .deploy, .deployByKexec, .deployByDriver, .deployVolume, .deployRamdisk, .leaveRamdisk, .attach, .detach,
      .attachBond,
      .detachBond, .powerOff, .reboot, .unrescue, .unrescueByAgent, .captureDisk, .backUpDisk, .restoreDisk,
      .createServer, .createVolumeServer, .attachServerVolume, .detachServerVolume, .unshelveServer, .deployFastTrack:
      .active
    case .rescue, .rescueByAgent: .rescue
    }
  }
  /// The state after a step failed and everything was undone.
  public var undone: ProvisionState {
    switch self {
    case .verify, .discover: .enroll
    case .inspect, .inspectByDriver: .inspectFailed
    case .provide, .provideFastTrack, .provideByDriver, .manualClean, .manualCleanByDriver, .endLease: .cleanFailed
    // A machine that it cannot have is given back.
    case .startLease, .unshelveServer, .attachFastTrack, .rebootFastTrack: .available
    case .createVolume, .cloneVolume, .deleteVolume, .extendVolume, .snapshotVolume, .deleteSnapshot, .revertVolume,
      .attachVolume, .detachVolume, .backUpVolume, .restoreVolume, .deleteBackup, .uploadVolume, .deleteDiskBackup:
      .available
    case .deploy, .deployByKexec, .deployByDriver, .deployVolume, .deployRamdisk, .leaveRamdisk, .createServer,
      .createVolumeServer, .restoreDisk, .deployFastTrack:
      .deployFailed
    case .undeploy, .undeployVolume, .undeployRamdisk, .deleteServer, .deleteBuildingServer, .deleteVolumeServer: .error
    case .captureDisk, .backUpDisk, .attachServerVolume, .detachServerVolume, .attach, .detach, .attachBond,
      .detachBond, .powerOff, .reboot, .shelveServer, .shelveVolumeServer:
      .active
    case .rescue, .rescueByAgent: .rescueFailed
    case .unrescue, .unrescueByAgent: .unrescueFailed
    }
  }
}
