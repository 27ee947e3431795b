import APISupport
import Conductor
import Domain
import HTTPTypes
import Store
import Wire

extension IronicAPI {
  var nodeStateEndpoints: [Endpoint] {
    [
      Endpoint(.get, "/v1/nodes/{node}/states", Self.read, "Show a node's states") { try await showStates($0) },
      Endpoint(.put, "/v1/nodes/{node}/states/power", Self.act, "Change the power") { try await setPower($0) },
      Endpoint(.put, "/v1/nodes/{node}/states/provision", Self.act, "Change the provision state") {
        try await setProvision($0)
      },
      Endpoint(.get, "/v1/nodes/{node}/states/console", Self.act, "Show the console") { try await showConsole($0) },
      // The same by another path, which is upstream's too; a node cannot have the name "states".
      Endpoint(.get, "/v1/nodes/states/console/{node}", Self.act, "Show the console") { try await showConsole($0) },
      Endpoint(.put, "/v1/nodes/{node}/states/console", Self.act, "Open or close the console") {
        try await setConsole($0)
      },
      Endpoint(.put, "/v1/nodes/{node}/maintenance", Self.act, "Set maintenance") {
        try await setMaintenance($0, true)
      },
      Endpoint(.delete, "/v1/nodes/{node}/maintenance", Self.act, "Clear maintenance") {
        try await setMaintenance($0, false)
      },
      Endpoint(.get, "/v1/nodes/{node}/management/boot_device", Self.act, "Show the boot device") {
        try await showBootDevice($0)
      },
      Endpoint(.put, "/v1/nodes/{node}/management/boot_device", Self.act, "Set the boot device") {
        try await setBootDevice($0)
      },
      Endpoint(.get, "/v1/nodes/{node}/management/boot_device/supported", Self.act, "List boot devices") {
        let devices = try await controlling($0) { try await conductor.supportedBootDevices($0) }
        return APIResponse(json: ["supported_boot_devices": JSON(devices.map(\.rawValue))])
      },
    ]
  }

  /// GET /v1/nodes/{node}/states → 200.
  private func showStates(_ request: APIRequest) async throws -> APIResponse {
    let version = try Microversion(request.headers)
    let node = try await seen(request)
    let lastError = try node.lastError.map { told($0, node, try request.actor()) }
    var states: JSONObject = [
      "power_state": JSON(node.powerState?.rawValue), "target_power_state": JSON(node.targetPowerState?.rawValue),
      "provision_state": JSON(version.word(for: node.provisionState)),
      "target_provision_state": JSON(node.targetProvisionState),
      "provision_updated_at": JSON(node.provisionUpdatedAt?.iso8601WithOffset), "last_error": JSON(lastError),
      "console_enabled": .bool(node.consoleEnabled),
    ]
    if version.minor >= 12 {
      states["raid_config"] = .emptyObject
      states["target_raid_config"] = .object(node.targetRAIDConfig)
    }
    if version.minor >= 75 {
      states["boot_mode"] = JSON(node.bootMode?.rawValue)
      states["secure_boot"] = node.isSecureBoot.map { .bool($0) } ?? .null
    }
    return APIResponse(json: .object(states))
  }

  /// PUT /v1/nodes/{node}/states/power `{"target", "timeout"?}` → 202. A reboot is a new power-on.
  private func setPower(_ request: APIRequest) async throws -> APIResponse {
    let body = try await request.object()
    let version = try Microversion(request.headers)
    try FieldReading.refuseOthers(body, than: ["target", "timeout"], "power state")
    guard let word = body["target"]?.string, let target = PowerTarget(rawValue: word) else {
      throw APIError.badRequest(
        "Invalid state '\(body["target"]?.string?.prefix(40) ?? "")': the target is one of \(PowerTarget.allCases.map(\.rawValue).joined(separator: ", "))."
      )
    }
    if target == .softOff || target == .softReboot { try version.require(27, "the target \(word)") }
    var timeout: Int?
    if let value = body["timeout"], !value.isNull {
      try version.require(27, "timeout")
      guard let seconds = value.lenientInt, seconds >= 1, seconds <= 86_400 else {
        throw APIError.badRequest("timeout must be a number of seconds between 1 and 86400.")
      }
      timeout = seconds
    }
    let requester = try requester(request)
    return try await afterPowerChange(request) { [timeout] session in
      var node = try node(request, to: .use, in: session)
      try conductor.setPower(target, node: &node, timeout: timeout, by: requester, in: session)
      return .accepted
    }
  }

