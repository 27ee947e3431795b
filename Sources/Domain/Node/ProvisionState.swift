/// The provision state of a node. The raw values are what the Bare Metal API shows.
///
/// Source: Ironic, "Bare Metal state machine" (admin guide) and API reference v1, "Change Node Provision State".
public enum ProvisionState: String, Sendable, CaseIterable {
  case enroll, verifying, manageable, available, deploying, active, deleting, cleaning, error, inspecting, rebuild
  case inspectWait = "inspect wait"
  case inspectFailed = "inspect failed"
  case deployWait = "wait call-back"
  case deployFailed = "deploy failed"
  case cleanWait = "clean wait"
  case cleanFailed = "clean failed"
  /// The steps of a manual cleaning wait for somebody's word.
  case cleanHold = "clean hold"
  case adopting, adoptFailed = "adopt failed"
  case rescuing, rescue, rescueFailed = "rescue failed"
  case unrescuing, unrescueFailed = "unrescue failed"
}

/// What can happen to a node's provision state.
public enum ProvisionEvent: Sendable, CaseIterable {
  case manage, provide, inspect, deploy, rebuild, delete, adopt, abort, rescue, unrescue
  case wait, hold, resume, done, fail, clean
  /// A manual cleaning is over.
  case cleaned
}

extension ProvisionState {
  /// The state after `event`, or nil when the event means nothing here.
  public func after(_ event: ProvisionEvent) -> ProvisionState? {
    switch (self, event) {
    case (.enroll, .manage): .verifying
    case (.verifying, .done): .manageable
    case (.verifying, .fail): .enroll

    case (.manageable, .inspect), (.inspectFailed, .inspect): .inspecting
    case (.inspecting, .wait): .inspectWait
    case (.inspectWait, .resume): .inspecting
    case (.inspecting, .done), (.inspectWait, .done): .manageable
    case (.inspecting, .fail), (.inspectWait, .fail), (.inspectWait, .abort): .inspectFailed
    case (.inspectFailed, .manage): .manageable

    case (.manageable, .provide): .cleaning
    case (.manageable, .adopt), (.adoptFailed, .adopt): .adopting
    case (.adopting, .done): .active
    case (.adopting, .fail): .adoptFailed
    case (.adoptFailed, .manage): .manageable
    case (.available, .manage): .manageable

    case (.available, .deploy), (.deployFailed, .deploy): .deploying
    case (.active, .rebuild), (.deployFailed, .rebuild), (.error, .rebuild): .deploying
    case (.deploying, .wait): .deployWait
    case (.deployWait, .resume): .deploying
    case (.deploying, .done), (.deployWait, .done): .active
    case (.deploying, .fail), (.deployWait, .fail), (.deployWait, .abort): .deployFailed

    case (.active, .rescue), (.rescue, .rescue), (.rescueFailed, .rescue), (.unrescueFailed, .rescue): .rescuing
    case (.rescuing, .done): .rescue
    case (.rescuing, .fail): .rescueFailed
    case (.rescue, .unrescue), (.rescueFailed, .unrescue), (.unrescueFailed, .unrescue): .unrescuing
    case (.unrescuing, .done): .active
    case (.unrescuing, .fail): .unrescueFailed

    case (.active, .delete), (.deployFailed, .delete), (.deployWait, .delete), (.error, .delete): .deleting
    case (.rescue, .delete), (.rescueFailed, .delete), (.unrescueFailed, .delete): .deleting
    case (.deleting, .fail): .error
    case (.deleting, .clean): .cleaning

    case (.cleaning, .wait): .cleanWait
    case (.cleaning, .hold): .cleanHold
    case (.cleanWait, .resume), (.cleanHold, .resume): .cleaning
    case (.cleaning, .done), (.cleanWait, .done): .available
    case (.cleaning, .cleaned), (.cleanWait, .cleaned): .manageable
    case (.cleaning, .fail), (.cleanWait, .fail), (.cleanHold, .fail): .cleanFailed
    case (.cleanWait, .abort), (.cleanHold, .abort): .cleanFailed
    case (.cleanFailed, .manage): .manageable
    default: nil
    }
  }

  /// States that a workflow passes through by itself; nothing but that workflow leaves them.
  public var isTransient: Bool {
    switch self {
    case .verifying, .inspecting, .inspectWait, .deploying, .deployWait, .deleting, .cleaning, .cleanWait, .cleanHold,
      .adopting, .rescuing, .unrescuing:
      true
    default: false
    }
  }

  /// Somebody's system is on the machine's disks, or may be.
  public var isInUse: Bool {
    [.active, .deployFailed, .error, .rescue, .rescueFailed, .unrescueFailed].contains(self)
  }
}
