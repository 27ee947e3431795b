import DriverInterfaces
import Logging

/// The switches of the site, each behind its queue.
public struct Switches: SwitchRegistry {
  /// Checks a configuration and makes its driver.
  typealias Factory = @Sendable (SwitchConfiguration, Logger) throws(DriverError) -> any BatchingSwitch

  /// A new kind is one line here.
  private static let factories: [(kind: String, make: Factory)] =
    [
      ("openvswitch", OpenVSwitch.make),
      ("arista-eapi", https(AristaEAPI.init)),
      ("cumulus-nvue", https(CumulusNVUE.init)),
      ("restconf-openconfig", https(OpenConfigRESTCONF.init)),
      ("netconf-openconfig", netconf(OpenConfigNETCONF.init)),
      commandLine(.aristaEOS),
      commandLine(.arubaAOSCX),
      commandLine(.brocadeFastIron),
      commandLine(.brocadeNOS),
      commandLine(.ciscoIOS),
      commandLine(.ciscoNXOS),
      commandLine(.ciscoS300),
      commandLine(.dellOS10),
      commandLine(.dellOS9),
      commandLine(.dellPowerConnect),
      commandLine(.dellSONiC),
      commandLine(.hpeComware),
      commandLine(.huaweiVRP),
      commandLine(.huaweiVRPV8),
      commandLine(.juniperJunos),
      commandLine(.linuxFRR),
      commandLine(.mellanoxMLNXOS),
      commandLine(.ruijie),
      commandLine(.sonic),
      commandLine(.supermicroSMIS),
    ]

  /// What `kind` may be.
  public static var kinds: [String] { factories.map(\.kind) }

  private let queues: [String: SwitchQueue]
  private let order: [String]

  /// Makes the drivers; connects to nothing yet.
  /// - Throws: ``DriverError`` `.misconfigured` for a name used twice, an unknown kind, or an endpoint or credentials that
  ///   are none.
  public init(_ configurations: [SwitchConfiguration], logger: Logger) throws(DriverError) {
    var queues: [String: SwitchQueue] = [:]
    for configuration in configurations {
      guard queues[configuration.name] == nil else { throw configuration.wrong("two switches have this name") }
      guard !configuration.name.isEmpty else { throw configuration.wrong("a switch needs a name") }
      guard let factory = Self.factories.first(where: { $0.kind == configuration.kind }) else {
        throw configuration.wrong(
          "unknown kind \"\(configuration.kind)\"; known: \(Self.kinds.joined(separator: ", "))")
      }
      queues[configuration.name] = SwitchQueue(
        try factory.make(configuration, logger), physicalNetwork: configuration.physicalNetwork)
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

extension OpenVSwitch {
  static func make(_ configuration: SwitchConfiguration, _ logger: Logger) throws(DriverError) -> any BatchingSwitch {
    guard let endpoint = OVSDBEndpoint(configuration.endpoint) else {
      throw configuration.wrong("endpoint \"\(configuration.endpoint)\" is neither unix:/PATH nor tcp:HOST:PORT")
    }
    guard !configuration.bridge.isEmpty else { throw configuration.wrong("it needs a bridge") }
    return OpenVSwitch(
      name: configuration.name, endpoint: endpoint, bridge: configuration.bridge,
      uplinks: Set(configuration.uplinks), control: configuration.control, tunnels: configuration.tunnels,
      logger: logger)
  }
}
