import APISupport
import Conductor
import Domain
import HTTPTypes
import Wire

/// The lamps of a machine, and its non-maskable interrupt. Source: Ironic API reference v1, "Node Management".
extension IronicAPI {
  var nodeIndicatorEndpoints: [Endpoint] {
    let path = "/v1/nodes/{node}/management"
    return [
      Endpoint(.put, path + "/inject_nmi", since: 29, Self.act, "Send a non-maskable interrupt") { request in
        let requester = try requester(request)
        try await controlling(request) { try await conductor.sendInterrupt($0, by: requester) }
        return .noContent
      },
      Endpoint(.get, path + "/indicators", since: 63, Self.read, "List indicators") { request in
        let shown = try await controlling(request, to: nil) { node in
          try await conductor.indicators(node).map { show($0, of: node, request) }
        }
        return APIResponse(json: ["indicators": .array(shown)])
      },
      Endpoint(.get, path + "/indicators/{indicator}", since: 63, Self.read, "Show what an indicator does") { request in
        let name = try indicator(request)
        let state = try await controlling(request, to: nil) { try await conductor.indicatorState($0, name) }
        return APIResponse(json: ["state": .string(state.rawValue)])
      },
      Endpoint(.put, path + "/indicators/{indicator}", since: 63, Self.act, "Set an indicator") { request in
        let name = try indicator(request)
        let body = try await request.object()
        try FieldReading.refuseOthers(body, than: ["state"], "indicator")
        let states: [Indicator.State] = [.on, .off, .blinking]
        guard let state = states.first(where: { $0.rawValue == body["state"]?.string?.uppercased() }) else {
          throw APIError.badRequest("state must be one of \(states.map(\.rawValue).joined(separator: ", ")).")
        }
        try await controlling(request) { try await conductor.setIndicator($0, name, state) }
        return APIResponse(.ok)
      },
    ]
  }

  private func show(_ indicator: Indicator, of node: Node, _ request: APIRequest) -> JSON {
    let name = indicator.name.unique
    return [
      "name": .string(name), "component": .string(indicator.name.component.rawValue),
      "readonly": .bool(indicator.isReadOnly), "states": JSON(indicator.states.map(\.rawValue)),
      "links": links(request, "nodes/\(node.uuid)/management/indicators/\(percentEncoded(name))"),
    ]
  }
  /// "led@system".
  private func indicator(_ request: APIRequest) throws -> Indicator.Name {
    let text = try request.parameter("indicator")
    guard let at = text.lastIndex(of: "@"), at > text.startIndex else {
      throw APIError.badRequest("Malformed indicator name \"\(text.prefix(80))\"")
    }
    guard let component = Indicator.Component(rawValue: String(text[text.index(after: at)...])) else {
      throw APIError.badRequest(
        "There is no component in \"\(text.prefix(80))\": NAME@\(Indicator.Component.allCases.map(\.rawValue).joined(separator: ", NAME@")) make a name."
      )
    }
    return Indicator.Name(component, String(text[..<at]))
  }
}
