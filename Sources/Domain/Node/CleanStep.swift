import Wire

/// One step of a manual cleaning, as a caller asks for it.
///
/// Source: Ironic API reference v1, "Change Node Provision State", `clean_steps`.
public struct CleanStep: Sendable, Equatable {
  /// Whose step it is: "bios".
  public var interface: InterfaceKind
  /// "factory_reset".
  public var step: String
  public var arguments: JSONObject

  /// The step of any interface that waits for somebody's word; it does nothing to the machine. Source: Ironic, "Steps",
  /// reserved functional steps.
  public static let hold = "hold"
  /// How often one cleaning may wait.
  public static let mostHolds = 4
  public var isHold: Bool { step == Self.hold }

  public init(_ interface: InterfaceKind, _ step: String, arguments: JSONObject = [:]) {
    self.interface = interface
    self.step = step
    self.arguments = arguments
  }

  /// Reads `{"interface", "step", "args"?}`; nil for anything else. Priorities and orders have no meaning in a manual cleaning
  /// and are let pass.
  public init?(_ json: JSON) {
    guard let interface = json["interface"]?.string.flatMap({ InterfaceKind(rawValue: $0) }),
      let step = json["step"]?.string, let object = json.object,
      object.keys.allSatisfy({ ["interface", "step", "args", "priority", "order"].contains($0) })
    else { return nil }
    var arguments: JSONObject = [:]
    if let given = json["args"], !given.isNull {
      guard let given = given.object else { return nil }
      arguments = given
    }
    self.init(interface, step, arguments: arguments)
  }

  public var json: JSON {
    ["interface": .string(interface.rawValue), "step": .string(step), "args": .object(arguments)]
  }
}
