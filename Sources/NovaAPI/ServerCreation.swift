import APISupport
import Conductor
import Domain
import Store
import Wire

/// Makes the servers of one request, in one transaction: all of them or none.
struct ServerCreation: Sendable {
  let nova: NovaAPI
  let request: APIRequest
  let actor: Actor
  let draft: ServerDraft

  func run(in session: any Session) throws -> [Server] {
    let project = actor.projectID ?? ""
    let flavor = try flavor(in: session)
    let image = try image(flavor, in: session)
    // An image of a server that booted from a volume is no content but what volumes to make.
    let made = try image.flatMap { try ServerImages.volumes(of: $0, nova.microversion(request)) }
    let volumes = (made ?? []) + draft.volumes
    let imageID = made == nil ? image?.id : nil
    guard imageID != nil || volumes.count(where: \.isBoot) == 1 else { throw BlockDevices.wrongOrder }
    for order in volumes { try nova.requireVolumes().check(order, for: actor, in: session) }
    let key = try keypair(in: session)
    let hints = try Hints(draft.hints, actor, request.now, in: session)
    try requireQuota(project, flavor, hints, in: session)
    var demands = flavor.demands
    demands.node = draft.node
    // Nothing is written on the machine's own disk.
    if imageID == nil || image?.isStateless == true { demands.disk = 0 }
    demands.until = try hints.until ?? Self.time(draft.metadata["lease_until"], "metadata lease_until")
    var servers: [Server] = []
    // Those beyond the least that is wanted are made as far as there are machines.
    for index in 0..<draft.counts.upperBound {
      var server = Server(
        projectID: project, userID: actor.userID,
        name: draft.counts.upperBound > 1 ? "\(draft.name)-\(index + 1)" : draft.name, flavor: flavor.snapshot,
        createdAt: request.now)
      if let first = servers.first { server.reservationID = first.reservationID }
      server.launchIndex = index
      server.imageID = imageID
      server.hasConfigDrive = imageID != nil
      server.description = draft.description
      if let hostname = draft.hostname {
        server.hostname = draft.counts.upperBound > 1 ? "\(hostname)-\(index + 1)" : hostname
      }
      server.keyName = draft.keyName
      server.publicKey = key?.publicKey
      server.metadata = draft.metadata
      server.tags = draft.tags
      server.userData = draft.userData
      server.accessIPv4 = draft.accessIPv4
      server.accessIPv6 = draft.accessIPv6
      server.pinnedZone = draft.zone
      server.schedulerHints = draft.hints
      server.groupID = hints.group?.id
      if let group = hints.group {
        demands.isSpreadStrict = group.policy == .antiAffinity
        demands.chassisInUse = try group.crowdedChassis(in: session)
      }
      let ports = try ports(in: session)
      var order = Conductor.ServerOrder(server, demands: demands, ports: ports, isSiteAdmins: actor.isSiteAdmin)
      order.volumes = volumes
      order.makeVolume = { [nova, actor, requestID = request.requestID, now = request.now] volume, session in
        try translating {
          try nova.requireVolumes().makeVolume(volume, for: actor, requestID: requestID, at: now, in: session)
        }
      }
      let made = try nova.conductor.createServer(
        order,
        by: Requester(actor, requestID: request.requestID), in: session)
      if made.nodeUUID == nil, index >= draft.counts.lowerBound {
        // There is no machine for more: the extra one never was.
        try ServerStore.delete(made.id, in: session)
        break
      }
      servers.append(made)
    }
    return servers
  }

