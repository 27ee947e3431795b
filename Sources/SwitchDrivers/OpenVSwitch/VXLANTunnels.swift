import Domain
import DriverInterfaces
import Wire

/// How a switch reaches those of other sites: a VXLAN tunnel endpoint (RFC 7348).
public struct TunnelEndpoint: Sendable, Equatable {
  /// Its own address on the network between the sites. With OVS's userspace datapath it lies on an internal port of OVS.
  public var address: String
  /// The addresses of the other sites' endpoints, each once.
  public var peers: [String]
  public init(address: String, peers: [String]) {
    self.address = address
    self.peers = peers
  }
}

/// VLANs joined with those of other sites: for each, one tunnel port to every peer, with the network's identifier as key.
///
/// A tunnel is an access port of the VLAN, and protected: what comes out of one goes into no other, so that a full mesh of
/// sites has no loop. Source: ovs-vswitchd.conf.db(5), "Interface TABLE", Tunnel Options; "Port TABLE", protected.
extension OpenVSwitch {
  private struct Tunnel {
    /// UUID of its row in `Port`.
    var id: String
    var vni: Int
    var vlan: Int?
    var peer: String
    var isRight: Bool
  }
  /// The key in `external_ids` under which a tunnel's VNI is kept.
  private static let vniKey = "steelyard-vni"

  private func tunnelPorts() async throws(DriverError) -> [Tunnel] {
    let selects: [JSON] = [
      ["op": "select", "table": "Bridge", "where": [["name", "==", .string(bridge)]], "columns": ["ports"]],
      [
        "op": "select", "table": "Port", "where": [],
        "columns": ["_uuid", "interfaces", "vlan_mode", "tag", "trunks", "protected", "external_ids"],
      ],
      [
        "op": "select", "table": "Interface", "where": [["type", "==", "vxlan"]],
        "columns": ["_uuid", "options"],
      ],
    ]
    let results = try await patiently { client, limit throws(OVSDBError) in
      try await client.transact(Self.database, selects, limit: limit)
    }
    guard results.count >= 3 else { return [] }
    let own = Set(OVSDBValue.ids(results[0]["rows"]?.array?.first?["ports"]))
    var found: [String: [String: String]] = [:]
    for row in results[2]["rows"]?.array ?? [] {
      if let id = OVSDBValue.id(row["_uuid"]) { found[id] = OVSDBValue.pairs(row["options"]) }
    }
    return (results[1]["rows"]?.array ?? []).compactMap { row -> Tunnel? in
      guard let id = OVSDBValue.id(row["_uuid"]), own.contains(id),
        let vni = OVSDBValue.pairs(row["external_ids"])[Self.vniKey].flatMap({ Int($0) }),
        let interface = OVSDBValue.ids(row["interfaces"]).first, let option = found[interface]
      else { return nil }
      let settings = PortSettings(row: row)
      let wanted = PortSettings(mode: .access, tag: settings.tag, trunks: [], protected: true)
      let peer = option["remote_ip"] ?? ""
      return Tunnel(
        id: id, vni: vni, vlan: settings.tag, peer: peer,
        isRight: settings == wanted && option == options(of: vni, to: peer))
    }
  }
  private func options(of vni: Int, to peer: String) -> [String: String] {
    ["remote_ip": peer, "key": "\(vni)", "local_ip": tunnels?.address ?? ""]
  }

  public func boundVNIs() async throws -> [Int: Int] {
    guard let tunnels else { return [:] }
    var bound: [Int: Int] = [:]
    for (vni, ports) in Dictionary(grouping: try await tunnelPorts(), by: \.vni) {
      let isWhole =
        ports.allSatisfy(\.isRight) && ports.map(\.peer).sorted() == tunnels.peers.sorted()
        && Set(ports.map(\.vlan)).count == 1
      // What is not whole is bound to no network's VLAN, so that it is made anew.
      bound[isWhole ? ports.first?.vlan ?? -vni : -vni] = vni
    }
    return bound
  }

  public func bindVNI(_ vni: Int, vlan: Int) async throws {
    guard let tunnels else {
      throw DriverError(.unsupported, device: .networkSwitch(name), detail: "it has no `vtep` in the configuration")
    }
    guard (1...4094).contains(vlan), NetworkSegment.vnis.contains(vni) else {
      throw DriverError(.refused, device: .networkSwitch(name), detail: "VLAN \(vlan) or VNI \(vni) is out of range")
    }
    var operations = removal(of: try await tunnelPorts().filter { $0.vni == vni || $0.vlan == vlan })
    var added: [JSON] = []
    for (index, peer) in tunnels.peers.enumerated() {
      let (port, interface) = ("port\(index)", "interface\(index)")
      // 15 bytes at most: six hexadecimal digits of the identifier, and the peer's place.
      let name = "vx\(String(vni, radix: 16))-\(index)"
      operations.append([
        "op": "insert", "table": "Interface", "uuid-name": .string(interface),
        "row": ["name": .string(name), "type": "vxlan", "options": OVSDBValue.map(options(of: vni, to: peer))],
      ])
      var row = PortSettings(mode: .access, tag: vlan, trunks: [], protected: true).row
      row["name"] = .string(name)
      row["interfaces"] = ["named-uuid", .string(interface)]
      row["external_ids"] = OVSDBValue.map([Self.vniKey: "\(vni)"])
      operations.append(["op": "insert", "table": "Port", "uuid-name": .string(port), "row": .object(row)])
      added.append(["named-uuid", .string(port)])
    }
    operations.append(bridgePorts("insert", added))
    try await waitUntilTaken(try await commit(operations), leavesFlows: false)
    guard try await boundVNIs()[vlan] == vni else {
      throw DriverError(
        .notInForce, device: .networkSwitch(name), detail: "VNI \(vni) is not bound to VLAN \(vlan) after the change")
    }
  }

  public func unbindVNI(_ vni: Int) async throws {
    let ours = try await tunnelPorts().filter { $0.vni == vni }
    if ours.isEmpty { return }
    try await waitUntilTaken(try await commit(removal(of: ours)), leavesFlows: true)
    guard try await !tunnelPorts().contains(where: { $0.vni == vni }) else {
      throw DriverError(.notInForce, device: .networkSwitch(name), detail: "VNI \(vni) is still bound")
    }
  }

  /// Rows of `Port` and `Interface` go when no bridge names them.
  private func removal(of tunnels: [Tunnel]) -> [JSON] {
    tunnels.isEmpty ? [] : [bridgePorts("delete", tunnels.map { OVSDBValue.uuid($0.id) })]
  }
  private func bridgePorts(_ mutator: JSON, _ ports: [JSON]) -> JSON {
    [
      "op": "mutate", "table": "Bridge", "where": [["name", "==", .string(bridge)]],
      "mutations": [["ports", mutator, OVSDBValue.set(ports)]],
    ]
  }
}
