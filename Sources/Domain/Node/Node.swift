import Wire

/// A bare-metal machine. Field names follow the Bare Metal API (Ironic API reference v1, "Nodes").
public struct Node: Sendable, Equatable {
  public var uuid: String
  /// Unique in the site when there is one.
  public var name: String?
  /// The hardware type: "ipmi", "redfish".
  public var driver: String
  /// How to reach the management controller. Secrets are masked here (``mask``); the store keeps them sealed.
  public var driverInfo: JSONObject
  public var properties: JSONObject
  public var extra: JSONObject
  public var instanceInfo: JSONObject
  public var driverInternalInfo: JSONObject
  /// The implementations that somebody chose; where it is silent the hardware type's default holds.
  public var interfaces: [InterfaceKind: String]
  public var resourceClass: String?
  /// Project ids.
  public var owner: String?
  public var lessee: String?
  /// The lease that gave the node to its lessee; shown as `properties.lease_uuid`.
  public var leaseUUID: String?
  public var provisionState: ProvisionState
  public var targetProvisionState: String?
  public var powerState: Power?
  public var targetPowerState: Power?
  public var maintenance: Bool
  public var maintenanceReason: Reason?
  public var fault: String?
  public var lastError: Reason?
  /// The id of the workflow that holds the node; one at a time.
  public var reservation: String?
  public var instanceUUID: String?
  public var allocationUUID: String?
  public var consoleEnabled: Bool
  public var automatedClean: Bool?
  public var isProtected: Bool
  public var protectedReason: String?
  public var isRetired: Bool
  public var retiredReason: String?
  public var description: String?
  public var conductorGroup: String
  /// Where it stands.
  public var chassisUUID: String?
  /// Which of several clients that share the site looks after it.
  public var shard: String?
  /// The node that it is a part of, such as the server that a DPU sits in; lists leave it out unless asked for.
  public var parentNode: String?
  public var bootMode: BootMode?
  public var isSecureBoot: Bool?
  public var traits: [String]
  /// What the deployment does now: `{"step", "interface", "priority", "percent", "remaining_seconds", "message"}`; empty when nothing.
  public var deployStep: JSONObject
  /// The same for cleaning and inspection.
  public var cleanStep: JSONObject
  public var networkData: JSONObject
  /// The logical disks that were asked for: `{"logical_disks": […]}`. Source: Ironic, "RAID Configuration".
  public var targetRAIDConfig: JSONObject
  public var createdAt: Timestamp
  public var updatedAt: Timestamp?
  public var provisionUpdatedAt: Timestamp?
  public var inspectionStartedAt: Timestamp?
  public var inspectionFinishedAt: Timestamp?
  /// When the power state was last read from the controller.
  public var powerObservedAt: Timestamp?

  /// What stands for a secret in every answer; written back, it changes nothing.
  public static let mask = "******"

  public init(uuid: String, name: String? = nil, driver: String, createdAt: Timestamp) {
    self.uuid = uuid
    self.name = name
    self.driver = driver
    self.createdAt = createdAt
    driverInfo = [:]
    properties = [:]
    extra = [:]
    instanceInfo = [:]
    driverInternalInfo = [:]
    interfaces = [:]
    provisionState = .enroll
    maintenance = false
    consoleEnabled = false
    isProtected = false
    isRetired = false
    conductorGroup = ""
    traits = []
    deployStep = [:]
    cleanStep = [:]
    networkData = [:]
    targetRAIDConfig = [:]
  }

  /// As an operator knows it: the name, else the UUID.
  public var label: String { name ?? uuid }

  /// Of ``driverInternalInfo``: the boot mode that the machine had before its lessee chose another, until the lease is over.
  public static let modeBeforeLease = "boot_mode_before_lease"

  /// Writes down the firmware's mode, also where schedulers look for it. Source: Ironic, "Boot mode support".
  public mutating func noteBootMode(_ mode: BootMode) {
    bootMode = mode
    var capabilities = (properties["capabilities"]?.string ?? "").split(separator: ",").map { String($0) }
    capabilities.removeAll { $0.hasPrefix("boot_mode:") }
    properties["capabilities"] = .string((capabilities + ["boot_mode:\(mode.rawValue)"]).joined(separator: ","))
  }

  /// Moves to the state after `event`.
  /// - Returns: false, and nothing changed, when the event means nothing in this state.
  public mutating func apply(_ event: ProvisionEvent, at now: Timestamp) -> Bool {
    guard let next = provisionState.after(event) else { return false }
    provisionState = next
    provisionUpdatedAt = now
    return true
  }
}

/// What a caller asks of a node's provision state. Source: Ironic API reference v1, "Change Node Provision State".
public enum ProvisionVerb: String, Sendable, CaseIterable {
  case manage, provide, inspect, active, rebuild, deleted, undeploy, adopt, abort, clean, rescue, unrescue, unhold
}

/// What a caller asks of a node's power. Source: Ironic API reference v1, "Change Node Power State".
public enum PowerTarget: String, Sendable, CaseIterable {
  case on = "power on"
  case off = "power off"
  case reboot = "rebooting"
  case softOff = "soft power off"
  case softReboot = "soft rebooting"
}
