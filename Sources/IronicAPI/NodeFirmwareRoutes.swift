import APISupport
import Conductor
import Domain
import Wire

/// BIOS settings and firmware as the controller shows them at the time; BIOS settings are made by clean steps.
/// Source: Ironic API reference v1, "Node Bios", "Node Firmware".
extension IronicAPI {
  var nodeFirmwareEndpoints: [Endpoint] {
    [
      Endpoint(.get, "/v1/nodes/{node}/bios", since: 40, Self.read, "List BIOS settings") { try await listBIOS($0) },
      Endpoint(.get, "/v1/nodes/{node}/bios/{setting}", since: 40, Self.read, "Show a BIOS setting") { request in
        let name = try request.parameter("setting")
        let isDetailed = try Microversion(request.headers).minor >= 74
        let (found, node) = try await controlling(request, to: nil) { node in
          (try await conductor.biosSettings(node, isDetailed: isDetailed).first { $0.name == name }, node)
        }
        guard let found else {
          throw APIError.notFound("Node \(node.uuid) doesn't have a BIOS setting '\(name)'")
        }
        let fields = isDetailed ? Self.biosFields.map(\.name) : ["name", "value"]
        return APIResponse(json: [name: show(found, fields, of: node, request)])
      },
      Endpoint(.get, "/v1/nodes/{node}/firmware", since: 86, Self.read, "List firmware components") { request in
        let shown = try await controlling(request, to: nil) { node in
          try await conductor.firmware(node).map { firmware -> JSON in
            [
              "component": .string(firmware.component.name), "initial_version": .string(firmware.initialVersion),
              "current_version": .string(firmware.component.version), "last_version_flashed": nil,
            ]
          }
        }
        return APIResponse(json: ["firmware": .array(shown)])
      },
    ]
  }

  /// GET /v1/nodes/{node}/bios?detail=&fields= → 200 `{"bios": [{"name", "value", …, "links"}]}`.
  private func listBIOS(_ request: APIRequest) async throws -> APIResponse {
    for name in ["detail", "fields"] where request.query[name] != nil {
      try Microversion(request.headers).require(74, name)
    }
    let isDetailed = try request.query.bool("detail") ?? false
    let asked = request.query["fields"].map { $0.split(separator: ",").map { String($0) } }
    guard !isDetailed || asked == nil else {
      throw APIError.badRequest("Can't fetch a subset of fields with 'detail' set")
    }
    for field in asked ?? [] where !Self.biosFields.contains(where: { $0.name == field }) {
      throw APIError.badRequest("Field(s) \"\(field.prefix(80))\" are not valid")
    }
    let fields = asked ?? (isDetailed ? Self.biosFields.map(\.name) : ["name", "value"])
    let needsDetails = fields.contains { $0 != "name" && $0 != "value" }
    let shown = try await controlling(request, to: nil) { node in
      try await conductor.biosSettings(node, isDetailed: needsDetails).map { show($0, fields, of: node, request) }
    }
    return APIResponse(json: ["bios": .array(shown)])
  }

  private static let biosFields: [(name: String, value: @Sendable (BIOSSetting) -> JSON)] = [
    ("name", { .string($0.name) }), ("value", { SecretMask.isSecret($0.name) ? .null : JSON($0.value) }),
    ("attribute_type", { JSON($0.details.type) }),
    ("allowable_values", { JSON($0.details.allowed ?? []) }), ("lower_bound", { JSON($0.details.lowerBound) }),
    ("max_length", { JSON($0.details.maxLength) }), ("min_length", { JSON($0.details.minLength) }),
    ("read_only", { flag($0.details.isReadOnly) }), ("reset_required", { flag($0.details.needsReset) }),
    ("unique", { flag($0.details.isUnique) }), ("upper_bound", { JSON($0.details.upperBound) }),
  ]
  private static func flag(_ flag: Bool?) -> JSON { flag.map { .bool($0) } ?? .null }

  private func show(_ setting: BIOSSetting, _ fields: [String], of node: Node, _ request: APIRequest) -> JSON {
    var out: JSONObject = [:]
    for field in Self.biosFields where fields.contains(field.name) { out[field.name] = field.value(setting) }
    out["links"] = links(request, "nodes/\(node.uuid)/bios/\(percentEncoded(setting.name))")
    return .object(out)
  }
}
