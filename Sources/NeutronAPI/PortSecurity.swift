import APISupport
import Domain
import Store
import Wire

/// Port security, security groups and allowed address pairs of a port. Source: Neutron API reference, "Ports"; the rules of what
/// goes with what: Neutron, `plugins/ml2/plugin.py`, `_portsec_ext_port_create_processing` and `…_update_processing`.
struct PortSecurity {
  let neutron: NeutronAPI
  let body: AttributeReader
  let actor: Actor
  let network: Network
  /// For messages: "create_port".
  let rule: String

  /// Sets what a new port has.
  func start(_ port: inout NetworkPort, at now: Timestamp, in session: any Session) throws {
    // The site's own (DHCP, routers) are trusted, as upstream.
    port.isPortSecurityEnabled = network.isPortSecurityEnabled && !port.deviceOwner.hasPrefix("network:")
    let before = port
    try apply(to: &port, in: session)
    if port.isPortSecurityEnabled, !body.has("security_groups") {
      port.securityGroupIDs = [try neutron.defaultGroup(project: port.projectID, at: now, in: session)]
    }
    try check(port, before: before)
  }
  /// Changes what a port has that is there.
  func change(_ port: inout NetworkPort, in session: any Session) throws {
    let before = port
    try apply(to: &port, in: session)
    try check(port, before: before)
  }

  private func apply(to port: inout NetworkPort, in session: any Session) throws {
    if let flag = try body.bool("port_security_enabled"), flag != port.isPortSecurityEnabled {
      try requireOwner("port_security_enabled")
      port.isPortSecurityEnabled = flag
    }
    if body.has("security_groups") { port.securityGroupIDs = try groups(for: port, in: session) }
    if body.has("allowed_address_pairs") {
      let pairs = try pairs()
      if pairs != port.addressPairs, !pairs.isEmpty { try requireOwner("allowed_address_pairs") }
      port.addressPairs = pairs
    }
  }

  /// Without port security there is nothing that groups and pairs could do.
  private func check(_ port: NetworkPort, before: NetworkPort) throws {
    if port.isPortSecurityEnabled { return }
    guard port.addressPairs.isEmpty else {
      throw APIError.conflict(
        "Port Security must be enabled in order to have allowed address pairs on a port.",
        type: "AddressPairAndPortSecurityRequired")
    }
    guard port.securityGroupIDs.isEmpty else {
      if !body.has("security_groups"), !before.securityGroupIDs.isEmpty {
        throw APIError.conflict(
          "Port has security group associated. Cannot disable port security or IP address until security group is removed.",
          type: "PortSecurityPortHasSecurityGroup")
      }
      throw APIError.refused(
        "Port security must be enabled and port must have an IP address in order to use security groups.",
        type: "PortSecurityAndIPRequiredForSecurityGroups")
    }
  }

  private func requireOwner(_ attribute: String) throws {
    guard NetworkPolicy.mayChooseAddresses(on: network, actor) else {
      throw APIError.disallowed("\(rule):\(attribute)", "only the owner of the network decides it.")
    }
  }

  private func groups(for port: NetworkPort, in session: any Session) throws -> [String] {
    let asked = try body.strings("security_groups") ?? []
    guard Set(asked).count == asked.count else {
      throw APIError.badRequest("Invalid input for security_groups. Reason: Duplicate items in the list: '\(asked)'.")
    }
    let found = try SecurityGroupStore.list(ids: asked, in: session).filter { group in
      group.projectID == port.projectID || group.sharing.reaches(port.projectID) || actor.isSiteAdmin
    }
    let missing = Set(asked).subtracting(found.map(\.id))
    guard missing.isEmpty else { throw APIError.securityGroupNotFound(missing.sorted().joined(separator: ", ")) }
    guard Set(found.map(\.isStateful)).count <= 1 else {
      throw APIError.conflict(
        "Error Cannot apply both stateful and stateless security groups on the same port at the same time while attempting "
          + "the operation.", type: "SecurityGroupConflict")
    }
    return asked.sorted()
  }

  /// As upstream's `max_allowed_address_pair`.
  private static let mostPairs = 10

  private func pairs() throws -> [AddressPair] {
    var pairs: [AddressPair] = []
    for item in try body.objects("allowed_address_pairs", most: 10_000) ?? [] {
      if let name = item.keys.first(where: { !["ip_address", "mac_address", "active"].contains($0) }) {
        throw APIError.refused("Invalid input for allowed_address_pairs. Reason: Unrecognized attribute(s) '\(name)'.")
      }
      guard let text = item["ip_address"]?.string else {
        throw APIError.refused("AllowedAddressPair must contain ip_address", type: "AllowedAddressPairsMissingIP")
      }
      let written = item["mac_address"].flatMap { $0.isNull ? nil : $0.string ?? $0.description }
      let mac = written.flatMap { MACAddress($0) }
      guard written == nil || mac != nil else {
        throw APIError.invalid("'\(written ?? "")' is not a valid MAC address.")
      }
      guard let pair = AddressPair(text, mac: mac) else {
        throw APIError.invalid("'\(text)' is not a valid IP address or subnet.")
      }
      guard !pairs.contains(pair) else {
        throw APIError.refused(
          "Request contains duplicate address pair: mac_address \(written ?? "None") ip_address \(text).",
          type: "DuplicateAddressPairInRequest")
      }
      pairs.append(pair)
    }
    guard pairs.count <= Self.mostPairs else {
      throw APIError.refused(
        "The number of allowed address pair exceeds the maximum \(Self.mostPairs).", type: "AllowedAddressPairExhausted"
      )
    }
    return pairs
  }
}

extension NetworkPort {
  /// Whether what the switch lets pass is another one after this change.
  func isFilteredOtherwise(than before: NetworkPort) -> Bool {
    guard isPortSecurityEnabled || before.isPortSecurityEnabled else { return false }
    return isPortSecurityEnabled != before.isPortSecurityEnabled || securityGroupIDs != before.securityGroupIDs
      || addressPairs != before.addressPairs || fixedIPs != before.fixedIPs || macAddress != before.macAddress
  }
  /// The groups whose members' addresses change with this change.
  func groupsWithOtherMembers(than before: NetworkPort?) -> Set<String> {
    guard let before else { return Set(securityGroupIDs) }
    let isElsewhere = fixedIPs != before.fixedIPs || addressPairs != before.addressPairs
    let (old, new) = (Set(before.securityGroupIDs), Set(securityGroupIDs))
    return isElsewhere ? old.union(new) : old.symmetricDifference(new)
  }
}
