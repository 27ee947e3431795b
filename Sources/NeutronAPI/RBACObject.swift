import APISupport
import Domain
import Store
import Wire

/// What an RBAC policy is on.
enum RBACObject {
  case network(Network)

  /// - Throws: 404 in the words of its kind when the caller does not see it.
  static func find(
    _ type: RBACPolicy.ObjectType, _ id: String, _ actor: Actor, _ session: any Session
  ) throws -> RBACObject {
    switch type {
    case .network: .network(try Lookup.network(id, actor, session))
    }
  }

  /// Whatever the caller sees; nil when there is no such object.
  static func of(_ policy: RBACPolicy, in session: any Session) throws -> RBACObject? {
    switch policy.objectType {
    case .network: try NetworkStore.get(policy.objectID, in: session).map { .network($0) }
    }
  }

  var id: String {
    switch self {
    case .network(let network): network.id
    }
  }
  var projectID: String {
    switch self {
    case .network(let network): network.projectID
    }
  }
  private func sharing(_ action: RBACPolicy.Action) -> Sharing {
    switch (self, action) {
    case (.network(let network), .shared): network.sharing
    case (.network(let network), .external): network.externalAccess
    }
  }

  /// Refuses a change that takes the object from a project that uses it.
  /// - Parameter next: nil when the policy goes.
  /// - Throws: 409 `RbacPolicyInUse`.
  func requireNobodyLoses(_ policy: RBACPolicy, next: String?, in session: any Session) throws {
    let before = sharing(policy.action)
    var after = before.without(policy.target)
    if let next { after.insert(next) }
    if let why = try reason(policy.action, before, after, in: session) {
      throw APIError.conflict(
        "RBAC policy on object \(id) cannot be removed because other objects depend on it.\nDetails: \(why)",
        type: "RbacPolicyInUse")
    }
  }
  private func reason(
    _ action: RBACPolicy.Action, _ before: Sharing, _ after: Sharing, in session: any Session
  ) throws -> String? {
    switch (self, action) {
    case (.network(let network), .shared):
      return try network.isUsed(byThoseWhoLose: after, in: session) ? Network.sharingInUse(network.id) : nil
    case (.network(let network), .external):
      // Nothing but seeing depends on it while there are no routers.
      return network.isDefault && before.isWithEveryone && !after.isWithEveryone
        ? "Default external networks must be shared to everyone." : nil
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
