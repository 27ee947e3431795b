import Domain
import DriverInterfaces
import Wire

/// Boot mode and Secure Boot. Source: DMTF DSP0268, ComputerSystem, "BootSourceOverrideMode"; "SecureBoot".
extension RedfishNode: BootModeInterface {
  func observeBootMode() async throws -> BootMode? { try await readBoot().mode.flatMap { Boot.mode($0) } }

  func ensureBootMode(_ mode: BootMode) async throws {
    let boot = try await readBoot()
    let word = mode == .uefi ? "UEFI" : "Legacy"
    if boot.mode == word { return }
    guard boot.mode != nil, boot.modes?.contains(word) ?? true else {
      let offered = boot.modes ?? []
      throw failure(
        .unsupported,
        offered.isEmpty
          ? "it shows no boot mode that could be set."
          : "it offers the boot modes \(offered.joined(separator: ", ")), not \(word).")
    }
    var change: JSONObject = ["BootSourceOverrideMode": .string(word)]
    if boot.quirks.contains(.alwaysSendEnabled) { change["BootSourceOverrideEnabled"] = JSON(boot.enabled) }
    do { try await write(["Boot": .object(change)], boot, "set the boot mode") } catch let error as DriverError
      where error.code == .unreachable && !boot.quirks.contains(.modeShowsAfterBoot)
    {
      // It may have obeyed before the connection broke: what it shows now decides.
    }
    if boot.quirks.contains(.modeShowsAfterBoot) { return }
    try await settle("the boot mode \(word)") {
      let shown = try await readBoot().mode
      return shown == word ? nil : shown ?? "none"
    }
  }

  /// Nil for a system without Secure Boot.
  private func readSecureBoot() async throws -> (path: String, reply: RedfishReply, isOn: Bool)? {
    let link = try await connection.system()["SecureBoot"]?["@odata.id"]?.string
    guard let path = link.flatMap({ connection.localPath($0) }), let reply = try await optional(path),
      let isOn = reply["SecureBootEnable"]?.bool
    else { return nil }
    return (path, reply, isOn)
  }
  func observeSecureBoot() async throws -> Bool? { try await readSecureBoot()?.isOn }

  func ensureSecureBoot(_ isOn: Bool) async throws {
    guard let before = try await readSecureBoot() else {
      throw failure(.unsupported, "it has no Secure Boot that could be set.")
    }
    if before.isOn == isOn { return }
    let etag = before.reply.etag ?? before.reply["@odata.etag"]?.string
    try await patch(
      before.path, ["SecureBootEnable": .bool(isOn)], etag: etag, "turn Secure Boot \(isOn ? "on" : "off")"
    ) { try await readSecureBoot()?.isOn == isOn }
    try await settle("Secure Boot \(isOn ? "on" : "off")") {
      try await readSecureBoot()?.isOn == isOn ? nil : isOn ? "off" : "on"
    }
  }

  /// Waits until the controller shows what it was told.
  /// - Parameter other: what it shows instead; nil once it is so.
  private func settle(_ what: String, _ other: () async throws -> String?) async throws {
    let end = ContinuousClock.now + Self.settling
    var pause = Pause()
    while let shown = try await other() {
      guard ContinuousClock.now < end else {
        throw failure(
          .notInForce, "it accepted \(what) and after \(Int(Self.settling.inSeconds)) s still shows \(shown).")
      }
      try await pause.sleep(until: end)
    }
  }
}
