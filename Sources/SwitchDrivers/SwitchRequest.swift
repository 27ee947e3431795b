import DriverInterfaces
import Domain

/// One caller's wish for some ports of one switch, whole.
public struct SwitchRequest: Sendable, Equatable {
  public var ports: [String: PortConfiguration]
  /// The effect key to keep with these ports; nil removes what is there.
  public var label: String?
  public init(ports: [String: PortConfiguration], label: String?) {
    self.ports = ports
    self.label = label
  }
}

/// A switch driver that takes several callers' requests in one visit.
///
/// A driver implements this; ``SwitchQueue`` decides what goes into a visit.
public protocol BatchingSwitch: SwitchInterface {
  /// Brings all the ports to the wanted state in one visit and reads them back.
  ///
  /// A request is done whole or, when the switch cannot take some of it, not at all; one that is wrong (an unknown
  /// port) does not touch the others. No port is in two requests.
  /// - Returns: one result per request, in their order.
  func apply(_ requests: [SwitchRequest]) async -> [Result<Void, DriverError>]
}

extension BatchingSwitch {
  public func apply(_ ports: [String: PortConfiguration], label: String?) async throws {
    try await apply([SwitchRequest(ports: ports, label: label)]).first?.get()
  }
}

extension PortConfiguration {
  /// Why no switch can carry this, as a sentence; nil when it can.
  var problem: String? {
    guard let native else { return tagged.isEmpty ? nil : "tagged VLANs need a native VLAN beside them" }
    for vlan in [native] + tagged where !(1...4094).contains(vlan) { return "VLAN \(vlan) is not between 1 and 4094" }
    if tagged.contains(native) { return "VLAN \(native) is both native and tagged" }
    if Set(tagged).count != tagged.count { return "a tagged VLAN is listed twice" }
    return nil
  }
  /// For errors: "VLAN 101 (tagged 102, 103)" or "quarantine".
  var summary: String {
    guard let native else { return tagged.isEmpty ? "quarantine" : "tagged \(Self.ranges(tagged)) alone" }
    let first = native == 0 ? "no access VLAN" : "VLAN \(native)"
    return tagged.isEmpty ? first : "\(first) (tagged \(Self.ranges(tagged)))"
  }
  private static func ranges(_ vlans: [Int]) -> String {
    var parts: [ClosedRange<Int>] = []
    for vlan in vlans {
      if let last = parts.last, last.upperBound + 1 == vlan {
        parts[parts.count - 1] = last.lowerBound...vlan
      } else {
        parts.append(vlan...vlan)
      }
    }
    let text = parts.prefix(8).map { $0.count == 1 ? "\($0.lowerBound)" : "\($0.lowerBound)-\($0.upperBound)" }
    return text.joined(separator: ", ") + (parts.count > 8 ? ", …" : "")
  }
}
