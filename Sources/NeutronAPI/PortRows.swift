import APISupport
import Domain
import NIOCore
import Store
import Wire

/// A list of ports written straight from the database's rows: a fifth of the time that whole ``NetworkPort``s take.
///
/// It has the attributes of ``PortRoutes/view``; a test compares both. An attribute that is in no column here leaves the list to the view.
struct PortRows: Sendable {
  private typealias Writer = @Sendable (borrowing Row, inout JSONWriter) -> Void
  private enum Part: Sendable {
    case column(StaticString, Writer)
    case tags, trunk, securityGroups, addressPairs
  }
  /// So many ports are read and written at a time; of a longer list the client gets the beginning while the rest is read.
  private static let most = 2000

  private let parts: [Part]
  private let hasAddresses: Bool
  private let narrow: @Sendable (inout Query) -> Void

  /// Nil when the list has an attribute that is not written from rows.
  init?(_ attributes: [Attribute<NetworkPort>], narrow: @escaping @Sendable (inout Query) -> Void) {
    var parts: [Part] = []
    var hasAddresses = false
    for attribute in attributes {
      let name = attribute.name
      switch "\(name)" {
      case "fixed_ips": hasAddresses = true
      case "tags": parts.append(.tags)
      case "trunk_details": parts.append(.trunk)
      case "security_groups": parts.append(.securityGroups)
      case "allowed_address_pairs": parts.append(.addressPairs)
      case let text:
        if case .constant(let json) = attribute.value {
          parts.append(.column(name) { _, writer in writer.constant(json) })
        } else if let writer = Self.writers[text] {
          parts.append(.column(name, writer))
        } else {
          return nil
        }
      }
    }
    (self.parts, self.hasAddresses, self.narrow) = (parts, hasAddresses, narrow)
  }

  private static let writers: [String: Writer] = [
    "id": text(.id), "name": text(.name), "description": text(.description), "tenant_id": text(.projectID),
    "project_id": text(.projectID), "network_id": text(.networkID), "status": text(.status),
    "mac_address": text(.macAddress), "device_id": text(.deviceID), "device_owner": text(.deviceOwner),
    "binding:host_id": text(.hostID), "binding:vnic_type": text(.vnicType), "dns_name": text(.dnsName),
    "admin_state_up": { row, writer in writer.value(row.bool(Column.isAdminStateUp.rawValue)) },
    "port_security_enabled": { row, writer in writer.value(row.bool(Column.isPortSecurityEnabled.rawValue)) },
    "binding:profile": { row, writer in row.withText(Column.profile.rawValue) { writer.raw($0) } },
    "binding:vif_type": { row, writer in
      let isUnbound = row.withText(Column.hostID.rawValue) { $0.isEmpty }
      writer.constant(isUnbound ? "\"unbound\"" : "\"other\"")
    },
    "revision_number": { row, writer in writer.value(row.int(Column.revision.rawValue)) },
    "created_at": { row, writer in writer.value(zulu: row.time(Column.createdAt.rawValue)) },
    "updated_at": { row, writer in writer.value(zulu: row.time(Column.updatedAt.rawValue)) },
  ]
  private typealias Column = NetworkPortStore.Column
  private static func text(_ column: Column) -> Writer {
    { row, writer in row.withText(column.rawValue) { writer.text($0) } }
  }

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
    var isOpen = false
    let next = try NetworkPortStore.rows(in: session, after: end, most: Self.most, narrow) { row, isFirst in
      if isFirst {
        if isOpen { close(&writer) }
        isOpen = true
        open(row, extras, &writer)
      }
      if hasAddresses { address(row, &writer) }
    }
    if isOpen { close(&writer) }
    if next == nil {
      writer.endArray()
      writer.endObject()
    }
    return (ByteBuffer(writer), next)
  }

  private func open(
    _ row: borrowing Row, _ extras: NetworkPortStore.Extras, _ writer: inout JSONWriter
  ) {
    writer.beginObject()
    for part in parts {
      switch part {
      case .column(let name, let write):
        writer.key(name)
        write(row, &writer)
      case .tags:
        writer.member("tags", extras.tags.isEmpty ? [] : extras.tags[row.text(Column.id.rawValue)] ?? [])
      case .securityGroups:
        let groups = extras.securityGroups
        writer.member("security_groups", groups.isEmpty ? [] : groups[row.text(Column.id.rawValue)] ?? [])
      case .addressPairs:
        writer.key("allowed_address_pairs")
        let pairs = NetworkPortStore.addressPairs(in: row)
        if pairs.isEmpty {
          writer.constant("[]")
        } else {
          writer.value(PortRoutes.json(pairs, of: row.text(Column.macAddress.rawValue)))
        }
      case .trunk:
        writer.key("trunk_details")
        let trunk = extras.trunks.isEmpty ? nil : extras.trunks[row.text(Column.id.rawValue)]
        if let trunk { writer.value(TrunkRoutes.details(trunk)) } else { writer.null() }
      }
    }
    if hasAddresses {
      writer.key("fixed_ips")
      writer.beginArray()
    }
  }
  private func address(_ row: borrowing Row, _ writer: inout JSONWriter) {
    guard !row.isNull(Column.subnetID.rawValue),
      let address = row.withText(
        Column.addressKey.rawValue, { IPAddress(version: row.int(Column.version.rawValue), key: $0) })
    else { return }
    writer.beginObject()
    writer.key("subnet_id")
    row.withText(Column.subnetID.rawValue) { writer.text($0) }
    writer.member("ip_address", address.description)
    writer.endObject()
  }
  private func close(_ writer: inout JSONWriter) {
    if hasAddresses { writer.endArray() }
    writer.endObject()
  }
}
