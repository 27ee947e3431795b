import APISupport
import Conductor
import Cryptography
import Domain
import Store
import Wire

/// How servers are shown. Source: Nova API reference, "Show Server Details".
///
/// What several servers need is read once for all of them: a list of a thousand costs as many statements as a list of one.
struct ServerView: Sendable {
  let request: APIRequest
  let version: Microversion
  let actor: Actor
  let zone: String
  var ports: [String: [NetworkPort]] = [:]
  var networks: [String: Network] = [:]
  var floating: [String: [FloatingIP]] = [:]
  var groups: [String: String] = [:]
  var images: [String: Image] = [:]
  var volumes: [String: [ServerVolume]] = [:]

  init(_ request: APIRequest, zone: String) throws {
    self.request = request
    version = try Microversion(request.headers)
    actor = try request.actor()
    self.zone = zone
  }

  /// Reads what the addresses, groups and images of these servers need.
  mutating func gather(_ rows: [ServerRow], in session: any Session) throws {
    ports = try ServerStore.networkPorts(of: rows, in: session)
    let attached = ports.values.flatMap { $0 }
    networks = try NetworkStore.byID(Set(attached.map(\.networkID)), in: session)
    if !attached.isEmpty {
      let known = Set(attached.map(\.id))
      let associated = try FloatingIPStore.list(in: session) { $0.append("WHERE port_id IS NOT NULL") }
      floating = Dictionary(
        grouping: associated.filter { known.contains($0.association?.portID ?? "") },
        by: { $0.association?.portID ?? "" })
      let ids = Set(attached.flatMap(\.securityGroupIDs))
      if !ids.isEmpty {
        groups = try SecurityGroupStore.list(ids: ids.sorted(), in: session).reduce(into: [:]) { $0[$1.id] = $1.name }
      }
    }
    volumes = try ServerVolumeStore.list(ofServers: rows.map(\.server.id), in: session)
    if version.minor >= 98 {
      let ids = Set(rows.compactMap(\.server.imageID)).sorted()
      if !ids.isEmpty {
        images = try ImageStore.list(in: session) { $0.appendIn("WHERE id IN", ids.map { .text($0) }) }
          .reduce(into: [:]) { $0[$1.id] = $1 }
      }
    }
  }

  func links(_ id: String, _ collection: String = "servers") -> JSON {
    [
      ["rel": "self", "href": .string("\(request.serviceURL)/v2.1/\(collection)/\(id)")],
      ["rel": "bookmark", "href": .string("\(request.serviceURL)/\(collection)/\(id)")],
    ]
  }
  func brief(_ server: Server) -> JSON {
    ["id": .string(server.id), "name": .string(server.name), "links": links(server.id)]
  }

  /// By network; a network's addresses in the order of the ports.
  func addresses(_ row: ServerRow) -> JSONObject {
    var out: JSONObject = [:]
    for port in ports[row.server.id] ?? [] {
      let name = networks[port.networkID]?.name ?? port.networkID
      var list = out[name]?.array ?? []
      for fixed in port.fixedIPs {
        list.append(address(fixed.address, "fixed", port))
        for floating in floating[port.id] ?? [] where floating.association?.fixedAddress == fixed.address {
          list.append(address(floating.address, "floating", port))
        }
      }
      if !list.isEmpty { out[name] = .array(list) }
    }
    return out
  }
  private func address(_ address: IPAddress, _ type: String, _ port: NetworkPort) -> JSON {
    [
      "version": .int(address.version), "addr": .string(address.description), "OS-EXT-IPS:type": .string(type),
      "OS-EXT-IPS-MAC:mac_addr": .string(port.macAddress),
    ]
  }

