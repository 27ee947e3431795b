import DriverInterfaces
import Logging

/// One switch as the administrator's configuration describes it.
public struct SwitchConfiguration: Sendable, Equatable {
  /// What ports' `local_link_connection` calls it (`switch_info`).
  public var name: String
  /// "openvswitch" is the only kind yet.
  public var kind: String
  /// Where its database listens: "unix:/run/openvswitch/db.sock" or "tcp:10.0.0.2:6640".
  public var endpoint: String
  public var bridge: String
  /// Ports of the bridge that lead to other switches; never touched and never a machine's.
  public var uplinks: [String]
  /// Path of ovs-vswitchd's control socket, or of OVS's run folder, when it runs on this machine; gives the MAC table.
  public var control: String?
  /// The set of switches on which a VLAN means one thing; nil for the site's first.
  public var physicalNetwork: String?
  /// How it reaches the switches of other sites; nil where it does not.
  public var tunnels: TunnelEndpoint?

  public init(
    name: String, kind: String = "openvswitch", endpoint: String, bridge: String, uplinks: [String] = [],
    control: String? = nil, physicalNetwork: String? = nil, tunnels: TunnelEndpoint? = nil
  ) {
    self.physicalNetwork = physicalNetwork
    self.tunnels = tunnels
    self.name = name
    self.kind = kind
    self.endpoint = endpoint
    self.bridge = bridge
    self.uplinks = uplinks
    self.control = control
  }
}

/// The switches of the site, each behind its queue.
public struct Switches: SwitchRegistry {
  private let queues: [String: SwitchQueue]
  private let order: [String]

  /// Makes the drivers; connects to nothing yet.
  /// - Throws: ``DriverError`` `.misconfigured` for a name used twice, an unknown kind or an endpoint that is none.
  public init(_ configurations: [SwitchConfiguration], logger: Logger) throws(DriverError) {
    var queues: [String: SwitchQueue] = [:]
    for configuration in configurations {
      func wrong(_ detail: String) -> DriverError {
        DriverError(.misconfigured, device: .networkSwitch(configuration.name), detail: detail)
      }
      guard queues[configuration.name] == nil else { throw wrong("two switches have this name") }
      guard !configuration.name.isEmpty else { throw wrong("a switch needs a name") }
      switch configuration.kind {
      case "openvswitch":
        guard let endpoint = OVSDBEndpoint(configuration.endpoint) else {
          throw wrong("endpoint \"\(configuration.endpoint)\" is neither unix:/PATH nor tcp:HOST:PORT")
        }
        guard !configuration.bridge.isEmpty else { throw wrong("it needs a bridge") }
        queues[configuration.name] = SwitchQueue(
          OpenVSwitch(
            name: configuration.name, endpoint: endpoint, bridge: configuration.bridge,
            uplinks: Set(configuration.uplinks), control: configuration.control,
            physicalNetwork: configuration.physicalNetwork, tunnels: configuration.tunnels, logger: logger))
      default: throw wrong("unknown kind \"\(configuration.kind)\"; known: openvswitch")
      }
    }
    self.queues = queues
    order = configurations.map(\.name)
  }

  public func switchNamed(_ name: String) throws -> any SwitchInterface {
    if let queue = queues[name] { return queue }
    let names = order.prefix(8).joined(separator: ", ")
    throw DriverError(
      .misconfigured, device: .networkSwitch(name),
      detail: "no switch of this name is configured; there \(order.isEmpty ? "is none" : "are: \(names)")")
  }
  public var all: [any SwitchInterface] { order.compactMap { queues[$0] } }
}
