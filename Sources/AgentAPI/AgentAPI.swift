import APISupport
import BlockMaps
import Conductor
import Domain
import HTTPTypes
import NIOCore
import NIOPosix
import Store
import Wire

/// What a NIC that asks for its boot script is to do: run the agent with this one-time token.
public struct AgentBoot: Sendable, Equatable {
  /// 43 base64url characters, used up by the first claim.
  public var token: String
  public var mac: MACAddress
  public init(token: String, mac: MACAddress) {
    self.token = token
    self.mac = mac
  }
}

/// The provisioning listener: boot scripts, ramdisk files and the agent's calls (docs/agent-protocol.md).
///
/// It is served on its own socket, bound to the provisioning network's address, and is in no catalog. No endpoint takes an
/// OpenStack token: the agent's own session decides, and a session reaches one node's commands and files only.
public struct AgentAPI: Sendable {
  public struct Settings: Sendable {
    /// Paths of the ramdisk's kernel and initrd.
    public var kernel: String
    public var initrd: String
    /// Where agents' logs are kept, one file per node: "<data folder>/logs/agent".
    public var logFolder: String
    public init(kernel: String, initrd: String, logFolder: String) {
      self.kernel = kernel
      self.initrd = initrd
      self.logFolder = logFolder
    }
  }
  let conductor: Conductor
  let settings: Settings
  /// Builds the iPXE script; nil boots the local disk.
  let bootScript: @Sendable (AgentBoot?) -> String
  /// The iPXE script that every admitted NIC starts with.
  let startScript: String
  /// Reads files and writes logs: neither may block the cooperative pool.
  let threads: NIOThreadPool

  /// - Parameter bootScript: the typed builder of `BootServices`, which a facade cannot see.
  public init(
    conductor: Conductor, settings: Settings, startScript: String = "#!ipxe\nexit 1\n",
    bootScript: @escaping @Sendable (AgentBoot?) -> String,
    threads: NIOThreadPool = .singleton
  ) {
    self.conductor = conductor
    self.settings = settings
    self.startScript = startScript
    self.bootScript = bootScript
    self.threads = threads
  }

  public var service: Service {
    Service(
      name: "agent", type: "agent", prefix: "", errorShape: .plain, isInCatalog: false,
      endpoints: bootEndpoints + callEndpoints + captureEndpoints + diskBackupEndpoints)
  }

  private var bootEndpoints: [Endpoint] {
    [
      Endpoint(.get, "/boot/ipxe", .open, "The boot script of a NIC") { request in
        var boot: AgentBoot?
        if let mac = request.query["mac"].flatMap({ MACAddress($0) }) {
          if let found = try await conductor.bootRequest(mac: mac) {
            boot = AgentBoot(token: found.token, mac: mac)
          } else if let token = try await conductor.discoveryOffer(mac: mac) {
            boot = AgentBoot(token: token, mac: mac)
          }
        }
        var answer = APIResponse(.ok, text: bootScript(boot), contentType: "text/plain")
        // A cache on the way would hand the token out again.
        answer.headers[.cacheControl] = "no-store"
        return answer
      },
      // What DHCP names: it asks again with the NIC's address, which only iPXE itself knows.
      Endpoint(.get, "/boot/start.ipxe", .open, "The script that asks for a NIC's boot script") { _ in
        APIResponse(.ok, text: startScript, contentType: "text/plain")
      },
      Endpoint(.get, "/boot/snponly.efi", .open, "iPXE for UEFI's own HTTP boot") {
        try await send("/usr/lib/ipxe/snponly.efi", $0, "snponly.efi")
      },
      Endpoint(.get, "/boot/kernel", .open, "The ramdisk's kernel") { try await send(settings.kernel, $0, "kernel") },
      Endpoint(.get, "/boot/initrd", .open, "The ramdisk's file system") {
        try await send(settings.initrd, $0, "initrd")
      },
    ]
  }
  private func send(_ path: String, _ request: APIRequest, _ what: String) async throws -> APIResponse {
    guard let file = try await ServedFile.open(path, isSites: true, on: threads) else {
      throw APIError.notFound(
        "The ramdisk's \(what) is not there: build it, and check boot.\(what) in the configuration.")
    }
    return try file.answer(request)
  }

  // MARK: The agent's calls

  private var callEndpoints: [Endpoint] {
    [
      Endpoint(.post, "/agent/v1/claim", .open, "The agent's first call") { try await claim($0) },
      Endpoint(.get, "/agent/v1/command", .open, "The next command, waiting for one") { try await command($0) },
      Endpoint(.post, "/agent/v1/progress", .open, "How far a command is") { try await progress($0) },
      Endpoint(.post, "/agent/v1/result", .open, "What came of a command") { try await result($0) },
      Endpoint(.get, "/agent/v1/image/{image}/map", .open, "The map of the image to write") { request in
        try await file(request, .map(id: try request.parameter("image")))
      },
      Endpoint(.post, "/agent/v1/image/{image}/blocks", .open, "Blocks of the image to write") { try await blocks($0) },
      Endpoint(.get, "/agent/v1/config-drive/{workflow}", .open, "The config drive to write") { request in
        try await file(request, .configDrive(workflow: try request.parameter("workflow")))
      },
      Endpoint(.get, "/agent/v1/rescue/{workflow}", .open, "The rescue system") { request in
        try await file(request, .rescueSystem(workflow: try request.parameter("workflow")))
      },
      Endpoint(.post, "/agent/v1/log", .open, "The ramdisk's log") { request in
        let (node, _) = try await holder(request)
        try await AgentLogFile.keep(
          try await request.body(limit: 1 << 20), node: node, in: settings.logFolder, on: threads)
        return .noContent
      },
    ]
  }

