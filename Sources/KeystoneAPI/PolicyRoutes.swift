import APISupport
import Domain
import HTTPTypes
import Store
import Wire

/// Documents that services keep here; nobody's rights follow from them. Source: Identity API reference v3, "Policies".
extension KeystoneFacade {
  private static let attributes: Set<String> = ["id", "type", "blob", "links"]

  var policyEndpoints: [Endpoint] {
    [
      Endpoint(.get, "/v3/policies", .siteReader, "list policy documents") { request in
        let filter = try ListFilter(request, ["type"])
        let items = try await database.read { try PolicyDocumentStore.list(type: filter.exact("type"), in: $0) }
        return try listing("policies", items.map { policyBody($0, request) }.filter { filter.admits($0) }, request)
      },
      Endpoint(.post, "/v3/policies", adminRule("create_policy"), "keep a policy document") { request in
        let attributes = try await Attributes(request, "policy")
        guard let content = attributes.values["blob"], !content.isNull else {
          throw APIError.badRequest("'blob' is a required property")
        }
        var document = PolicyDocumentStore.Document(
          id: Identifier.hex(), type: try attributes.requiredName("type"), content: content)
        try attributes.merge(into: &document.extra, except: Self.attributes)
        try await database.write { [document] in try PolicyDocumentStore.insert(document, in: $0) }
        return APIResponse(.created, json: ["policy": policyBody(document, request)])
      },
      Endpoint(.get, "/v3/policies/{policy}", .siteReader, "show a policy document") { request in
        let id = try request.parameter("policy")
        let document = try await database.read { try policy(id, in: $0) }
        return APIResponse(json: ["policy": policyBody(document, request)])
      },
      Endpoint(.patch, "/v3/policies/{policy}", adminRule("update_policy"), "change a policy document") { request in
        let id = try request.parameter("policy")
        let attributes = try await Attributes(request, "policy")
        let type = try attributes.entityName("type")
        let changed = try await database.write { session in
          var document = try policy(id, in: session)
          if let type { document.type = type }
          if let content = attributes.values["blob"], !content.isNull { document.content = content }
          try attributes.merge(into: &document.extra, except: Self.attributes)
          try PolicyDocumentStore.update(document, in: session)
          return document
        }
        return APIResponse(json: ["policy": policyBody(changed, request)])
      },
      Endpoint(.delete, "/v3/policies/{policy}", adminRule("delete_policy"), "delete a policy document") { request in
        let id = try request.parameter("policy")
        try await database.write { session in
          guard try PolicyDocumentStore.delete(id, in: session) else { throw APIError.missing("policy", id) }
        }
        return .noContent
      },
    ]
  }

  private func policy(_ id: String, in session: any Session) throws -> PolicyDocumentStore.Document {
    guard let document = try PolicyDocumentStore.get(id, in: session) else { throw APIError.missing("policy", id) }
    return document
  }
  private func policyBody(_ document: PolicyDocumentStore.Document, _ request: APIRequest) -> JSON {
    var body: JSONObject = [
      "id": .string(document.id), "type": .string(document.type), "blob": document.content,
      "links": ["self": .string("\(request.serviceURL)/v3/policies/\(document.id)")],
    ]
    for member in document.extra where body[member.key] == nil { body[member.key] = member.value }
    return .object(body)
  }
}
