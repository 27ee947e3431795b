import APISupport
import Conductor
import Domain
import DriverInterfaces
import HTTPTypes
import Store
import Wire

/// What a node's controller may offer beside power, boot device and console: RAID, boot mode, Secure Boot, a vendor's own
/// calls. What no driver has is refused in upstream's words, or listed as empty.
extension IronicAPI {
  var nodeHardwareEndpoints: [Endpoint] {
    [
      Endpoint(
        .put, "/v1/nodes/{node}/states/raid", since: 12, missing: .notAcceptable, Self.act, "Say which RAID is wanted"
      ) { try await setTargetRAID($0) },
      Endpoint(.put, "/v1/nodes/{node}/states/boot_mode", since: 76, Self.act, "Set the boot mode") {
        try await setBootMode($0)
      },
      Endpoint(.put, "/v1/nodes/{node}/states/secure_boot", since: 76, Self.act, "Turn Secure Boot on or off") {
        try await setSecureBoot($0)
      },
      // Upstream's router takes the method for wrong, not the path.
      Endpoint(.put, "/v1/nodes/{node}/states/{state}", Self.read, "Never") { _ in
        throw APIError(.methodNotAllowed, "There is no such state of a node that can be set.")
      },
      Endpoint(.get, "/v1/nodes/{node}/vendor_passthru/methods", Self.siteAdmin, "List a vendor's own calls: none") {
        _ = try await seen($0)
        return APIResponse(json: .emptyObject)
      },
      Endpoint(.get, "/v1/drivers/{driver}/vendor_passthru/methods", Self.siteAdmin, "List a vendor's own calls: none")
      {
        _ = try hardwareType($0)
        return APIResponse(json: .emptyObject)
      },
      Endpoint(
        .get, "/v1/drivers/{driver}/raid/logical_disk_properties", since: 12, missing: .notAcceptable, Self.read,
        "What a logical disk may be told"
      ) { request in
        let type = try hardwareType(request)
        guard type.interfaces[.raid]?.contains(where: { $0 != "no-raid" }) == true else {
          throw APIError.notFound("Driver \(type.name) does not support raid (disabled or not implemented).")
        }
        return APIResponse(json: .emptyObject)
      },
    ] + vendorCalls + foreignRamdiskEndpoints
  }

  /// Every method of a vendor's own calls, on nodes and on drivers; there are none.
  private var vendorCalls: [Endpoint] {
    [HTTPRequest.Method.get, .post, .put, .patch, .delete].flatMap { method in
      ["nodes/{node}", "drivers/{driver}"].map { thing in
        Endpoint(method, "/v1/\(thing)/vendor_passthru", Self.siteAdmin, "A vendor's own call: there is none") {
          request in
          if request.parameters["node"] == nil { _ = try hardwareType(request) } else { _ = try await seen(request) }
          guard let name = request.query["method"] else {
            throw APIError.badRequest("Method not specified when calling vendor extension.")
          }
          throw APIError.badRequest("No handler for method \(name.prefix(80))")
        }
      }
    }
  }
  /// What upstream's ramdisk calls. Ours has a protocol of its own (docs/agent-protocol.md), on the provisioning network.
  private var foreignRamdiskEndpoints: [Endpoint] {
    let words =
      "Machines of this site run its own agent, not ironic-python-agent: boot them by `openstack baremetal node inspect`, `provide` or `deploy`."
    return [
      Endpoint(.get, "/v1/lookup", since: 22, Self.read, "Refused") { _ in throw APIError.badRequest(words) },
      Endpoint(.post, "/v1/heartbeat", since: 22, Self.read, "Refused") { _ in throw APIError.badRequest(words) },
      Endpoint(.post, "/v1/heartbeat/{agent}", since: 22, Self.read, "Refused") { _ in
        throw APIError.badRequest(words)
      },
    ]
  }

  /// PUT /v1/nodes/{node}/states/raid `{"logical_disks": […]}` → 204: kept for the cleaning step that builds it.
  ///
  /// Answers: 404 when the node's RAID interface does nothing, as upstream.
  private func setTargetRAID(_ request: APIRequest) async throws -> APIResponse {
    let wanted = try FieldReading.document(try await request.json(), "target_raid_config")
    return try await database.write { session in
      var node = try node(request, to: .update(field: "target_raid_config"), in: session)
      let type = try conductor.checkDriver(node.driver)
      guard type.implementation(of: .raid, for: node) != "no-raid" else {
        throw APIError.notFound("Driver \(node.driver) does not support raid (disabled or not implemented).")
      }
      try requireFree(node)
      node.targetRAIDConfig = wanted
      node.updatedAt = request.now
      try NodeStore.update(node, in: session)
      return .noContent
    }
  }

  /// PUT /v1/nodes/{node}/states/boot_mode `{"target": "uefi" | "bios"}` → 202, in force from the next boot on.
  ///
  /// Answers: 409 while a workflow works with the node, 400 when its hardware cannot.
  private func setBootMode(_ request: APIRequest) async throws -> APIResponse {
    let body = try await request.object()
    guard let mode = body["target"]?.string.flatMap({ BootMode(rawValue: $0) }) else {
      throw APIError.badRequest(
        "Invalid boot mode \(body["target"]?.description.prefix(40) ?? "None") requested for node. Allowed boot modes are: bios, uefi"
      )
    }
    return try await setBoot(request) { try await conductor.setBootMode($0, mode, by: $1) }
  }
  /// PUT /v1/nodes/{node}/states/secure_boot `{"target": bool}` → 202; otherwise as the boot mode.
  private func setSecureBoot(_ request: APIRequest) async throws -> APIResponse {
    let body = try await request.object()
    guard let isOn = (try? FieldReading.flag(body["target"], "target")) ?? nil else {
      throw APIError.badRequest(
        "Invalid secure_boot \(body["target"]?.description.prefix(40) ?? "None") requested for node. Allowed secure_boot states are: True, False"
      )
    }
    return try await setBoot(request) { try await conductor.setSecureBoot($0, isOn, by: $1) }
  }
  private func setBoot(
    _ request: APIRequest, _ body: (Node, Requester) async throws -> Void
  ) async throws -> APIResponse {
    let requester = try requester(request)
    let uuid = try await controlling(request) { node in
      if node.provisionState.isTransient {
        throw APIError.conflict(
          "Node is in \(node.provisionState.rawValue) state. Since node is transitioning, the boot mode will not be set as this may interfere with ongoing changes. Try again later."
        )
      }
      try await body(node, requester)
      return node.uuid
    }
    return APIResponse(.accepted, headers: [.location: "\(request.serviceURL)/v1/nodes/\(uuid)/states"])
  }
}