  /// Does a change; one that a change of the node's power is in the way of is done once that is over, if it is so within
  /// seconds. Scripts power machines on and go on as soon as they see the power; upstream waits as long for its lock.
  private func afterPowerChange(
    _ request: APIRequest, _ change: @escaping @Sendable (any Session) throws -> APIResponse
  ) async throws -> APIResponse {
    let limit = ContinuousClock.now + .seconds(3)
    var wasFree = false
    while true {
      do { return try await database.write(change) } catch let error as ConductorError where error.code == .conflict {
        let node = try await seen(request)
        // Free by now, or refused for another reason: one more try tells.
        let isFree = node.reservation == nil
        guard isFree ? !wasFree : node.targetPowerState != nil, ContinuousClock.now < limit else { throw error }
        wasFree = isFree
        try await Task.sleep(for: .milliseconds(25))
      }
    }
  }

  /// The version that brought each verb. Source: Ironic, `MIN_VERB_VERSIONS`.
  private static let verbs: [String: (verb: ProvisionVerb, since: Int)] = [
    "manage": (.manage, 4), "provide": (.provide, 4), "inspect": (.inspect, 6), "active": (.active, 1),
    "deploy": (.active, 73),
    "rebuild": (.rebuild, 1), "deleted": (.deleted, 1), "undeploy": (.deleted, 73), "adopt": (.adopt, 17),
    "abort": (.abort, 13),
    "clean": (.clean, 15), "rescue": (.rescue, 38), "unrescue": (.unrescue, 38), "unhold": (.unhold, 85),
  ]

  /// PUT /v1/nodes/{node}/states/provision `{"target", "configdrive"?, …}` → 202.
  ///
  /// Answers: 400 when the state does not allow the verb, 409 while another workflow holds the node.
  private func setProvision(_ request: APIRequest) async throws -> APIResponse {
    // A config drive may be large; upstream takes 64 MiB of it, here it must fit a small partition.
    let body = try await request.object(limit: 16 << 20)
    let version = try Microversion(request.headers)
    try FieldReading.refuseOthers(
      body,
      than: [
        "target", "configdrive", "clean_steps", "deploy_steps", "service_steps", "rescue_password", "disable_ramdisk",
        "runbook",
      ],
      "provision state")
    let word = body["target"]?.string ?? ""
    guard let (verb, since) = Self.verbs[word] else {
      throw APIError.badRequest(
        "The requested action \"\(word.prefix(40))\" is not supported: one of \(Self.verbs.keys.sorted().joined(separator: ", ")) is."
      )
    }
    try version.require(since, "the target \(word)")
    for steps in ["deploy_steps", "service_steps"] {
      guard let value = body[steps], !value.isNull else { continue }
      guard value.array?.isEmpty == true else {
        throw APIError.badRequest("\(steps) must be empty: this server chooses the steps itself.")
      }
    }
    if body["runbook"]?.isNull == false { throw APIError.badRequest("runbook is not supported.") }
    var parameters: JSONObject = [:]
    parameters["rescue_password"] = try rescuePassword(body["rescue_password"], verb).map { .string($0) }
    if let drive = body["configdrive"], !drive.isNull {
      guard verb == .active || verb == .rebuild else {
        throw APIError.badRequest("A configdrive goes with the targets active and rebuild only, not with \(word).")
      }
      if verb == .rebuild { try version.require(35, "a configdrive on rebuild") }
      parameters["configdrive"] = try configDrive(drive, version)
    }
    if let steps = body["clean_steps"], !steps.isNull {
      guard verb == .clean else {
        throw APIError.badRequest("\"clean_steps\" is only valid when setting target provision state to clean.")
      }
      parameters["clean_steps"] = steps
    }
    let requester = try requester(request)
    return try await afterPowerChange(request) { [parameters] session in
      let actor = try request.actor()
      var node = try node(request, to: .provision(verb), in: session)
      if [.deleted, .undeploy, .rebuild].contains(verb), node.isProtected {
        throw APIError.forbidden("Node \(node.uuid) is protected and cannot be undeployed, rebuilt or deleted")
      }
      if verb == .provide, node.isRetired {
        throw APIError.badRequest(
          "The providing operation can't be performed on node \(node.uuid) because it is retired.")
      }
      if verb == .active || verb == .rebuild { try requireImage(of: node, actor, in: session) }
      try conductor.provision(verb, node: &node, parameters: parameters, by: requester, in: session)
      return APIResponse(.accepted, headers: [.location: "\(request.serviceURL)/v1/nodes/\(node.uuid)/states"])
    }
  }

  /// Wanted as upstream wants it, also of hardware that is rescued by its own means and has nobody to log in.
  private func rescuePassword(_ password: JSON?, _ verb: ProvisionVerb) throws -> String? {
    let text = try FieldReading.text(password, "rescue_password")
    guard verb == .rescue else {
      guard text == nil else {
        throw APIError.badRequest(
          "\"rescue_password\" is only valid when setting target provision state to rescue")
      }
      return nil
    }
    guard let text, text.contains(where: { !$0.isWhitespace }) else {
      throw APIError.badRequest(
        "A non-empty \"rescue_password\" is required when setting target provision state to rescue")
    }
    return text
  }

