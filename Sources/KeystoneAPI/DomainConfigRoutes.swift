import APISupport
import Domain
import HTTPTypes
import Store
import Wire

/// Options of a domain's own identity driver, and the site's rules for passwords.
/// Source: Identity API reference v3, "Domain configuration".
///
/// As with upstream's defaults the options of drivers are kept and have no effect: all users are in the site's own
/// database. A password among them is sealed and never shown. `security_compliance` is read only: the rules in force.
extension KeystoneFacade {
  private static let known: [(group: String, options: [String])] = [
    ("identity", ["driver", "list_limit"]),
    (
      "ldap",
      [
        "url", "user", "suffix", "query_scope", "page_size", "alias_dereferencing", "debug_level", "chase_referrals",
        "user_tree_dn", "user_filter", "user_objectclass", "user_id_attribute", "user_name_attribute",
        "user_mail_attribute", "user_description_attribute", "user_pass_attribute", "user_enabled_attribute",
        "user_enabled_invert", "user_enabled_mask", "user_enabled_default", "user_attribute_ignore",
        "user_default_project_id_attribute", "user_enabled_emulation", "user_enabled_emulation_dn",
        "user_enabled_emulation_use_group_config", "user_additional_attribute_mapping", "group_tree_dn", "group_filter",
        "group_objectclass", "group_id_attribute", "group_name_attribute", "group_members_are_ids",
        "group_member_attribute", "group_desc_attribute", "group_attribute_ignore",
        "group_additional_attribute_mapping", "tls_cacertfile", "tls_cacertdir", "use_tls", "tls_req_cert", "use_pool",
        "pool_size", "pool_retry_max", "pool_retry_delay", "pool_connection_timeout", "pool_connection_lifetime",
        "use_auth_pool", "auth_pool_size", "auth_pool_connection_lifetime",
      ]
    ),
  ]
  private static let secrets: [String: Set<String>] = ["ldap": ["password"]]
  private static let compliance = "security_compliance"

  var domainConfigEndpoints: [Endpoint] { defaultConfigEndpoints + ownConfigEndpoints }

  private var defaultConfigEndpoints: [Endpoint] {
    @Sendable func defaults(_ group: String?) throws -> JSONObject {
      var out: JSONObject = [:]
      for (name, options) in Self.known where group == nil || group == name {
        var values: JSONObject = [:]
        for option in options { values[option] = JSON.null }
        if name == "identity" { values["driver"] = "sql" }
        out[name] = .object(values)
      }
      guard !out.isEmpty else { throw Self.unsupported("group \(group ?? "")") }
      return out
    }
    return [
      Endpoint(.get, "/v3/domains/config/default", .siteReader, "options that a domain can have") { _ in
        APIResponse(json: ["config": .object(try defaults(nil))])
      },
      Endpoint(.get, "/v3/domains/config/{config_group}/default", .siteReader, "a group of them") { request in
        APIResponse(json: ["config": .object(try defaults(try request.parameter("config_group")))])
      },
      Endpoint(.get, "/v3/domains/config/{config_group}/{config_option}/default", .siteReader, "one of them") {
        request in
        let (group, option) = (try request.parameter("config_group"), try request.parameter("config_option"))
        guard let value = try defaults(group)[group]?[option] else { throw Self.unsupported("option \(option)") }
        return APIResponse(json: ["config": .object([option: value])])
      },
    ]
  }

  private var ownConfigEndpoints: [Endpoint] {
    let path = "/v3/domains/{domain}/config"
    @Sendable func place(_ request: APIRequest) throws -> (domain: String, group: String?, option: String?) {
      (try request.parameter("domain"), request.parameters["config_group"], request.parameters["config_option"])
    }
    var endpoints = [
      Endpoint(.put, path, adminRule("create_domain_config"), "set all options of a domain") { request in
        let (domain, _, _) = try place(request)
        let config = try configObject(await request.object())
        try Self.check(config)
        let existed = try await database.write { session in
          try existingDomain(domain, in: session)
          let existed = try DomainOptionStore.exists(domain: domain, in: session)
          _ = try DomainOptionStore.delete(domain: domain, group: nil, name: nil, in: session)
          try write(config, domain, in: session)
          return existed
        }
        return try await shown(domain, nil, nil, existed ? .ok : .created)
      }
    ]
    for (suffix, what) in [
      ("", "all options"), ("/{config_group}", "a group of options"), ("/{config_group}/{config_option}", "an option"),
    ] {
      endpoints += [
        Endpoint(
          .get, path + suffix,
          anyRule("get_domain_config", "readers of the site; the rules for passwords: those who see the domain"),
          "\(what) of a domain"
        ) { request in
          let actor = try request.actor()
          let (domain, group, option) = try place(request)
          if group == Self.compliance { return try await complianceAnswer(domain, option, actor) }
          guard actor.isSiteReader else {
            throw APIError.forbidden(
              "You are not authorized to perform the requested action: identity:get_domain_config.")
          }
          return try await shown(domain, group, option, .ok)
        },
        Endpoint(.patch, path + suffix, adminRule("update_domain_config"), "change \(what) of a domain") { request in
          let (domain, group, option) = try place(request)
          var config = try configObject(await request.object())
          if let group, let option {
            // Only the option itself is in the body.
            guard let value = config[option] ?? config[group]?[option], config.count == 1 else {
              throw APIError.forbidden(
                "Invalid domain specific configuration: the body must hold the option \(option) and no other.")
            }
            config = [group: .object([option: value])]
          }
          if let group, config.keys != [group] {
            throw APIError.forbidden(
              "Invalid domain specific configuration: the body must hold the group \(group) and no other.")
          }
          try Self.check(config)
          try await database.write { [config] session in
            try existingDomain(domain, in: session)
            if let group { try present(domain, group, option, in: session) }
            try write(config, domain, in: session)
          }
          return try await shown(domain, nil, nil, .ok)
        },
        Endpoint(.delete, path + suffix, adminRule("delete_domain_config"), "delete \(what) of a domain") { request in
          let (domain, group, option) = try place(request)
          try await database.write { session in
            try existingDomain(domain, in: session)
            let gone = try DomainOptionStore.delete(domain: domain, group: group, name: option, in: session)
            guard gone > 0 else { throw Self.missing(domain, group, option) }
          }
          return .noContent
        },
      ]
    }
    return endpoints
  }

