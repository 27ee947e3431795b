import APISupport
import Conductor
import Domain
import HTTPTypes
import Store
import Wire

/// The compute service: Nova's API v2.1 for servers that are whole machines. Source: Nova API reference, v2.1.
public struct NovaAPI: Sendable {
  /// Limits per project where the administrator has set none; -1 is no limit. Machines are limited by leases already.
  public struct Quotas: Sendable {
    public var instances = -1
    public var cores = -1
    /// MiB.
    public var ram = -1
    public var keypairs = 100
    public var metadataItems = 128
    public var serverGroups = 10
    public var serverGroupMembers = 10
    public init() {}
  }
  let database: Database
  let conductor: Conductor
  let networks: any ServerNetworks
  /// Nil where the site keeps no volumes.
  let volumes: (any ServerVolumes)?
  /// Nil where no images are made of servers.
  let images: (any ImageCatalog)?
  let quotas: Quotas
  /// Where console tokens are taken: "ws://host:port"; nil without a proxy.
  let consoleURL: String?

  public init(
    database: Database, conductor: Conductor, networks: any ServerNetworks, volumes: (any ServerVolumes)? = nil,
    images: (any ImageCatalog)? = nil,
    quotas: Quotas = Quotas(), consoleURL: String? = nil
  ) {
    self.database = database
    self.conductor = conductor
    self.networks = networks
    self.volumes = volumes
    self.images = images
    self.quotas = quotas
    self.consoleURL = consoleURL
  }

  private static let computeRequestID = HTTPField.Name(known: "X-Compute-Request-Id")
  public var service: Service {
    Service(
      name: "nova", type: "compute", prefix: "/compute", catalogSuffix: "/v2.1", errorShape: .compute,
      decorate: { request in
        var headers = try Microversion.decorate(request)
        headers[Self.computeRequestID] = request.requestID
        return headers
      },
      endpoints: VersionRoutes().endpoints + FlavorRoutes(nova: self).endpoints
        + FlavorSpecRoutes(nova: self).endpoints + KeypairRoutes(nova: self).endpoints
        + ServerRoutes(nova: self).endpoints + ServerActionRoutes(nova: self).endpoints
        + ServerMetadataRoutes(nova: self).endpoints + ServerInterfaceRoutes(nova: self).endpoints
        + InstanceActionRoutes(nova: self).endpoints + ServerGroupRoutes(nova: self).endpoints
        + ZoneRoutes(nova: self).endpoints + LimitRoutes(nova: self).endpoints
        + RemoteConsoleRoutes(nova: self).endpoints + VolumeAttachmentRoutes(nova: self).endpoints
        + OldRoutes(nova: self).endpoints + ImageMetadataRoutes(nova: self).endpoints)
  }

  func requireVolumes() throws -> any ServerVolumes {
    guard let volumes else { throw APIError.conflict("This site keeps no volumes: ask the administrator.") }
    return volumes
  }
  func microversion(_ request: APIRequest) throws -> Microversion { try Microversion(request.headers) }
}

extension EndpointRule {
  /// Members of a project, with their own project's servers; what they may touch is ``ComputePolicy``.
  static func member(_ name: String) -> EndpointRule {
    EndpointRule("compute:\(name)", "a member, with their own project's servers") { ComputePolicy.isMember($0) }
  }
  /// Anyone with a project, or who reads the whole site; the handler narrows.
  static func reader(_ name: String) -> EndpointRule {
    EndpointRule("compute:\(name)", "anyone with a project") { $0.projectID != nil || $0.isSiteReader }
  }
}

/// A server that the caller may see, or 404.
enum Lookup {
  static func server(_ id: String, _ actor: Actor, _ session: any Session) throws -> ServerRow {
    guard let row = try ServerStore.get(id, in: session), row.server.deletedAt == nil,
      ComputePolicy.sees(row.server, actor)
    else { throw APIError.serverNotFound(id) }
    return row
  }
  /// - Throws: 403 for one that the caller sees and may not change, 409 for one that is locked.
  static func changeable(
    _ id: String, _ actor: Actor, _ session: any Session, evenLocked: Bool = false
  ) throws -> ServerRow {
    let row = try server(id, actor, session)
    guard ComputePolicy.mayChange(row.server, actor) else {
      throw APIError.forbidden("Policy doesn't allow this to be performed.")
    }
    if row.server.lock != nil, !evenLocked, !actor.isSiteAdmin {
      throw APIError.conflict("Instance \(id) is locked")
    }
    return row
  }
}

extension APIError {
  static func serverNotFound(_ id: String) -> APIError { .notFound("Instance \(id.prefix(80)) could not be found.") }
  static func flavorNotFound(_ id: String) -> APIError { .notFound("Flavor \(id.prefix(80)) could not be found.") }
  /// What another service's checks said, in this one's words.
  func asCompute() -> APIError {
    // Nova has no 404 for what a request names in its body, and says 403 where a quota is full.
    APIError(status == .notFound ? .badRequest : status == .contentTooLarge ? .forbidden : status, message)
  }
}

/// Runs what another service checks.
func translating<T>(_ body: () throws -> T) throws -> T {
  do { return try body() } catch let error as APIError { throw error.asCompute() }
}
