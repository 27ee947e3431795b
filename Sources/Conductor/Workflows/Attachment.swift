import Domain
import Store

/// What one NIC is attached to: a network port, and those that its trunk has tagged beside it.
struct Attachment: Sendable {
  struct Item: Sendable {
    var port: NetworkPort
    var network: Network
    var isTagged: Bool
    var vlan: Int { network.vlan }
    /// Neither the port nor its network is administratively down.
    var isUp: Bool { port.isAdminStateUp && network.isAdminStateUp }
  }
  let parent: Item
  let tagged: [Item]
  var all: [Item] { [parent] + tagged }

  /// - Returns: nil for a NIC without a network port.
  init?(_ nic: Port, in session: any Session) throws {
    guard let vif = nic.vifPortID else { return nil }
    try self.init(vif, in: session)
  }
  init?(_ networkPort: String, in session: any Session) throws {
    guard let port = try NetworkPortStore.get(networkPort, in: session),
      let network = try NetworkStore.get(port.networkID, in: session)
    else { return nil }
    parent = Item(port: port, network: network, isTagged: false)
    let ids = port.trunk?.subports.map { $0.subport.portID } ?? []
    let ports = try ids.isEmpty ? [:] : NetworkPortStore.byID(ids, in: session)
    tagged = try ids.compactMap { id in
      guard let port = ports[id], let network = try NetworkStore.get(port.networkID, in: session) else { return nil }
      return Item(port: port, network: network, isTagged: true)
    }
  }

  /// What the NIC's switch port should carry. A parent that is down takes its tagged networks with it.
  var configuration: PortConfiguration {
    parent.isUp
      ? PortConfiguration(native: parent.vlan, tagged: tagged.filter(\.isUp).map(\.vlan)) : .quarantine
  }
  /// Why no switch can carry it, as a sentence.
  var problem: String? {
    let subports = parent.port.trunk?.subports.map(\.subport) ?? []
    let vlans = Dictionary(tagged.map { ($0.port.id, $0.vlan) }) { first, _ in first }
    return Trunk.problem(
      native: parent.vlan, tagged: subports.compactMap { subport in vlans[subport.portID].map { (subport, $0) } })
  }
}
