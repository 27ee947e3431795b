import APISupport
import Domain
import Store

/// Errors of routers and floating IPs in Neutron's words. Source: neutron-lib, `exceptions/l3.py`, `exceptions/extraroute.py`.
extension APIError {
  static func badRouter(_ sentence: String) -> APIError {
    APIError(.badRequest, "Bad router request: \(sentence).", type: "BadRequest")
  }
  static func badFloatingIP(_ sentence: String) -> APIError {
    APIError(.badRequest, "Bad floatingip request: \(sentence).", type: "BadRequest")
  }
  static func badForwarding(_ sentence: String) -> APIError {
    APIError(.badRequest, "Bad port_forwarding request: \(sentence).", type: "BadRequest")
  }
  static func routerInUse(_ id: String, _ reason: String) -> APIError {
    .conflict("Router \(id) \(reason)", type: "RouterInUse")
  }
  static func gatewayInUse(_ router: String, network: String) -> APIError {
    .conflict(
      "Gateway cannot be updated for router \(router), since a gateway to external network \(network) is required by one or "
        + "more floating IPs.", type: "RouterExternalGatewayInUseByFloatingIp")
  }
  static func invalidRoutes(_ routes: [Router.Route], _ reason: String) -> APIError {
    let words = routes.map { "\($0.destination) via \($0.nextHop)" }.joined(separator: ", ")
    return APIError(.badRequest, "Invalid format for routes: \(words), \(reason)", type: "InvalidRoutes")
  }
  /// A port that is another thing's part, and goes with that.
  static func servicePortInUse(_ port: NetworkPort) -> APIError {
    .conflict(
      "Port \(port.id) cannot be deleted directly via the port API: has device owner \(port.deviceOwner).",
      type: "ServicePortInUse")
  }
  static func floatingIPAlreadyAssociated(
    _ floatingIP: FloatingIP, _ port: String, _ fixedAddress: IPAddress
  ) -> APIError {
    .conflict(
      "Cannot associate floating IP \(floatingIP.address) (\(floatingIP.id)) with port \(port) using fixed IP \(fixedAddress), "
        + "as that fixed IP already has a floating IP on external network \(floatingIP.networkID).",
      type: "FloatingIPPortAlreadyAssociated")
  }
  static func floatingIPForwards(_ id: String) -> APIError {
    .conflict("Floating IP \(id) in use by Port Forwarding resources.", type: "FipInUseByPortForwarding")
  }
}

extension Lookup {
  static func router(_ id: String, _ actor: Actor, _ session: any Session) throws -> Router {
    guard let router = try RouterStore.get(id, in: session), NetworkPolicy.sees(router, actor) else {
      throw APIError.notFound("Router \(id) could not be found", type: "RouterNotFound")
    }
    return router
  }
  static func floatingIP(_ id: String, _ actor: Actor, _ session: any Session) throws -> FloatingIP {
    guard let floatingIP = try FloatingIPStore.get(id, in: session), NetworkPolicy.sees(floatingIP, actor) else {
      throw APIError.notFound("Floating IP \(id) could not be found", type: "FloatingIPNotFound")
    }
    return floatingIP
  }
}