  /// The node and workflow of the caller's session.
  /// - Throws: 401 when it is over, or none.
  func holder(_ request: APIRequest) async throws -> (node: String, workflow: String) {
    guard let header = request.headers[.authorization], header.hasPrefix("Bearer "), header.utf8.count <= 512,
      let holder = try await conductor.agentHolder(session: String(header.dropFirst("Bearer ".count)))
    else { throw APIError(.unauthorized, "The session is over.") }
    return holder
  }

  private func claim(_ request: APIRequest) async throws -> APIResponse {
    let body = try await request.object(limit: 1 << 20)
    // One answer for every reason: who guesses learns nothing.
    let refusal = APIError.forbidden("No machine waits for this claim.")
    guard let token = body["token"]?.string, token.utf8.count <= 128, let text = body["mac"]?.string,
      let mac = MACAddress(text),
      let secret = body["secret"]?.string, (32...128).contains(secret.utf8.count)
    else { throw refusal }
    if let complaint = try await conductor.agentComplaint(version: body["version"]?.int ?? 0, token: token, mac: mac) {
      throw APIError.forbidden(complaint)
    }
    let inventory = try AgentInventory.checked(body["inventory"] ?? .emptyObject)
    var claimed = try await conductor.agentClaim(token: token, mac: mac, secret: secret, inventory: inventory)
    if claimed == nil {
      claimed = try await conductor.discoveryClaim(token: token, mac: mac, secret: secret, inventory: inventory)
    }
    guard let claimed else { throw refusal }
    return APIResponse(
      json: ["node": .string(claimed.node), "session": .string(claimed.session), "heartbeat_seconds": 10])
  }

  /// GET /agent/v1/command?wait=25 → 200 the command, or 204 after the wait.
  private func command(_ request: APIRequest) async throws -> APIResponse {
    let (node, workflow) = try await holder(request)
    let wait = min(max(try request.query.int("wait") ?? 0, 0), 30)
    do {
      guard let command = try await conductor.agentCommand(node: node, workflow: workflow, limit: .seconds(wait)) else {
        return .noContent
      }
      return APIResponse(
        json: ["id": .string(command.id), "kind": .string(command.kind), "parameters": .object(command.parameters)])
    } catch let error as ConductorError where error.code == .notFound {
      throw APIError(.unauthorized, "The session is over.")
    }
  }

  private func progress(_ request: APIRequest) async throws -> APIResponse {
    let (node, _) = try await holder(request)
    let body = try await request.object(limit: 16 << 10)
    let remaining = body["remaining_seconds"]?.int.map { min(max($0, 0), 30 * 86_400) }
    let message = body["message"]?.string.map { AgentInventory.printable($0, limit: 500) }
    let place = body["erased"]
    var erased: EraseProgressStore.Place?
    if let disk = place?["disk"]?.string, let size = place?["size_bytes"]?.int, let done = place?["done_bytes"]?.int,
      disk.utf8.count <= 255, size > 0, (0...size).contains(done)
    {
      erased = EraseProgressStore.Place(disk: disk, size: size, done: done)
    }
    _ = try await conductor.agentProgress(
      id: try commandID(body), node: node, percent: body["percent"]?.int ?? 0, message: message, remaining: remaining,
      erased: erased)
    return .noContent
  }
  private func commandID(_ body: JSONObject) throws -> String {
    guard let id = body["id"]?.string, id.utf8.count <= 256 else { throw APIError.badRequest("id is missing.") }
    return id
  }

  private func result(_ request: APIRequest) async throws -> APIResponse {
    let (node, _) = try await holder(request)
    let body = try await request.object(limit: 2 << 20)
    let id = try commandID(body)
    var output = body["output"]?.object ?? [:]
    if let inventory = output["inventory"] { output["inventory"] = try AgentInventory.checked(inventory) }
    if let neighbors = output["neighbors"] { output["neighbors"] = try AgentInventory.checkedNeighbors(neighbors) }
    guard JSON.object(output).description.utf8.count <= 512 << 10 else {
      throw APIError.badRequest("The output is too large.")
    }
    let isGood = body["ok"]?.bool == true
    let error =
      isGood
      ? nil : AgentInventory.printable(body["error"]?.string ?? "The agent failed and did not say why.", limit: 2000)
    guard try await conductor.agentResult(id: id, node: node, error: error, output: output) else {
      throw APIError.notFound("There is no such command for this machine.")
    }
    if !isGood, let log = body["log"]?.string {
      try await AgentLogFile.keep(Array(log.utf8.prefix(1 << 20)), node: node, in: settings.logFolder, on: threads)
    }
    return .noContent
  }

  /// A file for an agent, only to the machine whose running workflow wants just that.
  private func open(_ request: APIRequest, _ name: AgentFile) async throws -> ServedFile {
    let (node, workflow) = try await holder(request)
    guard let path = try await conductor.agentFile(name, node: node, workflow: workflow) else {
      throw APIError.notFound("There is no such file for this machine.")
    }
    let isSites = if case .rescueSystem = name { true } else { false }
    guard let file = try await ServedFile.open(path, isSites: isSites, on: threads) else {
      throw APIError(.internalServerError, "The file is gone from the server's cache: deploy again.")
    }
    return file
  }

  private func file(_ request: APIRequest, _ name: AgentFile) async throws -> APIResponse {
    try await open(request, name).answer(request)
  }

  /// POST /agent/v1/image/X/blocks, ranges of blocks → 200 their frames.
  private func blocks(_ request: APIRequest) async throws -> APIResponse {
    let file = try await open(request, .blocks(id: try request.parameter("image")))
    return try await file.blocks(try await request.body(limit: BlockRanges.most * 8))
  }
}
