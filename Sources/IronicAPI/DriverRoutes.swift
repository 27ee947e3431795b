import APISupport
import Conductor
import Domain
import DriverInterfaces
import Wire

extension IronicAPI {
  var driverEndpoints: [Endpoint] {
    [
      Endpoint(.get, "/v1/drivers", Self.read, "List hardware types") { request in
        let isDetailed = try request.query.bool("detail") ?? false
        let fields = request.query["fields"].map { $0.split(separator: ",").map { String($0) } }
        let kind = request.query["type"]
        let types = kind == nil || kind == "dynamic" ? conductor.hardwareTypes : []
        return APIResponse(
          json: [
            "drivers": .array(try types.map { try shown($0, request, isDetailed: isDetailed || fields != nil, fields) })
          ])
      },
      Endpoint(.get, "/v1/drivers/{driver}", Self.read, "Show a hardware type") { request in
        let fields = request.query["fields"].map { $0.split(separator: ",").map { String($0) } }
        return APIResponse(json: try shown(try hardwareType(request), request, isDetailed: true, fields))
      },
      Endpoint(.get, "/v1/drivers/{driver}/properties", Self.read, "What driver_info may hold") { request in
        var properties: JSONObject = [:]
        for property in try hardwareType(request).properties {
          properties[property.name] = .string("\(property.help)\(property.isRequired ? " Required." : " Optional.")")
        }
        return APIResponse(json: .object(properties))
      },
      Endpoint(.get, "/v1/conductors", since: 49, Self.siteReader, "List conductors: this one") { request in
        let isDetailed = try request.query.bool("detail") ?? false
        return APIResponse(json: ["conductors": [shownConductor(request, isDetailed: isDetailed)]])
      },
      Endpoint(.get, "/v1/conductors/{conductor}", since: 49, Self.siteReader, "Show a conductor") { request in
        let name = try request.parameter("conductor")
        guard name == hostname else { throw APIError.notFound("Conductor \(name) could not be found.") }
        return APIResponse(json: shownConductor(request, isDetailed: true))
      },
    ]
  }

  func hardwareType(_ request: APIRequest) throws -> any HardwareType {
    let name = try request.parameter("driver")
    guard let type = conductor.hardwareType(named: name) else {
      throw APIError.notFound("Could not find the following driver(s) or hardware type(s): \(name).")
    }
    return type
  }
  private func shownConductor(_ request: APIRequest, isDetailed: Bool) -> JSON {
    var out: JSONObject = ["hostname": .string(hostname), "conductor_group": "", "alive": true]
    if isDetailed { out["drivers"] = JSON(conductor.hardwareTypes.map(\.name)) }
    out["links"] = links(request, "conductors/\(hostname)")
    return .object(out)
  }

  /// The microversion that brought an interface's fields.
  private static func since(_ kind: InterfaceKind) -> Int {
    switch kind {
    case .bios: 40
    case .firmware: 86
    case .rescue: 38
    case .storage: 33
    default: 30
    }
  }

  private func shown(_ type: any HardwareType, _ request: APIRequest, isDetailed: Bool, _ fields: [String]?) throws
    -> JSON
  {
    let version = try Microversion(request.headers)
    var out: JSONObject = ["name": .string(type.name), "hosts": [.string(hostname)]]
    if version.minor >= 14 { out["properties"] = links(request, "drivers/\(type.name)/properties") }
    if version.minor >= 30 { out["type"] = "dynamic" }
    if isDetailed {
      for kind in InterfaceKind.allCases where Self.since(kind) <= version.minor {
        let names = type.interfaces[kind] ?? []
        out["default_\(kind.field)"] = JSON(names.first)
        out["enabled_\(kind.field)s"] = JSON(names)
      }
    }
    if let fields {
      try version.require(77, "a subset of a driver's fields")
      for name in fields where out[name] == nil && name != "links" {
        throw APIError.badRequest("Field(s) \"\(name)\" are not valid")
      }
      for key in out.keys where !fields.contains(key) { out[key] = nil }
    }
    out["links"] = links(request, "drivers/\(type.name)")
    return .object(out)
  }
}
