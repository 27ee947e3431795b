import APISupport
import Domain
import NIOCore
import Store
import Wire

/// A list of ports written straight from the database's rows: a fifth of the time that whole ``NetworkPort``s take.
///
/// It has the attributes of ``PortRoutes/view``; a test compares both. An attribute that is in no column here leaves the list to the view.
struct PortRows: Sendable {
  /// How an attribute is written. Nothing here is counted: a closure for each attribute of each port would be a tenth of the time.
  private enum Part {
    case text(Column), bool(Column), int(Column), time(Column), json(Column)
    case constant(StaticString)
    case vifType, fixedIPs, tags, trunk, securityGroups, addressPairs
  }
  /// So many ports are read and written at a time; of a longer list the client gets the beginning while the rest is read.
  private static let most = 2000

  private let parts: [(name: StaticString, part: Part)]
  private let narrow: @Sendable (inout Query) -> Void

  /// Nil when the list has an attribute that is not written from rows.
  init?(_ attributes: [Attribute<NetworkPort>], narrow: @escaping @Sendable (inout Query) -> Void) {
    var parts: [(StaticString, Part)] = []
    for attribute in attributes {
      if case .constant(let json) = attribute.value {
        parts.append((attribute.name, .constant(json)))
      } else if let part = Self.parts["\(attribute.name)"] {
        parts.append((attribute.name, part))
      } else {
        return nil
      }
    }
    (self.parts, self.narrow) = (parts, narrow)
  }

  private static let parts: [String: Part] = [
    "id": .text(.id), "name": .text(.name), "description": .text(.description), "tenant_id": .text(.projectID),
    "project_id": .text(.projectID), "network_id": .text(.networkID), "status": .text(.status),
    "mac_address": .text(.macAddress), "device_id": .text(.deviceID), "device_owner": .text(.deviceOwner),
    "binding:host_id": .text(.hostID), "binding:vnic_type": .text(.vnicType), "dns_name": .text(.dnsName),
    "admin_state_up": .bool(.isAdminStateUp), "port_security_enabled": .bool(.isPortSecurityEnabled),
    "binding:profile": .json(.profile), "binding:vif_type": .vifType, "revision_number": .int(.revision),
    "created_at": .time(.createdAt), "updated_at": .time(.updatedAt), "fixed_ips": .fixedIPs, "tags": .tags,
    "trunk_details": .trunk, "security_groups": .securityGroups, "allowed_address_pairs": .addressPairs,
  ]
  private typealias Column = NetworkPortStore.Column

  /// `{"ports": […]}`
  func answer(_ database: Database) async throws -> APIResponse {
    let (first, extras) = try await database.read { session in
      let extras = try NetworkPortStore.extras(in: session, narrow)
      return (try text(after: nil, extras, in: session), extras)
    }
    guard let end = first.end else { return APIResponse(.ok, json: first.text) }
    return APIResponse(.ok, contentType: "application/json", length: nil) { writer in
      try await writer.write(first.text)
      var next: NetworkPortStore.End? = end
      while let end = next {
        let part = try await database.read { session in try text(after: end, extras, in: session) }
        try await writer.write(part.text)
        next = part.end
      }
    }
  }

  private func text(
    after end: NetworkPortStore.End?, _ extras: NetworkPortStore.Extras, in session: any Session
  ) throws -> (text: ByteBuffer, end: NetworkPortStore.End?) {
    var writer = JSONWriter(capacity: 256 << 10, isContinued: end != nil)
    if end == nil {
      writer.beginObject()
      writer.key("ports")
      writer.beginArray()
    }
    let next = try NetworkPortStore.rows(in: session, after: end, most: Self.most, narrow) {
      write($0, extras, &writer)
    }
    if next == nil {
      writer.endArray()
      writer.endObject()
    }
    return (ByteBuffer(writer), next)
  }

  private func write(
    _ row: borrowing Row, _ extras: NetworkPortStore.Extras, _ writer: inout JSONWriter
  ) {
    writer.beginObject()
    for (name, part) in parts {
      writer.key(name)
      switch part {
      case .text(let column): row.withText(column.rawValue) { writer.text($0) }
      case .bool(let column): writer.value(row.bool(column.rawValue))
      case .int(let column): writer.value(row.int(column.rawValue))
      case .time(let column): writer.value(zulu: row.time(column.rawValue))
      case .json(let column): row.withText(column.rawValue) { writer.raw($0) }
      case .constant(let json): writer.constant(json)
      case .vifType:
        let isUnbound = row.withText(Column.hostID.rawValue) { $0.isEmpty }
        writer.constant(isUnbound ? "\"unbound\"" : "\"other\"")
      case .fixedIPs: addresses(of: row, extras, &writer)
      case .tags: Self.write(extras.tags, of: row, &writer)
      case .securityGroups: Self.write(extras.securityGroups, of: row, &writer)
      case .addressPairs:
        let pairs = NetworkPortStore.addressPairs(in: row)
        if pairs.isEmpty {
          writer.constant("[]")
        } else {
          writer.value(PortRoutes.json(pairs, of: row.text(Column.macAddress.rawValue)))
        }
      case .trunk:
        let trunk = extras.trunks.isEmpty ? nil : extras.trunks[row.text(Column.id.rawValue)]
        if let trunk { writer.value(TrunkRoutes.details(trunk)) } else { writer.null() }
      }
    }
    writer.endObject()
  }
  private static func write(_ extras: [String: [String]], of row: borrowing Row, _ writer: inout JSONWriter) {
    writer.beginArray()
    if !extras.isEmpty {
      for text in extras[row.text(Column.id.rawValue)] ?? [] { writer.value(text) }
    }
    writer.endArray()
  }

  private func addresses(of row: borrowing Row, _ extras: NetworkPortStore.Extras, _ writer: inout JSONWriter) {
    writer.beginArray()
    if !row.isNull(Column.subnetID.rawValue),
      let address = row.withText(
        Column.addressKey.rawValue, { IPAddress(version: row.int(Column.version.rawValue), key: $0) })
    {
      writer.beginObject()
      writer.key("subnet_id")
      row.withText(Column.subnetID.rawValue) { writer.text($0) }
      writer.member("ip_address", address.description)
      writer.endObject()
    }
    if !extras.addresses.isEmpty {
      for fixed in extras.addresses[row.text(Column.id.rawValue)] ?? [] {
        writer.beginObject()
        writer.member("subnet_id", fixed.subnetID)
        writer.member("ip_address", fixed.address.description)
        writer.endObject()
      }
    }
    writer.endArray()
  }
}
