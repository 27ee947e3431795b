import APISupport
import Conductor
import Domain
import HTTPTypes
import Store
import Wire

/// Extra specs of flavors, and who may use those that are not public. Source: Nova API reference, "Flavors extra-specs",
/// "Flavors access".
struct FlavorSpecRoutes: Sendable {
  let nova: NovaAPI

  var endpoints: [Endpoint] {
    let specs = "/v2.1/flavors/{flavor}/os-extra_specs"
    return [
      Endpoint(.get, specs, .authenticated, "Lists a flavor's extra specs") { request in
        let flavor = try await nova.database.read { try FlavorRoutes.find(request, $0) }
        return APIResponse(json: ["extra_specs": .object(flavor.extraSpecs)])
      },
      Endpoint(.post, specs, .siteAdmin, "Adds extra specs to a flavor") { request in
        let specs = try Self.specs(try await ComputeInput(request, "extra_specs").object)
        try await change(request) { flavor in for spec in specs { flavor.extraSpecs[spec.key] = spec.value } }
        return APIResponse(json: ["extra_specs": .object(specs)])
      },
      Endpoint(.get, specs + "/{spec}", .authenticated, "Shows an extra spec") { request in
        let key = try request.parameter("spec")
        let flavor = try await nova.database.read { try FlavorRoutes.find(request, $0) }
        guard let value = flavor.extraSpecs[key] else { throw Self.missing(key, flavor) }
        return APIResponse(json: .object([key: value]))
      },
      Endpoint(.put, specs + "/{spec}", .siteAdmin, "Changes an extra spec") { request in
        let key = try request.parameter("spec")
        let specs = try Self.specs(try await request.object())
        guard specs.count == 1, let value = specs[key] else {
          throw APIError.badRequest("The request body must have exactly one item, of the name in the path.")
        }
        try await change(request) { $0.extraSpecs[key] = value }
        return APIResponse(json: .object([key: value]))
      },
      Endpoint(.delete, specs + "/{spec}", .siteAdmin, "Removes an extra spec") { request in
        let key = try request.parameter("spec")
        try await change(request) { flavor in
          guard flavor.extraSpecs[key] != nil else { throw Self.missing(key, flavor) }
          flavor.extraSpecs[key] = nil
        }
        return APIResponse(.ok)
      },
      Endpoint(
        .get, "/v2.1/flavors/{flavor}/os-flavor-access", .siteReader, "Lists who may use a flavor that is not public"
      ) { request in
        let flavor = try await nova.database.read { try FlavorRoutes.find(request, $0) }
        guard !flavor.isPublic else { throw APIError.notFound("Access list not available for public flavors.") }
        return Self.access(flavor)
      },
      Endpoint(
        .post, "/v2.1/flavors/{flavor}/action", .siteAdmin, "Lets a project use a flavor, or no more", handler: act),
    ]
  }

  private static func missing(_ key: String, _ flavor: Flavor) -> APIError {
    .notFound("Flavor \(flavor.id) has no extra specs with key \(key.prefix(80)).")
  }
  private static func specs(_ object: JSONObject) throws -> JSONObject {
    var specs: JSONObject = [:]
    guard object.count <= 100 else { throw APIError.badRequest("A flavor has 100 extra specs at most.") }
    for member in object {
      guard ComputeInput.isMetadataKey(member.key) else {
        throw APIError.badRequest(
          "Invalid input for field/attribute extra_specs: '\(member.key.prefix(80))' is no name.")
      }
      let text: String? =
        switch member.value {
        case .string(let text): text
        case .int(let number): "\(number)"
        case .double(let number): "\(number)"
        default: nil
        }
      guard let text, text.utf8.count <= 255 else {
        throw APIError.badRequest("Invalid input for field/attribute \(member.key): a text of up to 255 is expected.")
      }
      specs[member.key] = .string(text)
    }
    return specs
  }
  private func change(_ request: APIRequest, _ body: @escaping @Sendable (inout Flavor) throws -> Void) async throws {
    let now = request.now
    try await nova.database.write { session in
      var flavor = try FlavorRoutes.find(request, session)
      try body(&flavor)
      try FlavorStore.update(flavor, at: now, in: session)
    }
  }

  private static func access(_ flavor: Flavor) -> APIResponse {
    APIResponse(
      json: [
        "flavor_access": .array(
          flavor.projectIDs.map { ["flavor_id": .string(flavor.id), "tenant_id": .string($0)] })
      ])
  }
  private func act(_ request: APIRequest) async throws -> APIResponse {
    let body = try await request.object()
    guard body.count == 1, let member = body.members.first,
      ["addTenantAccess", "removeTenantAccess"].contains(member.key), let given = member.value.object
    else { throw APIError.badRequest("There is no such action on a flavor: addTenantAccess, removeTenantAccess.") }
    let input = ComputeInput(given)
    try input.allow(["tenant"])
    let project = try input.required("tenant")
    let isAdded = member.key == "addTenantAccess"
    let flavor = try await nova.database.write { session in
      let flavor = try FlavorRoutes.find(request, session)
      guard try ProjectStore.get(project, in: session) != nil else {
        throw APIError.badRequest("Project ID \(project) is not a valid project.")
      }
      if isAdded {
        guard !flavor.isPublic else { throw APIError.conflict("Can not add access to a public flavor.") }
        guard try FlavorStore.addProject(project, to: flavor.id, in: session) else {
          throw APIError.conflict("Flavor access already exists for flavor \(flavor.id) and project \(project).")
        }
      } else if try !FlavorStore.removeProject(project, from: flavor.id, in: session) {
        throw APIError.notFound("Flavor access not found for \(flavor.id) / \(project) combination.")
      }
      return try FlavorRoutes.find(request, session)
    }
    return Self.access(flavor)
  }
}
