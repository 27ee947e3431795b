import Domain
import Store

/// What one NIC, or a bond of several, is attached to: a network port, and those that its trunk has tagged beside it.
struct Attachment: Sendable {
  struct Item: Sendable {
    var port: NetworkPort
    var network: Network
    var isTagged: Bool
    /// What carries the network on the NIC's physical network; nil where it is not carried there.
    var vlan: Int?
    /// What may pass; nil for a port without port security.
    var accessList: AccessList?
    /// Neither the port nor its network is administratively down.
    var isUp: Bool { port.isAdminStateUp && network.isAdminStateUp }

    fileprivate init(
      _ port: NetworkPort, isTagged: Bool, on physicalNetwork: String?, in session: any Session
    ) throws {
      guard let network = try NetworkStore.get(port.networkID, in: session) else {
        throw ConductorError(.notFound, "Network \(port.networkID) could not be found.")
      }
      let segments = try NetworkSegmentStore.list(network: network.id, in: session)
      self.port = port
      self.network = network
      self.isTagged = isTagged
      accessList = try SecurityGroupStore.accessList(of: port, in: session)
      vlan = network.vlan(on: physicalNetwork, segments: segments)
    }
  }
  let parent: Item
  let tagged: [Item]
  var all: [Item] { [parent] + tagged }

  /// - Returns: nil for a NIC without a network port.
  init?(_ nic: Port, in session: any Session) throws {
    guard let vif = nic.carriedVIF else { return nil }
    try self.init(vif, on: nic.physicalNetwork, in: session)
  }
  /// - Parameter physicalNetwork: where the NIC is wired to; nil where the administrator named none.
  init?(_ networkPort: String, on physicalNetwork: String?, in session: any Session) throws {
    guard let port = try NetworkPortStore.get(networkPort, in: session) else { return nil }
    parent = try Item(port, isTagged: false, on: physicalNetwork, in: session)
    let ids = port.trunk?.subports.map { $0.subport.portID } ?? []
    let ports = try ids.isEmpty ? [:] : NetworkPortStore.byID(ids, in: session)
    tagged = try ids.compactMap { ports[$0] }.map {
      try Item($0, isTagged: true, on: physicalNetwork, in: session)
    }
  }

  /// What the NIC's switch port should carry. A parent that is down takes its tagged networks with it, and so does one whose
  /// network is not carried there: the same number would be somebody else's.
  var configuration: PortConfiguration {
    guard parent.isUp, let native = parent.vlan else { return .quarantine }
    let carried = tagged.filter(\.isUp)
    var lists: [Int: AccessList] = [:]
    for item in [parent] + carried { if let vlan = item.vlan { lists[vlan] = item.accessList } }
    return PortConfiguration(native: native, tagged: carried.compactMap(\.vlan), accessLists: lists)
  }
  /// Why no switch can carry it, as a sentence.
  var problem: String? {
    for item in all where item.vlan == nil {
      return
        "Network \(item.network.id) is on physical network \(item.network.physicalNetwork), and not on the one that the machine's port is wired to: "
        + "choose another port, or have the administrator add a segment there (`openstack network segment create`)."
    }
    let subports = parent.port.trunk?.subports.map(\.subport) ?? []
    let vlans = Dictionary(tagged.map { ($0.port.id, $0.vlan) }) { first, _ in first }
    return Trunk.problem(
      native: parent.vlan ?? 0,
      tagged: subports.compactMap { subport in (vlans[subport.portID] ?? nil).map { (subport, $0) } })
  }
}
