import Domain
import Wire

/// What is done to a machine itself while it is inspected, cleaned or deployed.
///
/// For most hardware that is the agent's work, in a ramdisk that the machine boots over the network. A hardware type whose
/// ``HardwareType/needsAgent`` is false does it by its own means, and the workflows leave the ramdisk out.
public protocol ProvisioningInterface: Sendable {
  /// Begins a piece of work, or tells how far it is; called again until it is done.
  ///
  /// - Parameters:
  ///   - key: names this piece of work for ever; the same key is the same work, also after a restart of the server.
  ///   - elapsed: how long ago it was begun, restarts included; zero at first.
  /// - Throws: ``DriverError``, when the work has failed or cannot be begun. A transient one is tried again.
  func advance(_ work: ProvisioningWork, key: String, elapsed: Duration) async throws -> WorkProgress
}

/// A piece of work on a machine that is powered off.
public enum ProvisioningWork: Sendable, Equatable {
  /// To find out what the machine has. The result holds `inventory` in the agent's words (docs/agent-protocol.md, "Claim");
  /// what it does not say stays as it was.
  /// - Parameter properties: what the node's `properties` say so far.
  case inspect(properties: JSONObject)
  /// To erase every disk. The result holds `disks`.
  /// - Parameter mode: "full" or "metadata".
  case erase(mode: String)
  /// To do these steps, in this order. They are among ``HardwareType/cleanSteps``.
  case clean([CleanStep])
  /// To put an operating system on the machine.
  /// - Parameter image: the image's id, or its URL.
  case deploy(image: String)
  /// To have the disk read. Machines that are worked on without an agent write nothing: it holds the image that was deployed.
  case capture
  /// To have the machine boot a system to mend the one on its disks with, until `unrescue`.
  case rescue
  case unrescue
}

public enum WorkProgress: Sendable, Equatable {
  case done(JSONObject)
  /// - Parameters:
  ///   - percent: 0 to 100.
  ///   - remaining: an estimate; the caller looks again then, or sooner.
  case going(percent: Int, remaining: Duration)
}

/// A step of manual cleaning that a hardware type can do.
public struct CleanStepOffer: Sendable, Equatable {
  public var interface: InterfaceKind
  /// The implementation of that interface which has it: "fake".
  public var implementation: String
  public var step: String
  /// Names of the arguments that it takes; it must be given all of them.
  public var arguments: Set<String>

  public init(_ interface: InterfaceKind, _ implementation: String, _ step: String, arguments: Set<String> = []) {
    self.interface = interface
    self.implementation = implementation
    self.step = step
    self.arguments = arguments
  }
}

extension CleanStepOffer {
  /// What can be asked of a BIOS. Source: Ironic, "BIOS configuration".
  public static func bios(_ implementation: String) -> [CleanStepOffer] {
    [
      CleanStepOffer(.bios, implementation, "apply_configuration", arguments: ["settings"]),
      CleanStepOffer(.bios, implementation, "factory_reset"),
    ]
  }
}

extension HardwareType {
  public var interfaces: [InterfaceKind: [String]] { usualInterfaces }
  /// One implementation of each interface. The switch always follows the node's networks, by whichever name.
  public var usualInterfaces: [InterfaceKind: [String]] {
    [
      .bios: ["no-bios"], .boot: ["ipxe"], .console: ["steelyard"], .deploy: ["direct", "ramdisk"],
      .firmware: ["no-firmware"],
      .inspect: ["agent"], .management: [name], .network: ["neutron", "flat", "noop"], .power: [name],
      .raid: ["no-raid"], .rescue: ["agent", "no-rescue"], .storage: ["noop", "cinder", "external"],
      .vendor: ["no-vendor"],
    ]
  }
  public var unwiredNetworks: Set<String> { [] }
  public var needsAgent: Bool { true }
  public var cleanSteps: [CleanStepOffer] { agentSteps }
  /// What the agent can do.
  public var agentSteps: [CleanStepOffer] {
    ["direct", "ramdisk"].flatMap { deploy in
      ["erase_devices", "erase_devices_metadata"].map { CleanStepOffer(.deploy, deploy, $0) }
    }
  }

  /// The implementation that holds for a node: what it was told to use, else the default.
  public func implementation(of kind: InterfaceKind, for node: Node) -> String {
    node.interfaces[kind] ?? interfaces[kind]?.first ?? ""
  }
}