  /// - Parameters:
  ///   - isRebuilt: the answer to a rebuild, which is shorter before 2.75.
  ///   - groupIDs: of the server's group, in `show` from 2.71 on.
  func whole(_ row: ServerRow, showsGroup: Bool) -> JSONObject {
    let server = row.server
    let condition = row.condition
    var out: JSONObject = [
      "id": .string(server.id), "name": .string(server.name), "status": .string(condition.status.rawValue),
      "tenant_id": .string(server.projectID), "user_id": .string(server.userID), "metadata": .object(server.metadata),
      "hostId": .string(hostID(row)), "image": image(server), "flavor": flavor(server),
      "created": .string(server.createdAt.iso8601Zulu),
      "updated": .string(max(server.updatedAt, row.machine?.updatedAt ?? server.updatedAt).iso8601Zulu),
      "addresses": .object(addresses(row)), "accessIPv4": .string(server.accessIPv4),
      "accessIPv6": .string(server.accessIPv6), "links": links(server.id), "OS-DCF:diskConfig": "AUTO",
      "OS-EXT-AZ:availability_zone": .string(row.machine == nil ? server.pinnedZone ?? "" : zone),
      "config_drive": server.hasConfigDrive ? "True" : "", "key_name": JSON(server.keyName),
      "OS-SRV-USG:launched_at": JSON(server.launchedAt?.iso8601Fraction),
      "OS-SRV-USG:terminated_at": JSON(server.deletedAt?.iso8601Fraction),
      "OS-EXT-STS:task_state": JSON(condition.taskState), "OS-EXT-STS:vm_state": .string(condition.vmState),
      "OS-EXT-STS:power_state": .int(condition.powerState), "os-extended-volumes:volumes_attached": attached(server),
    ]
    if [.active, .build, .rebuild].contains(condition.status) { out["progress"] = .int(condition.progress) }
    if condition.status == .error { out["fault"] = fault(row, condition) }
    let names = Set((ports[row.server.id] ?? []).flatMap(\.securityGroupIDs).compactMap { groups[$0] })
    if !names.isEmpty { out["security_groups"] = .array(names.sorted().map { ["name": .string($0)] }) }
    later(row, &out, showsGroup: showsGroup)
    return out
  }

  /// What the answers to changes had before 2.75.
  func short(_ row: ServerRow) -> JSONObject {
    let kept: Set<String> = [
      "id", "name", "status", "tenant_id", "user_id", "metadata", "hostId", "image", "flavor", "created", "updated",
      "addresses", "accessIPv4", "accessIPv6", "links", "OS-DCF:diskConfig", "progress", "fault", "locked",
      "description", "tags", "trusted_image_certificates", "server_groups", "locked_reason",
    ]
    var out = whole(row, showsGroup: true)
    for key in out.keys where !kept.contains(key) { out[key] = nil }
    out["addresses"] = .object(plainAddresses(row))
    return out
  }
  /// Without the kind of each address and the hardware's.
  func plainAddresses(_ row: ServerRow) -> JSONObject {
    addresses(row).reduce(into: JSONObject()) { out, network in
      out[network.key] = .array(
        (network.value.array ?? []).map { ["version": $0["version"] ?? 4, "addr": $0["addr"] ?? ""] })
    }
  }

