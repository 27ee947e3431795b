import Wire

/// POST, PATCH and DELETE.
extension SimulatedBMC {
  func post(_ request: RedfishRequest) async throws -> RedfishAnswer {
    guard let body = request.object else {
      return .error(400, "MalformedJSON", "The request body submitted was malformed JSON.")
    }
    if Self.isSessionCollection(request.path) && !faults.noSessions { return logIn(body) }
    switch request.path {
    case "/redfish/v1/Systems/1/Actions/ComputerSystem.Reset":
      guard let type = body["ResetType"]?.string else { return .missing("ResetType") }
      return try await reset(type)
    case "/redfish/v1/Systems/1/SecureBoot/Actions/SecureBoot.ResetKeys":
      guard let type = body["ResetKeysType"]?.string else { return .missing("ResetKeysType") }
      return try await change(["effect": "secure boot keys", "value": .string(type)]) {}
    case "/redfish/v1/Systems/1/Bios/Actions/Bios.ResetBios":
      return try await change(["effect": "bios reset"]) { await self.setBIOS(Self.makersBIOS) }
    case "/redfish/v1/Managers/1/Actions/Manager.Reset":
      return try await change(["effect": "manager reset"]) { await self.expireSessions() }
    case "/redfish/v1/UpdateService/Actions/UpdateService.SimpleUpdate":
      guard let image = body["ImageURI"]?.string else { return .missing("ImageURI") }
      return try await change(["effect": "firmware update", "image": .string(image)]) {}
    default: break
    }
    guard let (device, action) = mediaAction(request.path) else {
      return .error(404, "ActionNotSupported", "The action \(request.path) is not supported by the resource.")
    }
    if action == "VirtualMedia.EjectMedia" {
      return try await change(["effect": "eject", "medium": .string(device)]) { await self.setMedium(device, Medium()) }
    }
    guard let image = body["Image"]?.string else { return .missing("Image") }
    let medium = Medium(
      image: image, inserted: body["Inserted"]?.bool ?? true, writeProtected: body["WriteProtected"]?.bool ?? true)
    return try await change(["effect": "insert", "medium": .string(device), "image": .string(image)]) {
      await self.setMedium(device, medium)
    }
  }

  private func setMedium(_ device: String, _ medium: Medium) { media[device] = medium }

  /// "…/VirtualMedia/Cd/Actions/VirtualMedia.InsertMedia" as "Cd" and "VirtualMedia.InsertMedia".
  private func mediaAction(_ path: String) -> (device: String, action: String)? {
    let words = path.split(separator: "/").map { String($0) }
    guard words.count == 8, words[0...1] == ["redfish", "v1"], words[2] == "Managers" || words[2] == "Systems",
      words[4] == "VirtualMedia", words[6] == "Actions", media[words[5]] != nil,
      ["VirtualMedia.InsertMedia", "VirtualMedia.EjectMedia"].contains(words[7])
    else { return nil }
    return (words[5], words[7])
  }

  static let resetTypes = [
    "On", "ForceOff", "GracefulShutdown", "ForceRestart", "GracefulRestart", "PushPowerButton", "Nmi",
  ]

  private func reset(_ type: String) async throws -> RedfishAnswer {
    guard Self.resetTypes.contains(type) else { return .notInList("ResetType", type) }
    let machine = machine
    let isOn = try await machine.isOn()
    let members: JSONObject = ["effect": "reset", "value": .string(type)]
    let refused = RedfishAnswer.error(
      409, "ActionNotSupportedInCurrentState", "The action Reset \(type) cannot be done while the system is off.")
    switch type {
    case "On":
      return try await change(members) { if !isOn { try await self.start() } }
    case "ForceOff":
      return try await change(members) { if isOn { try await machine.setPower(on: false) } }
    case "GracefulShutdown":
      guard isOn else { return refused }
      if faults.ignoreShutdown {
        log.write("effect", device: name, members)
        return .done
      }
      return try await change(members) { try await machine.shutDown() }
    case "ForceRestart":
      guard isOn else { return refused }
      return try await change(members) {
        try await machine.setPower(on: false)
        try await self.start()
      }
    case "GracefulRestart":
      guard isOn else { return refused }
      return try await change(members) {
        try await machine.shutDown()
        await self.inBackground { try? await self.startWhenOff() }
      }
    case "PushPowerButton":
      return try await change(members) {
        if isOn { try await machine.shutDown() } else { try await self.start() }
      }
    default:
      guard isOn else { return refused }
      return try await change(members) {}
    }
  }

  private func startWhenOff() async throws {
    let limit = ContinuousClock.now + .seconds(60)
    while try await machine.isOn() {
      guard ContinuousClock.now < limit else { return }
      try await Task.sleep(for: .milliseconds(200))
    }
    try await start()
  }