  // MARK: Checks

  private static func unsupported(_ what: String) -> APIError {
    .forbidden(
      "Invalid domain specific configuration: the \(what) is not supported for domain specific configurations.")
  }
  private static func missing(_ domain: String, _ group: String?, _ option: String?) -> APIError {
    let what = option.map { "option \($0) in group \(group ?? "")" } ?? group.map { "group \($0)" } ?? "any options"
    return .notFound("Could not find \(what) in domain configuration for domain \(domain).")
  }
  private func configObject(_ body: JSONObject) throws -> JSONObject {
    guard let config = body["config"]?.object, !config.isEmpty else {
      throw APIError.badRequest("'config' is a required property, an object that is not empty")
    }
    return config
  }
  private static func check(_ config: JSONObject) throws {
    for group in config {
      guard let options = known.first(where: { $0.group == group.key })?.options else {
        throw unsupported("group \(group.key)")
      }
      guard let values = group.value.object, !values.isEmpty else {
        throw APIError.badRequest("The group \(group.key) must be an object of options.")
      }
      for option in values {
        guard options.contains(option.key) || secrets[group.key]?.contains(option.key) == true else {
          throw unsupported("option \(option.key) in group \(group.key)")
        }
        guard option.value.description.utf8.count <= 4096 else {
          throw APIError.badRequest("The option \(option.key) is longer than 4 KiB.")
        }
      }
    }
  }
  private func existingDomain(_ id: String, in session: any Session) throws {
    guard try ProjectStore.get(id, in: session)?.isDomain == true else { throw APIError.missing("domain", id) }
  }
  private func present(_ domain: String, _ group: String, _ option: String?, in session: any Session) throws {
    let isThere = try DomainOptionStore.list(domain: domain, in: session).contains { item in
      item.group == group && (option == nil || item.name == option)
    }
    guard isThere || option.map({ Self.secrets[group]?.contains($0) == true }) ?? false else {
      throw Self.missing(domain, group, option)
    }
  }
  private func write(_ config: JSONObject, _ domain: String, in session: any Session) throws {
    for group in config {
      for option in group.value.object ?? [:] {
        let isSecret = Self.secrets[group.key]?.contains(option.key) == true
        try DomainOptionStore.set(
          option.value, domain: domain, group: group.key, name: option.key, box: isSecret ? database.secrets : nil,
          in: session)
      }
    }
  }

  // MARK: Answers

  private func shown(
    _ domain: String, _ group: String?, _ option: String?, _ status: HTTPResponse.Status
  ) async throws -> APIResponse {
    let items = try await database.read { session in
      try existingDomain(domain, in: session)
      return try DomainOptionStore.list(domain: domain, in: session)
    }
    if let group, !Self.known.contains(where: { $0.group == group }) { throw Self.unsupported("group \(group)") }
    var config: JSONObject = [:]
    for item in items where group == nil || item.group == group {
      if option != nil && option != item.name { continue }
      var values = config[item.group]?.object ?? [:]
      values[item.name] = item.value
      config[item.group] = .object(values)
    }
    guard !config.isEmpty else { throw Self.missing(domain, group, option) }
    if let group, let option, let value = config[group]?[option] { config = [option: value] }
    return APIResponse(status, json: ["config": .object(config)])
  }
  private func complianceAnswer(_ domain: String, _ option: String?, _ actor: Actor) async throws -> APIResponse {
    let isDomain = try await database.read { try visibleProject(domain, actor, in: $0, noun: "domain").isDomain }
    guard isDomain else { throw APIError.missing("domain", domain) }
    let rules: JSONObject = [
      "password_regex": JSON(passwordRules.pattern),
      "password_regex_description": JSON(passwordRules.patternDescription),
    ]
    guard let option else { return APIResponse(json: ["config": .object([Self.compliance: .object(rules)])]) }
    guard let value = rules[option] else { throw Self.unsupported("option \(option)") }
    return APIResponse(json: ["config": .object([option: value])])
  }
}
