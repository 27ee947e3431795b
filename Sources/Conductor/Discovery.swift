import Cryptography
import Domain
import Store
import Synchronization
import Wire
import Workflows

/// How machines that nobody has enrolled become nodes.
public struct DiscoverySettings: Sendable {
  /// The hardware type that a discovered node begins with; the administrator may change it.
  public var driver = "ipmi"
  /// Discovered nodes that wait in `enroll` for an administrator; no more are made until he has looked.
  public var mostWaiting = 50
  /// NICs of a machine that is taken for one.
  public static let mostInterfaces = 32
  public init() {}
}

/// Boot tokens for NICs that are nobody's. They are few, last for minutes and live in memory: whoever asks for millions of
/// them, or boots and never claims, costs the database nothing.
final class DiscoveryOffers: Sendable {
  static let most = 64
  static let lifetime: Duration = .seconds(600)
  private struct Offer {
    var token: String
    var at: Timestamp
  }
  private let offers = Mutex<[MACAddress: Offer]>([:])

  var isFull: Bool { offers.withLock { $0.count >= Self.most } }
  /// The token of a NIC, the same when it asks again; nil while there are too many.
  func token(for mac: MACAddress, at now: Timestamp) -> String? {
    offers.withLock { offers in
      if let known = offers[mac], now - known.at < Self.lifetime { return known.token }
      offers = offers.filter { now - $0.value.at < Self.lifetime }
      guard offers.count < Self.most else { return nil }
      let token = Base64.urlText(randomBytes(32))
      offers[mac] = Offer(token: token, at: now)
      return token
    }
  }
  func has(_ token: String, for mac: MACAddress, at now: Timestamp) -> Bool {
    offers.withLock { offers in offers[mac].map { $0.token == token && now - $0.at < Self.lifetime } ?? false }
  }
  func remove(_ mac: MACAddress) { offers.withLock { $0[mac] = nil } }
}

/// An unknown machine that boots on the provisioning network: it runs the agent once, is a node in `enroll` with its
/// inventory, wiring and controller's address, and is switched off. An administrator does the rest.
extension Conductor {
  /// The boot token of a NIC that is no node's port; nil when discovery is off, the NIC is known, or too many wait.
  public func discoveryOffer(mac: MACAddress) async throws -> String? {
    guard let discovery = settings.discovery else { return nil }
    let mayBeNew = try await database.read { session in
      try PortStore.byAddress(mac.description, in: session) == nil
        && NodeStore.discoveredWaiting(in: session) < discovery.mostWaiting
    }
    return mayBeNew ? offers.token(for: mac, at: clock()) : nil
  }

  /// The first call of an unknown machine's agent, which has made it a node when this returns.
  /// - Parameter inventory: checked (``AgentAPI``); without LLDP, which comes later.
  /// - Returns: nil when the token was not offered to this NIC, too many wait, or the machine is known by another NIC.
  public func discoveryClaim(token: String, mac: MACAddress, secret: String, inventory: JSON) async throws -> (
    node: String, session: String
  )? {
    let now = clock()
    guard let discovery = settings.discovery, offers.has(token, for: mac, at: now) else { return nil }
    var node: String?
    do {
      node = try await database.write { [self] session -> String? in
        guard try NodeStore.discoveredWaiting(in: session) < discovery.mostWaiting else { return nil }
        return try enrolDiscovered(
          mac, token: token, secret: secret, inventory: inventory, driver: discovery.driver, in: session)
      }
    } catch let error as StoreError where error.kind == .conflict {
      // Another machine has made up the same secret, which no machine of ours does.
    }
    offers.remove(mac)
    guard let node else { return nil }
    logger.notice("discovered a machine", metadata: ["mac": "\(mac)", "node": "\(node)"])
    return (node, secret)
  }

  /// Makes the node, its ports, its workflow and its agent's session.
  /// - Returns: its UUID; nil when one of its NICs is another node's, or it has more than a machine has.
  public func enrolDiscovered(
    _ mac: MACAddress, token: String, secret: String, inventory: JSON, driver: String, uuid: String = Identifier.uuid(),
    in session: any Session
  ) throws -> String? {
    let now = clock()
    let others = (inventory["interfaces"]?.array ?? []).compactMap { $0["mac"]?.string.flatMap { MACAddress($0) } }
    guard others.count <= DiscoverySettings.mostInterfaces else { return nil }
    for other in Set(others + [mac]) where try PortStore.byAddress(other.description, in: session) != nil { return nil }
    var node = Node(uuid: uuid, driver: driver, createdAt: now)
    node.description = "Discovered on the provisioning network: set driver_info and manage it, or delete it."
    node.driverInternalInfo["discovered"] = ["at": .string(now.iso8601Zulu), "mac": .string(mac.description)]
    if let address = Self.controllerAddress(inventory) {
      switch driver {
      case "ipmi": node.driverInfo["ipmi_address"] = .string(address)
      case "redfish":
        node.driverInfo["redfish_address"] = .string("https://\(address.contains(":") ? "[\(address)]" : address)")
      default: break
      }
    }
    let workflow = Identifier.uuid()
    node.reservation = workflow
    try NodeStore.insert(node, secrets: secretNames(driver: driver), box: database.secrets, in: session)
    try parts.recordInventory(inventory, of: uuid, at: now, in: session)
    if try PortStore.byAddress(mac.description, in: session) == nil {
      try PortStore.insert(
        Port(uuid: Identifier.uuid(), nodeUUID: uuid, address: mac.description, createdAt: now), in: session)
    }
    _ = try start("discover-node", id: workflow, subject: uuid, params: [:], by: .system, in: session)
    try AgentStore.admit(node: uuid, workflow: workflow, token: token, at: now, in: session)
    _ = try AgentStore.claim(token: token, mac: mac.description, secret: secret, at: now, in: session)
    try NodeStore.addEvent(
      "Discovered by its NIC \(mac).", type: "discovery", of: uuid, at: now, in: session)
    return uuid
  }

  /// Where a machine says that its controller answers: IPv4 first, as most controllers do.
  private static func controllerAddress(_ inventory: JSON) -> String? {
    ["bmc_address", "bmc_v6address"].lazy.compactMap { inventory[$0]?.string }.first { IPAddress($0) != nil }
  }
}