  private func flavor(in session: any Session) throws -> Flavor {
    guard let flavor = try FlavorStore.get(draft.flavorRef, in: session), ComputePolicy.sees(flavor, actor) else {
      throw APIError.badRequest("Invalid flavorRef provided.")
    }
    return flavor
  }
  private func image(_ flavor: Flavor, in session: any Session) throws -> Image? {
    guard let id = draft.imageRef else { return nil }
    guard let image = try ImageStore.get(id, seenBy: actor, in: session) else {
      throw APIError.badRequest("Image \(id) could not be found.")
    }
    guard image.status == .active else { throw APIError.badRequest("Image \(id) is not active.") }
    try requireParts(of: image, actor, in: session)
    if image.minRAM > flavor.memory {
      throw APIError.badRequest("Flavor's memory is too small for requested image: \(image.minRAM) MiB are needed.")
    }
    if flavor.disk > 0, image.minDisk > flavor.disk {
      throw APIError.badRequest("Flavor's disk is too small for requested image: \(image.minDisk) GiB are needed.")
    }
    return image
  }
  private func keypair(in session: any Session) throws -> Keypair? {
    guard let name = draft.keyName else { return nil }
    guard let key = try KeypairStore.get(name, user: actor.userID, in: session) else {
      throw APIError.badRequest("Invalid key_name provided.")
    }
    return key
  }
  private func requireQuota(_ project: String, _ flavor: Flavor, _ hints: Hints, in session: any Session) throws {
    let limits = try ComputeQuotaStore.limits(project: project, in: session)
    let used = try ServerStore.usage(project: project, in: session)
    let count = draft.counts.lowerBound
    for (name, has, more, limit) in [
      ("instances", used.servers, count, limits["instances"] ?? nova.quotas.instances),
      ("cores", used.vcpus, count * flavor.vcpus, limits["cores"] ?? nova.quotas.cores),
      ("ram", used.memory, count * flavor.memory, limits["ram"] ?? nova.quotas.ram),
    ] where limit >= 0 && has + more > limit {
      throw APIError.forbidden(
        "Quota exceeded for \(name): Requested \(more), but already used \(has) of \(limit) \(name)")
    }
    if let group = hints.group, nova.quotas.serverGroupMembers >= 0,
      group.members.count + count > limits["server_group_members"] ?? nova.quotas.serverGroupMembers
    {
      throw APIError.forbidden("Quota exceeded, too many servers in group")
    }
  }

  /// The network ports of one server, those made that it makes.
  private func ports(in session: any Session) throws -> [ServerPort] {
    let places: [ServerDraft.Place]
    switch draft.networks {
    case .none: return []
    case .auto:
      let own = try nova.networks.ownNetworks(actor, in: session)
      guard own.count <= 1 else {
        throw APIError.conflict("Multiple possible networks found, use a Network ID to be more specific.")
      }
      places = own.map { ServerDraft.Place(networkID: $0.id) }
    case .list(let asked): places = asked
    }
    return try places.map { place in
      if let id = place.portID {
        let port = try translating { try nova.networks.port(id, for: actor, in: session) }
        guard port.projectID == actor.projectID || actor.isSiteAdmin else {
          throw APIError.badRequest("Port \(id) could not be found.")
        }
        guard port.deviceID.isEmpty, !port.isBound else { throw APIError.conflict("Port \(id) is still in use.") }
        return ServerPort(id, isMade: false, tag: place.tag)
      }
      let port = try translating {
        try nova.networks.makePort(
          PortOrder(
            networkID: place.networkID ?? "", fixedIP: place.fixedIP, securityGroups: draft.securityGroups),
          for: actor, at: request.now, in: session)
      }
      return ServerPort(port.id, isMade: true, tag: place.tag)
    }
  }

  static func time(_ value: JSON?, _ what: String) throws -> Timestamp? {
    guard let value, !value.isNull else { return nil }
    guard let text = value.string, let time = Timestamp(parsing: text) else {
      throw APIError.badRequest("\(what) is not a time like 2026-12-31T12:00:00.")
    }
    return time
  }

  /// What scheduler hints mean here.
  struct Hints: Sendable {
    var group: ServerGroup?
    var until: Timestamp?

    init(_ hints: JSONObject, _ actor: Actor, _ now: Timestamp, in session: any Session) throws {
      if let value = hints["group"], !value.isNull {
        guard let id = value.string, let found = try ServerGroupStore.get(id, in: session),
          ComputePolicy.sees(found, actor)
        else { throw APIError.badRequest("The group of the scheduler hint could not be found.") }
        group = found
      }
      until = try ServerCreation.time(hints["lease_until"], "The scheduler hint lease_until")
    }
  }
}

extension ServerGroup {
  /// Chassis that have as many servers of the group as they may.
  func crowdedChassis(in session: any Session) throws -> Set<String> {
    let counts = try ServerGroupStore.chassis(group: id, in: session).reduce(into: [:]) {
      $0[$1, default: 0] += 1
    }
    return Set(counts.filter { $0.value >= mostPerChassis ?? 1 }.keys)
  }
}
