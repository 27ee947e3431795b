import APISupport
import Domain
import HTTPTypes
import Store
import Wire

/// What a role implies. Source: Identity API reference v3, "Roles", "Implied roles".
extension KeystoneFacade {
  var impliedRoleEndpoints: [Endpoint] {
    [
      Endpoint(
        .get, "/v3/role_inferences", siteReaderRule("list_role_inference_rules"), "which role implies which"
      ) {
        request in
        let (roles, table) = try await database.read {
          (try RoleStore.all(in: $0), try RoleStore.implications(in: $0))
        }
        let byID = Dictionary(roles.map { ($0.id, $0) }) { $1 }
        let rules = roles.compactMap { prior -> JSON? in
          guard let implied = table[prior.id] else { return nil }
          return [
            "prior_role": reference(prior, request),
            "implies": .array(implied.compactMap { byID[$0] }.map { reference($0, request) }),
          ]
        }
        return APIResponse(
          json: [
            "role_inferences": .array(rules),
            "links": ["self": .string(request.serviceURL + "/v3/role_inferences"), "previous": nil, "next": nil],
          ])
      },
      Endpoint(
        .get, "/v3/roles/{role}/implies", siteReaderRule("list_implied_roles"), "what a role implies"
      ) {
        request in
        let id = try request.parameter("role")
        let (prior, implied) = try await database.read { session in
          let prior = try role(id, in: session)
          let ids = Set(try RoleStore.implications(in: session)[id] ?? [])
          return (prior, try RoleStore.all(in: session).filter { ids.contains($0.id) })
        }
        return APIResponse(
          json: [
            "role_inference": [
              "prior_role": reference(prior, request), "implies": .array(implied.map { reference($0, request) }),
            ],
            "links": ["self": .string(request.serviceURL + request.path)],
          ])
      },
      Endpoint(
        .get, "/v3/roles/{role}/implies/{implied}", siteReaderRule("get_implied_role"),
        "whether a role implies another"
      ) { request in APIResponse(json: try await inference(request)) },
      Endpoint(
        .head, "/v3/roles/{role}/implies/{implied}", siteReaderRule("check_implied_role"),
        "whether a role implies another"
      ) { request in
        _ = try await inference(request)
        return .noContent
      },
      Endpoint(
        .put, "/v3/roles/{role}/implies/{implied}", adminRule("create_implied_role"), "make a role imply another"
      ) { request in
        let (id, impliedID) = (try request.parameter("role"), try request.parameter("implied"))
        let body = try await change { session in
          let (prior, implied) = (try role(id, in: session), try role(impliedID, in: session))
          guard implied.domainID != nil || implied.name != "admin" else {
            throw APIError.forbidden("\(impliedID) cannot be an implied roles.")
          }
          guard implied.domainID == nil || prior.domainID != nil else {
            throw APIError.forbidden("Global role cannot imply a domain-specific role")
          }
          guard try impliedID != id && !RoleStore.expanded([impliedID], in: session).contains(id) else {
            throw APIError.badRequest("A role cannot imply itself.")
          }
          try RoleStore.addImplication(id, implies: impliedID, in: session)
          return inference(prior, implied, request)
        }
        return APIResponse(.created, json: body)
      },
      Endpoint(.delete, "/v3/roles/{role}/implies/{implied}", adminRule("delete_implied_role"), "end an implication") {
        request in
        let (id, impliedID) = (try request.parameter("role"), try request.parameter("implied"))
        try await change { session in
          try revokeTokens(ofHoldersOf: id, at: request.now, in: session)
          guard try RoleStore.removeImplication(id, implies: impliedID, in: session) else {
            throw APIError.notFound("\(id) does not imply \(impliedID).")
          }
        }
        return .noContent
      },
    ]
  }

  private func inference(_ request: APIRequest) async throws -> JSON {
    let (id, impliedID) = (try request.parameter("role"), try request.parameter("implied"))
    let (prior, implied) = try await database.read { session in
      let (prior, implied) = (try role(id, in: session), try role(impliedID, in: session))
      guard try RoleStore.implications(in: session)[id]?.contains(impliedID) == true else {
        throw APIError.notFound("\(id) does not imply \(impliedID).")
      }
      return (prior, implied)
    }
    return inference(prior, implied, request)
  }
  private func inference(_ prior: Role, _ implied: Role, _ request: APIRequest) -> JSON {
    [
      "role_inference": ["prior_role": reference(prior, request), "implies": reference(implied, request)],
      "links": ["self": .string(request.serviceURL + request.path)],
    ]
  }
  private func reference(_ role: Role, _ request: APIRequest) -> JSON {
    [
      "id": .string(role.id), "name": .string(role.name),
      "links": ["self": .string("\(request.serviceURL)/v3/roles/\(role.id)")],
    ]
  }
}
