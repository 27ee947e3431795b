/// Who may see and change nodes, their ports and their allocations.
///
/// Four relations, in this order:
/// - the *site's administrator* (``Actor/isSiteAdmin``) does everything; a *site reader* sees everything;
/// - the *owner*: a token scoped to the project in `node.owner`. Sees the node whole, changes all of it but what decides
///   where the server's secrets go and whose machine it is (``siteFields``), and uses it;
/// - the *lessee*: a token scoped to the project in `node.lessee`, which a lease sets when it starts and unsets, in one
///   transaction, when it ends. Uses the machine (``Action/use``), deploys to it, writes ``lesseeFields``; `driver_info`,
///   `driver_internal_info`, the controller's address and the node's history, which tells of earlier tenants, are hidden;
/// - everybody else: the node does not exist (404), in lists neither.
///
/// Within a project the roles `reader` and less see; `member`, `manager`, `admin` and ESI's `owner` and `lessee` act.
/// A caller who sees and may not act is refused (403).
/// Source: design notes, compat-esi §2.3 and Ironic's default policy; differences: `driver_info` is the site's alone, because
/// pointing an address elsewhere would send the sealed password there.
public enum NodePolicy {
  public enum Relation: Sendable, Equatable { case administrator, siteReader, owner, lessee, stranger }

  /// What a caller wants to do with one node that they see.
  public enum Action: Sendable, Equatable {
    /// Power, boot device, console, VIFs, validation, maintenance.
    case use
    case provision(ProvisionVerb)
    /// Changes one top-level field.
    case update(field: String)
    case delete
    case setTraits
    case readHistory
    /// What the controller measures: the site's and the owner's business.
    case readSensors
    /// Makes, rewires and removes the node's ports.
    case wire
    /// Changes `extra` of the node's ports.
    case annotatePorts

    /// The name in messages: "baremetal:node:set_provision_state".
    public var name: String {
      switch self {
      case .use: "baremetal:node:use"
      case .provision(let verb): "baremetal:node:set_provision_state:\(verb.rawValue)"
      case .update(let field): "baremetal:node:update:\(field)"
      case .delete: "baremetal:node:delete"
      case .setTraits: "baremetal:node:traits:set"
      case .readHistory: "baremetal:node:history:get"
      case .readSensors: "baremetal:node:sensors:get"
      case .wire: "baremetal:port:update"
      case .annotatePorts: "baremetal:port:update:extra"
      }
    }
  }

  /// Fields that a lessee may change.
  public static let lesseeFields: Set<String> = ["instance_info", "extra"]
  /// Fields that only the site's administrator may change.
  public static let siteFields: Set<String> = [
    "owner", "driver", "driver_info", "conductor_group", "automated_clean", "network_data", "chassis_uuid",
    "network_interface", "shard", "parent_node",
  ]
  /// What a lessee may ask of the provision state.
  public static let lesseeVerbs: Set<ProvisionVerb> = [
    .active, .rebuild, .deleted, .undeploy, .abort, .rescue, .unrescue,
  ]

  public static func relation(_ actor: Actor, owner: String?, lessee: String?) -> Relation {
    if actor.isSiteAdmin { return .administrator }
    if let project = actor.projectID, !actor.roles.isEmpty {
      // The owner's own lease adds nothing: they have it all already.
      if project == owner { return .owner }
      if project == lessee { return .lessee }
    }
    return actor.isSiteReader ? .siteReader : .stranger
  }
  /// Whether a caller may read of the controller and other devices of the site: `driver_info`, addresses, what they said
  /// when something failed (``Reason/detail``).
  public static func seesSite(_ relation: Relation) -> Bool { relation != .lessee && relation != .stranger }
  public static func relation(_ actor: Actor, to node: Node) -> Relation {
    relation(actor, owner: node.owner, lessee: node.lessee)
  }
  public static func sees(_ node: Node, _ actor: Actor) -> Bool { relation(actor, to: node) != .stranger }

  /// May act, not only look, in the project of their token.
  public static func isMember(_ actor: Actor) -> Bool {
    actor.isSiteAdmin
      || (actor.projectID != nil
        && actor.hasAny(
          "member", "manager", "admin", "owner", "lessee", "esi_leap_admin", "esi_leap_owner", "esi_leap_lessee"))
  }

  public static func allows(_ action: Action, _ node: Node, _ actor: Actor) -> Bool {
    switch relation(actor, to: node) {
    case .administrator: return true
    case .siteReader: return action == .readHistory || action == .readSensors
    case .stranger: return false
    case .owner:
      if action == .readHistory || action == .readSensors { return true }
      guard isMember(actor) else { return false }
      switch action {
      case .update(let field): return !siteFields.contains(field)
      case .delete, .wire: return false
      default: return true
      }
    case .lessee:
      guard isMember(actor) else { return false }
      switch action {
      case .use, .annotatePorts: return true
      case .provision(let verb): return lesseeVerbs.contains(verb)
      case .update(let field): return lesseeFields.contains(field)
      case .delete, .setTraits, .readHistory, .readSensors, .wire: return false
      }
    }
  }

  /// What lists are narrowed to, before any other filter.
  public enum Scope: Sendable, Equatable {
    case everything
    /// Rows whose owner or lessee is this project.
    case project(String)
    case nothing
  }
  public static func scope(_ actor: Actor) -> Scope {
    if actor.isSiteReader { return .everything }
    return actor.projectID.map { .project($0) } ?? .nothing
  }

  // MARK: Allocations

  public static func sees(_ allocation: Allocation, _ actor: Actor) -> Bool {
    actor.isSiteReader || (actor.projectID != nil && allocation.owner == actor.projectID)
  }
  public static func mayChange(_ allocation: Allocation, _ actor: Actor) -> Bool {
    actor.isSiteAdmin || (sees(allocation, actor) && isMember(actor))
  }
  /// May be given to `actor` by an allocation: their leased node, or their own that nobody leases.
  public static func mayAllocate(_ node: Node, _ actor: Actor) -> Bool {
    if actor.isSiteAdmin { return true }
    guard let project = actor.projectID, isMember(actor) else { return false }
    return node.lessee == project || (node.owner == project && node.lessee == nil)
  }
}
