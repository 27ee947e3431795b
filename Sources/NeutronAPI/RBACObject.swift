import APISupport
import Domain
import Store
import Wire

/// What an RBAC policy is on.
enum RBACObject {
  case network(Network)
  case subnetPool(SubnetPool)
  case addressScope(AddressScope)
  case securityGroup(SecurityGroup)

  /// - Throws: 404 in the words of its kind when the caller does not see it.
  static func find(
    _ type: RBACPolicy.ObjectType, _ id: String, _ actor: Actor, _ session: any Session
  ) throws -> RBACObject {
    switch type {
    case .network: .network(try Lookup.network(id, actor, session))
    case .subnetPool: .subnetPool(try Lookup.subnetPool(id, actor, session))
    case .addressScope: .addressScope(try Lookup.addressScope(id, actor, session))
    case .securityGroup: .securityGroup(try Lookup.securityGroup(id, actor, session))
    }
  }

  /// Whatever the caller sees; nil when there is no such object.
  static func of(_ policy: RBACPolicy, in session: any Session) throws -> RBACObject? {
    switch policy.objectType {
    case .network: try NetworkStore.get(policy.objectID, in: session).map { .network($0) }
    case .subnetPool: try SubnetPoolStore.get(policy.objectID, in: session).map { .subnetPool($0) }
    case .addressScope: try AddressScopeStore.get(policy.objectID, in: session).map { .addressScope($0) }
    case .securityGroup: try SecurityGroupStore.get(policy.objectID, in: session).map { .securityGroup($0) }
    }
  }

  var id: String {
    switch self {
    case .network(let network): network.id
    case .subnetPool(let pool): pool.id
    case .addressScope(let scope): scope.id
    case .securityGroup(let group): group.id
    }
  }
  var projectID: String {
    switch self {
    case .network(let network): network.projectID
    case .subnetPool(let pool): pool.projectID
    case .addressScope(let scope): scope.projectID
    case .securityGroup(let group): group.projectID
    }
  }
  private func sharing(_ action: RBACPolicy.Action) -> Sharing {
    switch (self, action) {
    case (.network(let network), .shared): network.sharing
    case (.network(let network), .external): network.externalAccess
    case (.subnetPool(let pool), _): pool.sharing
    case (.addressScope(let scope), _): scope.sharing
    case (.securityGroup(let group), _): group.sharing
    }
  }

  /// Refuses a change that takes the object from a project that uses it.
  /// - Parameter next: nil when the policy goes.
  /// - Throws: 409 `RbacPolicyInUse`.
  func requireNobodyLoses(_ policy: RBACPolicy, next: String?, in session: any Session) throws {
    let before = sharing(policy.action)
    var after = before.without(policy.target)
    if let next { after.insert(next) }
    if let why = try reason(policy, before, after, in: session) {
      throw APIError.conflict(
        "RBAC policy on object \(id) cannot be removed because other objects depend on it.\nDetails: \(why)",
        type: "RbacPolicyInUse")
    }
  }
  private func reason(
    _ policy: RBACPolicy, _ before: Sharing, _ after: Sharing, in session: any Session
  ) throws -> String? {
    var users: Set<String>
    switch (self, policy.action) {
    case (.network(let network), .shared):
      return try network.isUsed(byThoseWhoLose: after, in: session) ? Network.sharingInUse(network.id) : nil
    case (.network(let network), .external):
      if network.isDefault && before.isWithEveryone && !after.isWithEveryone {
        return "Default external networks must be shared to everyone."
      }
      // Routers and floating IPs of those who have the network by being shared too stay.
      users = try RouterStore.projects(external: network.id, in: session).filter { !network.sharing.reaches($0) }
    case (.subnetPool(let pool), _):
      users = Set(try SubnetStore.allocations(pool: pool.id, in: session).map { $0.projectID })
    case (.addressScope(let scope), _):
      users = Set(try SubnetPoolStore.list(scope: scope.id, in: session).map(\.projectID))
    case (.securityGroup(let group), _):
      users = try SecurityGroupStore.projects(using: group.id, in: session)
    }
    users.remove(projectID)
    return before.losers(after, of: users).isEmpty ? nil : "project_id=\(policy.target)"
  }

  /// Who gets a subnet pool needs its address scope too.
  /// - Throws: 400 `RbacPolicyInitError`.
  func requireUsable(by target: String, in session: any Session) throws {
    guard case .subnetPool(let pool) = self, let id = pool.addressScopeID,
      let scope = try AddressScopeStore.get(id, in: session), scope.projectID != target
    else { return }
    guard scope.sharing.isWithEveryone || scope.sharing.projects.contains(target) else {
      throw APIError(
        .badRequest,
        "Failed to create RBAC policy on object \(pool.id) because target project doesn't have access to associated "
          + "address scope.", type: "RbacPolicyInitError")
    }
  }

  /// A policy of `action` was made, changed or removed: counts as a change of the object, and a network leads outside as
  /// long as it is somebody's external network.
  func follow(_ action: RBACPolicy.Action, at now: Timestamp, in session: any Session) throws {
    switch self {
    case .network(let network):
      guard var changed = try NetworkStore.get(network.id, in: session) else { return }
      if action == .external { changed.isExternal = changed.externalAccess != Sharing() }
      try NetworkStore.update(&changed, at: now, in: session)
    case .subnetPool(let pool):
      guard var changed = try SubnetPoolStore.get(pool.id, in: session) else { return }
      try SubnetPoolStore.update(&changed, at: now, in: session)
    case .addressScope: break
    case .securityGroup(let group):
      guard var changed = try SecurityGroupStore.get(group.id, in: session) else { return }
      try SecurityGroupStore.update(&changed, at: now, in: session)
    }
  }
}

extension Network {
  /// Whether a project has ports on the network that it would not have if the network were shared by `next`.
  func isUsed(byThoseWhoLose next: Sharing, in session: any Session) throws -> Bool {
    var users = try NetworkPortStore.projects(network: id, in: session)
    users.remove(projectID)
    return !sharing.losers(next, of: users).isEmpty
  }
  static func sharingInUse(_ id: String) -> String {
    "Unable to reconfigure sharing settings for network \(id). Multiple projects are using it."
  }

  /// Makes the policies with everyone follow what `shared` and `router:external` of the network were set to.
  func makePolicies(at now: Timestamp, in session: any Session) throws {
    let everyone = RBACPolicy.everyone
    for (action, sharing) in [(RBACPolicy.Action.shared, sharing), (.external, externalAccess)] {
      if action == .external && !isExternal {
        try RBACPolicyStore.deleteAll(of: id, action: action, in: session)
        continue
      }
      // Made anew only when it is not there: policies keep their ids.
      try RBACPolicyStore.ensure(
        RBACPolicy(
          projectID: projectID, objectType: .network, objectID: id, action: action, target: everyone, createdAt: now),
        is: sharing.isWithEveryone, in: session)
    }
  }
}
