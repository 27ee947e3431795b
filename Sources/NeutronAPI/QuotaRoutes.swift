import APISupport
import Domain
import Store
import Wire

/// What is counted and limited per project.
enum QuotaResource: String, CaseIterable, Sendable {
  case networks = "network"
  case subnets = "subnet"
  case ports = "port"
  case rbacPolicies = "rbac_policy"
  case subnetPools = "subnetpool"
  case trunks = "trunk"
  case routers = "router"
  case floatingIPs = "floatingip"
  case securityGroups = "security_group"
  case securityGroupRules = "security_group_rule"

  func used(_ project: String, in session: any Session) throws -> Int {
    switch self {
    case .networks: try NetworkStore.count(project: project, in: session)
    case .subnets: try SubnetStore.count(project: project, in: session)
    case .ports: try NetworkPortStore.count(project: project, in: session)
    case .rbacPolicies: try RBACPolicyStore.count(project: project, in: session)
    case .subnetPools: try SubnetPoolStore.count(project: project, in: session)
    case .trunks: try TrunkStore.count(project: project, in: session)
    case .routers: try RouterStore.count(project: project, in: session)
    case .floatingIPs: try FloatingIPStore.count(project: project, in: session)
    case .securityGroups: try SecurityGroupStore.count(project: project, in: session)
    case .securityGroupRules: try SecurityGroupRuleStore.count(project: project, in: session)
    }
  }
}

extension NeutronAPI {
  func defaultLimit(_ resource: QuotaResource) -> Int {
    switch resource {
    case .networks: settings.quotas.networks
    case .subnets: settings.quotas.subnets
    case .ports: settings.quotas.ports
    case .rbacPolicies: settings.quotas.rbacPolicies
    case .subnetPools: settings.quotas.subnetPools
    case .trunks: settings.quotas.trunks
    case .routers: settings.quotas.routers
    case .floatingIPs: settings.quotas.floatingIPs
    case .securityGroups: settings.quotas.securityGroups
    case .securityGroupRules: settings.quotas.securityGroupRules
    }
  }
  /// Counts inside the transaction that makes one more, or `adding` more.
  /// - Throws: 409 `OverQuota`.
  func requireQuota(_ resource: QuotaResource, project: String, adding: Int = 1, in session: any Session) throws {
    let limit = try NetworkQuotaStore.limits(project: project, in: session)[resource.rawValue] ?? defaultLimit(resource)
    if limit >= 0, try resource.used(project, in: session) + adding > limit {
      throw APIError.overQuota(resource.rawValue)
    }
  }
}

/// `/v2.0/quotas`. Source: Neutron API reference, "Quotas extension", "Quotas details extension".
struct QuotaRoutes: Sendable {
  let neutron: NeutronAPI

  var endpoints: [Endpoint] {
    [
      Endpoint(.get, "/v2.0/quotas", .siteReader, "Lists projects with limits of their own", handler: list),
      Endpoint(.get, "/v2.0/quotas/{project}", .authenticated, "Shows a project's limits", handler: show),
      Endpoint(.get, "/v2.0/quotas/{project}/default", .authenticated, "Shows the site's limits", handler: defaults),
      Endpoint(
        .get, "/v2.0/quotas/{project}/details", .authenticated, "Shows limits and what is used", handler: details),
      Endpoint(.put, "/v2.0/quotas/{project}", .siteAdmin, "Sets a project's limits", handler: update),
      Endpoint(.delete, "/v2.0/quotas/{project}", .siteAdmin, "Resets a project's limits", handler: reset),
    ]
  }

  /// The project asked about; another's limits are the administrator's to see.
  private func project(_ request: APIRequest) throws -> String {
    let (actor, project) = (try request.actor(), try request.parameter("project"))
    guard actor.isSiteReader || actor.projectID == project else {
      throw APIError.notFound("Quota for tenant \(project) could not be found.", type: "TenantQuotaNotFound")
    }
    return project
  }
  private func json(_ own: [String: Int]) -> JSONObject {
    var object = JSONObject()
    for resource in QuotaResource.allCases {
      object[resource.rawValue] = .int(own[resource.rawValue] ?? neutron.defaultLimit(resource))
    }
    return object
  }

  private func show(_ request: APIRequest) async throws -> APIResponse {
    let project = try project(request)
    let own = try await neutron.database.read { session in try NetworkQuotaStore.limits(project: project, in: session) }
    var quota = json(own)
    quota["project_id"] = .string(project)
    return APIResponse(json: ["quota": .object(quota)])
  }
  private func defaults(_ request: APIRequest) async throws -> APIResponse {
    _ = try project(request)
    return APIResponse(json: ["quota": .object(json([:]))])
  }
  private func details(_ request: APIRequest) async throws -> APIResponse {
    let project = try project(request)
    let (own, used) = try await neutron.database.read { session in
      (
        try NetworkQuotaStore.limits(project: project, in: session),
        try QuotaResource.allCases.map { ($0.rawValue, try $0.used(project, in: session)) }
      )
    }
    let counts = Dictionary(used) { first, _ in first }
    var quota = JSONObject()
    for member in json(own) {
      quota[member.key] = ["limit": member.value, "used": .int(counts[member.key] ?? 0), "reserved": 0]
    }
    return APIResponse(json: ["quota": .object(quota)])
  }
  private func list(_ request: APIRequest) async throws -> APIResponse {
    let all = try await neutron.database.read { session in try NetworkQuotaStore.all(in: session) }
    let quotas: [JSON] = all.sorted { $0.key < $1.key }.map { project, own in
      var quota = json(own)
      quota["project_id"] = .string(project)
      quota["tenant_id"] = .string(project)
      return .object(quota)
    }
    return APIResponse(json: ["quotas": .array(quotas)])
  }

  private func update(_ request: APIRequest) async throws -> APIResponse {
    let project = try project(request)
    let body = try await AttributeReader.body(request, "quota")
    let own = try await neutron.database.write { session in
      for member in body.object {
        guard let resource = QuotaResource(rawValue: member.key) else {
          // Clients send "force" and "check_limit".
          if ["force", "check_limit", "tenant_id", "project_id"].contains(member.key) { continue }
          let names = QuotaResource.allCases.map(\.rawValue).joined(separator: ", ")
          throw APIError.badRequest("'\(member.key)' is not limited here; these are: \(names).")
        }
        guard let limit = try body.int(resource.rawValue, -1...2_147_483_647) else { continue }
        try NetworkQuotaStore.set(resource.rawValue, limit, project: project, in: session)
      }
      return try NetworkQuotaStore.limits(project: project, in: session)
    }
    return APIResponse(json: ["quota": .object(json(own))])
  }
  private func reset(_ request: APIRequest) async throws -> APIResponse {
    let project = try project(request)
    let hadOwn = try await neutron.database.write { session in
      try NetworkQuotaStore.reset(project: project, in: session)
    }
    guard hadOwn else {
      throw APIError.notFound("Quota for tenant \(project) could not be found.", type: "TenantQuotaNotFound")
    }
    return .noContent
  }
}