  private func later(_ row: ServerRow, _ out: inout JSONObject, showsGroup: Bool) {
    let server = row.server
    if ComputePolicy.seesSite(actor) {
      out["OS-EXT-SRV-ATTR:host"] = row.machine == nil ? .null : "steelyard"
      out["OS-EXT-SRV-ATTR:hypervisor_hostname"] = JSON(row.machine?.uuid)
      out["OS-EXT-SRV-ATTR:instance_name"] = .string("instance-\(server.id.prefix(8))")
      if version.minor >= 3 {
        out["OS-EXT-SRV-ATTR:hostname"] = .string(server.hostname)
        out["OS-EXT-SRV-ATTR:kernel_id"] = ""
        out["OS-EXT-SRV-ATTR:ramdisk_id"] = ""
        out["OS-EXT-SRV-ATTR:launch_index"] = .int(server.launchIndex)
        out["OS-EXT-SRV-ATTR:reservation_id"] = .string(server.reservationID)
        out["OS-EXT-SRV-ATTR:root_device_name"] = .null
        out["OS-EXT-SRV-ATTR:user_data"] = JSON(server.userData)
      }
      if version.minor >= 16 { out["host_status"] = row.machine == nil ? "" : .string(hostStatus(row)) }
    }
    if version.minor >= 90 { out["OS-EXT-SRV-ATTR:hostname"] = .string(server.hostname) }
    if version.minor >= 9 { out["locked"] = .bool(server.lock != nil) }
    if version.minor >= 19 { out["description"] = JSON(server.description) }
    if version.minor >= 26 { out["tags"] = JSON(server.tags) }
    if version.minor >= 63 { out["trusted_image_certificates"] = .null }
    if version.minor >= 71, showsGroup { out["server_groups"] = JSON(server.groupID.map { [$0] } ?? []) }
    if version.minor >= 73 { out["locked_reason"] = JSON(server.lockedReason) }
    if version.minor >= 96 { out["pinned_availability_zone"] = JSON(server.pinnedZone) }
    if version.minor >= 100 { out["scheduler_hints"] = .object(server.schedulerHints) }
  }
  private func hostStatus(_ row: ServerRow) -> String { row.machine?.isInMaintenance == true ? "MAINTENANCE" : "UP" }

  /// Tells a project which of its servers are on the same machine, and nothing about whose it is.
  private func hostID(_ row: ServerRow) -> String {
    guard let node = row.machine?.uuid else { return "" }
    return String(Digest.sha256Hex(row.server.projectID + node).prefix(56))
  }
  private func attached(_ server: Server) -> JSON {
    .array(
      (volumes[server.id] ?? []).map { volume in
        version.minor < 3
          ? ["id": .string(volume.volumeID)]
          : ["id": .string(volume.volumeID), "delete_on_termination": .bool(volume.deletesOnTermination)]
      })
  }
  private func image(_ server: Server) -> JSON {
    guard let id = server.imageID else { return "" }
    var out: JSONObject = [
      "id": .string(id), "links": [["rel": "bookmark", "href": .string("\(request.serviceURL)/images/\(id)")]],
    ]
    if version.minor >= 98 {
      var properties: JSONObject = [:]
      if let image = images[id] {
        for member in image.properties { properties[member.key] = member.value }
        properties["min_disk"] = .string("\(image.minDisk)")
        properties["min_ram"] = .string("\(image.minRAM)")
        if let format = image.diskFormat { properties["disk_format"] = .string(format) }
        if let format = image.containerFormat { properties["container_format"] = .string(format) }
      }
      out["properties"] = .object(properties)
    }
    return .object(out)
  }
  private func flavor(_ server: Server) -> JSON {
    let id = server.flavor["id"]?.string ?? ""
    if version.minor < 47 {
      return [
        "id": .string(id),
        "links": [["rel": "bookmark", "href": .string("\(request.serviceURL)/flavors/\(id)")]],
      ]
    }
    var flavor = server.flavor
    flavor["id"] = nil
    return .object(flavor)
  }
  private func fault(_ row: ServerRow, _ condition: ServerCondition) -> JSON {
    if let fault = row.server.fault {
      var out: JSONObject = [
        "code": .int(fault.code), "created": .string(fault.at.iso8601Zulu), "message": .string(fault.message),
      ]
      if let details = fault.details, ComputePolicy.seesSite(actor) { out["details"] = .string(details) }
      return .object(out)
    }
    var out: JSONObject = [
      "code": 500, "created": .string((row.machine?.updatedAt ?? row.server.updatedAt).iso8601Zulu),
      "message": .string(condition.reason?.sentence ?? ""),
    ]
    if let detail = condition.reason?.detail, ComputePolicy.seesSite(actor) { out["details"] = .string(detail) }
    return .object(out)
  }
}

extension Timestamp {
  /// As Nova's usage extension writes it: "2026-11-22T00:00:00.000000".
  var iso8601Fraction: String { String(iso8601ZuluMicroseconds.dropLast()) }
}