  /// A config drive as an object to build one from, or as the base64 text of a gzipped ISO.
  private func configDrive(_ json: JSON, _ version: Microversion) throws -> JSON {
    switch json {
    case .object(let object):
      try version.require(56, "a configdrive as an object")
      try FieldReading.refuseOthers(
        object, than: ["meta_data", "network_data", "user_data", "vendor_data"], "configdrive")
      if object["vendor_data"]?.isNull == false { try version.require(59, "vendor_data") }
      for member in ["meta_data", "network_data", "vendor_data"] {
        guard let value = object[member], !value.isNull else { continue }
        guard value.object != nil else { throw APIError.badRequest("configdrive/\(member) must be an object.") }
      }
      if let user = object["user_data"], !user.isNull, user.string == nil, user.object == nil {
        throw APIError.badRequest("configdrive/user_data must be a string or an object.")
      }
      return json
    case .string(let text):
      guard !text.isEmpty, text.utf8.allSatisfy({ isBase64($0) }) else {
        throw APIError.badRequest(
          "A configdrive is an object, or base64 of a gzipped ISO 9660 image; URLs are not fetched.")
      }
      return json
    default: throw APIError.badRequest("A configdrive is an object, or base64 of a gzipped ISO 9660 image.")
    }
  }
  private func isBase64(_ byte: UInt8) -> Bool {
    (byte >= 48 && byte <= 57) || (byte >= 65 && byte <= 90) || (byte >= 97 && byte <= 122) || byte == 0x2b
      || byte == 0x2f
      || byte == 0x3d || byte == 0x0a || byte == 0x0d
  }

  /// GET /v1/nodes/{node}/states/console → 200 `{"console_enabled", "console_info": {"type", "url"} or null}`.
  private func showConsole(_ request: APIRequest) async throws -> APIResponse {
    let node = try await seen(request, to: .use)
    let url = await conductor.consoleURL(node)
    return APIResponse(
      json: [
        "console_enabled": .bool(node.consoleEnabled),
        "console_info": url.map { ["type": "socat", "url": .string($0)] } ?? .null,
      ])
  }
  /// PUT /v1/nodes/{node}/states/console `{"enabled": bool}` → 202; 400 when the node's hardware has no console.
  private func setConsole(_ request: APIRequest) async throws -> APIResponse {
    let body = try await request.object()
    guard let enabled = try FieldReading.flag(body["enabled"], "enabled") else {
      throw APIError.badRequest("enabled must be true or false.")
    }
    let uuid = try await controlling(request) { node in
      try await conductor.setConsole(enabled: enabled, node: node)
      return node.uuid
    }
    return APIResponse(.accepted, headers: [.location: "\(request.serviceURL)/v1/nodes/\(uuid)/states/console"])
  }

  /// PUT or DELETE /v1/nodes/{node}/maintenance → 202.
  private func setMaintenance(_ request: APIRequest, _ isOn: Bool) async throws -> APIResponse {
    let body = isOn ? try await request.object() : [:]
    let reason = try FieldReading.text(body["reason"], "reason", max: 1024)
    return try await database.write { session in
      let actor = try request.actor()
      var node = try node(request, to: .use, in: session)
      node.maintenance = isOn
      node.maintenanceReason = isOn ? reason.map { Reason($0) } : nil
      if !isOn { node.fault = nil }
      node.updatedAt = request.now
      try NodeStore.update(node, in: session)
      try NodeStore.addEvent(
        isOn ? "Maintenance set." : "Maintenance cleared.", type: "maintenance", user: actor.userID, of: node.uuid,
        at: request.now,
        in: session)
      return .accepted
    }
  }

  /// GET /v1/nodes/{node}/management/boot_device → 200 `{"boot_device", "persistent"}`, nulls when the controller does not tell.
  private func showBootDevice(_ request: APIRequest) async throws -> APIResponse {
    let boot = try await controlling(request) { try await conductor.bootDevice($0) }
    return APIResponse(
      json: ["boot_device": JSON(boot?.device.rawValue), "persistent": boot.map { .bool($0.persistent) } ?? .null])
  }
  /// PUT /v1/nodes/{node}/management/boot_device `{"boot_device", "persistent"?}` → 204.
  private func setBootDevice(_ request: APIRequest) async throws -> APIResponse {
    let body = try await request.object()
    guard let word = body["boot_device"]?.string, let device = BootDevice(rawValue: word) else {
      throw APIError.badRequest(
        "Invalid boot device \(body["boot_device"]?.string?.prefix(40) ?? ""): one of \(BootDevice.allCases.map(\.rawValue).joined(separator: ", ")) is supported."
      )
    }
    let isPersistent = try FieldReading.flag(body["persistent"], "persistent") ?? false
    let requester = try requester(request)
    try await controlling(request) {
      try await conductor.setBootDevice($0, device, persistent: isPersistent, by: requester)
    }
    return .noContent
  }
}
