import Domain
import DriverInterfaces
import Wire

/// The `Boot` member of a system, or of its settings resource.
struct Boot {
  var path: String
  var etag: String?
  var enabled: String?
  var target: String?
  var mode: String?
  var targets: [String]?
  var modes: [String]?
  var quirks: RedfishQuirks

  var override: BootOverride? {
    guard enabled == "Once" || enabled == "Continuous", let device = Self.devices.first(where: { $0.target == target })
    else { return nil }
    return BootOverride(device.device, persistent: enabled == "Continuous", mode: mode.flatMap { Self.mode($0) })
  }

  /// DSP0268, ComputerSystem, "BootSource"; the first row of a device is what is asked for.
  static let devices: [(device: BootDevice, target: String)] = [
    (.pxe, "Pxe"), (.disk, "Hdd"), (.cdrom, "Cd"), (.bios, "BiosSetup"), (.pxe, "UefiHttp"), (.cdrom, "UsbCd"),
  ]
  static func mode(_ word: String) -> BootMode? { word == "UEFI" ? .uefi : word == "Legacy" ? .bios : nil }
}

extension RedfishNode {
  /// How long a controller may take until it shows what it was told.
  static let settling = Duration.seconds(20)

  func readBoot() async throws -> Boot {
    let system = try await connection.system()
    let quirks = RedfishQuirks.of(manufacturer: system["Manufacturer"]?.string)
    var path = try await connection.systemPath()
    var (reply, boot) = (system, system["Boot"])
    // Newer controllers keep what can be changed in a resource of its own.
    if boot?["BootSourceOverrideTarget"] == nil,
      let other = system["@Redfish.Settings"]?["SettingsObject"]?["@odata.id"]?.string.flatMap({
        connection.localPath($0)
      })
    {
      let settings = try await connection.get(other, "show its boot settings")
      if settings["Boot"] != nil { (path, reply, boot) = (other, settings, settings["Boot"]) }
    }
    guard let boot else { throw failure(.unsupported, "it does not show what the machine boots from.") }
    func words(_ key: String) -> [String]? {
      boot[key + "@Redfish.AllowableValues"]?.array?.compactMap(\.string)
    }
    return Boot(
      path: path, etag: reply.etag ?? reply["@odata.etag"]?.string, enabled: boot["BootSourceOverrideEnabled"]?.string,
      target: boot["BootSourceOverrideTarget"]?.string, mode: boot["BootSourceOverrideMode"]?.string,
      targets: words("BootSourceOverrideTarget"), modes: words("BootSourceOverrideMode"), quirks: quirks)
  }

  func observeBootOverride() async throws -> BootOverride? { try await readBoot().override }

  func supportedBootDevices() async throws -> [BootDevice] {
    let offered = try await readBoot().targets
    return BootDevice.allCases.filter { device in
      Boot.devices.contains { $0.device == device && offered?.contains($0.target) ?? true }
    }
  }

  func ensureBootOverride(_ wanted: BootOverride) async throws {
    let boot = try await readBoot()
    let target = try self.target(of: wanted.device, boot)
    let enabled = wanted.persistent ? "Continuous" : "Once"
    let mode = wanted.mode.map { $0 == .uefi ? "UEFI" : "Legacy" }
    if let mode, let modes = boot.modes, !modes.contains(mode) {
      throw failure(.unsupported, "it offers the boot modes \(modes.joined(separator: ", ")), not \(mode).")
    }
    func isInForce(_ boot: Boot, mode: String?) -> Bool {
      let isEnabled =
        boot.enabled == enabled
        || (boot.quirks.contains(.onceShowsAsContinuous) && enabled == "Once" && boot.enabled == "Continuous")
      return boot.target == target && isEnabled && (mode == nil || boot.mode == mode)
    }
    if isInForce(boot, mode: mode) { return }

    var change: JSONObject = ["BootSourceOverrideTarget": .string(target)]
    if boot.enabled != enabled || boot.quirks.contains(.alwaysSendEnabled) {
      change["BootSourceOverrideEnabled"] = .string(enabled)
    }
    if let mode, boot.mode != mode { change["BootSourceOverrideMode"] = .string(mode) }
    do {
      try await write(["Boot": .object(change)], boot)
    } catch let error as DriverError where error.code == .refused && wanted.persistent && boot.enabled != enabled {
      throw failure(
        .unsupported,
        "it did not take \(target) for every boot; a device for the next boot only may work: \(error.detail)")
    } catch let error as DriverError where error.code == .unreachable {
      // It may have obeyed before the connection broke: what it shows now decides.
    }

    let visible = boot.quirks.contains(.modeShowsAfterBoot) ? nil : mode
    let end = ContinuousClock.now + Self.settling
    var pause = Pause()
    var shown = try await readBoot()
    while !isInForce(shown, mode: visible) {
      guard ContinuousClock.now < end else {
        throw failure(
          .notInForce,
          "it accepted \(target) (\(enabled)\(mode.map { ", " + $0 } ?? "")) and after \(Int(Self.settling.inSeconds)) s"
            + " shows \(shown.target ?? "none") (\(shown.enabled ?? "unknown"), \(shown.mode ?? "unknown mode")).")
      }
      try await pause.sleep(until: end)
      shown = try await readBoot()
    }
  }

  private func target(of device: BootDevice, _ boot: Boot) throws -> String {
    var targets = Boot.devices.filter { $0.device == device && $0.target != "UefiHttp" }.map(\.target)
    if boot.quirks.contains(.usbCD) { targets.reverse() }
    guard let first = targets.first else {
      throw failure(.unsupported, "Redfish has no boot device \"\(device.rawValue)\".")
    }
    guard let offered = boot.targets, !offered.isEmpty else { return first }
    guard let target = targets.first(where: { offered.contains($0) }) else {
      throw failure(
        .unsupported, "it cannot boot from \"\(device.rawValue)\"; it offers \(offered.joined(separator: ", ")).")
    }
    return target
  }

  /// PATCH with the ETag. It may have changed in between (the machine boots); and some controllers show a weak ETag and
  /// take only its strong form, or none.
  func write(_ change: JSON, _ boot: Boot, _ doing: String = "set the boot device") async throws {
    var etag = boot.etag
    for form in 0..<4 {
      let reply = try await connection.request("PATCH", boot.path, change, etag: etag)
      guard reply.status == 412 || reply.status == 428, form < 3 else {
        return try await connection.finish(reply, doing)
      }
      let fresh = try await readBoot().etag
      switch form {
      case 0: etag = fresh
      case 1: etag = fresh.map { $0.hasPrefix("W/") ? String($0.dropFirst(2)) : $0 }
      default: etag = nil
      }
    }
  }
}
