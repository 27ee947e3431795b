/// A lamp on a machine. Source: Ironic API reference v1, "Node Management", indicators.
public struct Indicator: Sendable, Equatable {
  /// Which part of the machine it is on.
  public enum Component: String, Sendable, CaseIterable { case system, chassis, disk, power, nic }
  public enum State: String, Sendable, CaseIterable {
    case on = "ON"
    case off = "OFF"
    case blinking = "BLINKING"
    /// The controller does not tell; nothing that can be asked for.
    case unknown = "UNKNOWN"
  }
  public struct Name: Sendable, Hashable {
    public var component: Component
    /// Unique on the component.
    public var name: String
    public init(_ component: Component, _ name: String) {
      self.component = component
      self.name = name
    }
    /// As the API calls it: "led@system".
    public var unique: String { "\(name)@\(component.rawValue)" }
  }
  public var name: Name
  public var isReadOnly: Bool
  /// The states that it can be in.
  public var states: [State]
  public init(_ name: Name, isReadOnly: Bool = false, states: [State]) {
    self.name = name
    self.isReadOnly = isReadOnly
    self.states = states
  }
}