  func patch(_ request: RedfishRequest) async throws -> RedfishAnswer {
    guard let body = request.object else {
      return .error(400, "MalformedJSON", "The request body submitted was malformed JSON.")
    }
    guard let current = try await document(request.path, user: configuration.username) else {
      return .notFound(request.path)
    }
    if let wanted = request.ifMatch, wanted != "*", wanted != RedfishAnswer.etag(of: current) {
      return .error(412, "PreconditionFailed", "The ETag supplied did not match the ETag required to change it.")
    }
    if request.ifMatch == nil && faults.requireETag {
      return .error(428, "PreconditionRequired", "A precondition header or annotation is required.")
    }
    switch request.path {
    case "/redfish/v1/Systems/1": return try await patchSystem(body)
    case "/redfish/v1/Chassis/1":
      guard let flag = body["LocationIndicatorActive"]?.bool else { return .missing("LocationIndicatorActive") }
      return try await change(["effect": "chassis indicator", "value": .bool(flag)]) { await self.setLocated(flag) }
    case "/redfish/v1/Systems/1/SecureBoot":
      guard let flag = body["SecureBootEnable"]?.bool else { return .missing("SecureBootEnable") }
      guard !flag || firmware == .uefi else {
        return .error(400, "PropertyValueConflict", "Secure Boot cannot be enabled in legacy mode.")
      }
      return try await change(["effect": "secure boot", "value": .bool(flag)]) { await self.setSecureBoot(flag) }
    case "/redfish/v1/Systems/1/Bios/Settings":
      guard let attributes = body["Attributes"]?.object else { return .missing("Attributes") }
      return try await change(["effect": "bios settings", "value": .object(attributes)]) {
        await self.setBIOS(attributes)
      }
    default: return .error(405, "OperationNotAllowed", "The HTTP method is not allowed on this resource.")
    }
  }
  private func setLocated(_ flag: Bool) { chassisLocated = flag }
  private func setIndicator(_ word: String) { indicator = word }
  private func setSecureBoot(_ flag: Bool) { secureBoot = flag }
  private func setBIOS(_ attributes: JSONObject) { for each in attributes { pendingBIOS[each.key] = each.value } }
  /// Turns the machine on, whose BIOS then takes what was pending.
  private func start() async throws {
    try await machine.setPower(on: true)
    setBIOSInForce()
  }
  private func setBIOSInForce() {
    isSecurelyBooted = secureBoot && firmware == .uefi
    for each in pendingBIOS { biosAttributes[each.key] = each.value }
    pendingBIOS = [:]
  }

  private func patchSystem(_ body: JSONObject) async throws -> RedfishAnswer {
    if let led = body["IndicatorLED"] {
      guard let word = led.string, ["Lit", "Off", "Blinking"].contains(word) else {
        return .notInList("IndicatorLED", led.description)
      }
      return try await change(["effect": "indicator", "value": .string(word)]) { await self.setIndicator(word) }
    }
    guard let wanted = body["Boot"]?.object else {
      return .error(400, "PropertyUnknown", "No property here can be set.")
    }
    var boot = try await machine.boot()
    if let enabled = wanted["BootSourceOverrideEnabled"] {
      guard let word = enabled.string, ["Disabled", "Once", "Continuous"].contains(word) else {
        return .notInList("BootSourceOverrideEnabled", enabled.description)
      }
      if word == "Continuous" && faults.noContinuous { return .notInList("BootSourceOverrideEnabled", word) }
      if word == "Disabled" { boot.device = .none } else { boot.once = word == "Once" }
    }
    if let target = wanted["BootSourceOverrideTarget"] {
      guard let word = target.string, let device = Self.targets.first(where: { $0.1 == word })?.0 else {
        return .notInList("BootSourceOverrideTarget", target.description)
      }
      boot.device = device
    }
    var mode: MachineFirmware?
    if let value = wanted["BootSourceOverrideMode"] {
      switch value.string {
      case "UEFI": mode = .uefi
      case "Legacy" where !faults.oneBootMode: mode = .bios
      default: return .notInList("BootSourceOverrideMode", value.description)
      }
    }
    if boot.device == .none { boot.once = false }
    let machine = machine
    var members: JSONObject = [
      "effect": "boot", "value": .string(boot.device.rawValue), "once": .bool(boot.once),
    ]
    members["mode"] = mode.map { .string($0.rawValue) }
    return try await change(members) { [boot, mode] in
      try await machine.setBoot(boot)
      if let mode {
        try await machine.setFirmware(mode)
        await self.setFirmware(mode)
      }
    }
  }
  private func setFirmware(_ mode: MachineFirmware) { firmware = mode }

  static let targets: [(MachineBoot.Device, String)] = [(.none, "None"), (.pxe, "Pxe"), (.disk, "Hdd"), (.cdrom, "Cd")]

  func delete(_ request: RedfishRequest) -> RedfishAnswer {
    let prefix = "/redfish/v1/SessionService/Sessions/"
    guard request.path.hasPrefix(prefix),
      let index = sessions.firstIndex(where: { prefix + $0.id == request.path })
    else { return .notFound(request.path) }
    let session = sessions.remove(at: index)
    log.write("session", device: name, ["session": .string(session.id), "ended": true])
    return .done
  }
}
