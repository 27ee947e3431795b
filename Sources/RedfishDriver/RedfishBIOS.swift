import Domain
import DriverInterfaces
import Wire

/// BIOS settings. Source: DMTF DSP0268, "Bios" and "AttributeRegistry"; DSP0266 1.15, 9.10 "Settings resource".
extension RedfishNode: BIOSInterface {
  /// Settings that are looked at; a machine has some hundreds.
  private static let mostSettings = 4000

  /// Nil for a system without BIOS settings.
  private func readBIOS() async throws -> (path: String, reply: RedfishReply)? {
    guard let path = try await connection.system()["Bios"]?["@odata.id"]?.string.flatMap({ connection.localPath($0) }),
      let reply = try await optional(path), reply["Attributes"]?.object != nil
    else { return nil }
    return (path, reply)
  }
  private func requireBIOS() async throws -> (path: String, reply: RedfishReply) {
    guard let bios = try await readBIOS() else { throw failure(.unsupported, "it shows no BIOS settings.") }
    return bios
  }

  func biosSettings(isDetailed: Bool) async throws -> [BIOSSetting] {
    guard let bios = try await readBIOS() else { return [] }
    let registry = isDetailed ? try await attributeRegistry(bios.reply["AttributeRegistry"]?.string) : [:]
    return (bios.reply["Attributes"]?.object ?? [:]).prefix(Self.mostSettings).map { attribute in
      let details = registry[attribute.key] ?? BIOSSetting.Details()
      let isPassword = details.type == "Password"
      return BIOSSetting(attribute.key, isPassword ? nil : BIOSSetting.text(attribute.value), details)
    }.sorted { $0.name < $1.name }
  }

  /// What the settings may be, by name; empty when the controller does not tell.
  private func attributeRegistry(_ name: String?) async throws -> [String: BIOSSetting.Details] {
    guard let name, let path = connection.localPath("/redfish/v1/Registries/\(name)"),
      let file = try await optional(path)
    else { return [:] }
    let places = file["Location"]?.array ?? []
    let english = places.first { $0["Language"]?.string?.hasPrefix("en") == true } ?? places.first
    guard let place = english?["Uri"]?.string.flatMap({ connection.localPath($0) }),
      let registry = try await optional(place)
    else { return [:] }
    var found: [String: BIOSSetting.Details] = [:]
    for entry in (registry["RegistryEntries"]?["Attributes"]?.array ?? []).prefix(Self.mostSettings) {
      guard let name = entry["AttributeName"]?.string else { continue }
      var details = BIOSSetting.Details()
      details.type = entry["Type"]?.string
      details.allowed = entry["Value"]?.array?.compactMap { $0["ValueName"]?.string }
      (details.lowerBound, details.upperBound) = (entry["LowerBound"]?.int, entry["UpperBound"]?.int)
      (details.minLength, details.maxLength) = (entry["MinLength"]?.int, entry["MaxLength"]?.int)
      (details.isReadOnly, details.needsReset) = (entry["ReadOnly"]?.bool, entry["ResetRequired"]?.bool)
      details.isUnique = entry["IsSystemUniqueProperty"]?.bool
      found[name] = details
    }
    return found
  }

  func applyBIOSSettings(_ wanted: [BIOSSetting.Choice]) async throws {
    let bios = try await requireBIOS()
    let target = try await settings(of: bios)
    // What is pending counts: a wish that was taken back must not stay there.
    let pending = target.reply["Attributes"]?.object ?? [:]
    let now = bios.reply["Attributes"]?.object ?? [:]
    var change: JSONObject = [:]
    for choice in wanted {
      guard let current = now[choice.name] else {
        throw failure(.refused, "it has no BIOS setting \(choice.name.prefix(80)).")
      }
      guard let value = Self.value(choice.value, like: current) else {
        throw failure(.refused, "\"\(choice.value.prefix(80))\" is not of the type of BIOS setting \(choice.name).")
      }
      if (pending[choice.name] ?? current) != value { change[choice.name] = value }
    }
    if change.isEmpty { return }
    var body: JSONObject = ["Attributes": .object(change)]
    if bios.reply["@Redfish.Settings"]?["SupportedApplyTimes"]?.array?.contains("OnReset") == true {
      body["@Redfish.SettingsApplyTime"] = ["ApplyTime": "OnReset"]
    }
    let etag = target.reply.etag ?? target.reply["@odata.etag"]?.string
    _ = try await connection.send("PATCH", target.path, .object(body), etag: etag, "set BIOS settings")
  }
  /// Where changes are written: most controllers keep what is pending in a resource of its own.
  private func settings(of bios: (path: String, reply: RedfishReply)) async throws -> (
    path: String, reply: RedfishReply
  ) {
    guard
      let path = bios.reply["@Redfish.Settings"]?["SettingsObject"]?["@odata.id"]?.string.flatMap({
        connection.localPath($0)
      })
    else { return bios }
    return (path, try await connection.get(path, "show its pending BIOS settings"))
  }
  /// The text as JSON of the same type; nil when it is none.
  private static func value(_ text: String, like current: JSON) -> JSON? {
    switch current {
    case .int: Int(text).map { .int($0) }
    case .double: Double(text).map { .double($0) }
    case .bool: ["true": JSON.bool(true), "false": .bool(false)][text.lowercased()]
    default: .string(text)
    }
  }

  func resetBIOSSettings() async throws {
    let bios = try await requireBIOS()
    let action = bios.reply["Actions"]?["#Bios.ResetBios"]?["target"]?.string.flatMap { connection.localPath($0) }
    guard let action else { throw failure(.unsupported, "it cannot reset its BIOS settings.") }
    _ = try await connection.send("POST", action, [:], "reset its BIOS settings")
  }
}

extension RedfishNode: FirmwareInterface {
  /// The system's BIOS and the controller itself, as Ironic lists them.
  func firmware() async throws -> [FirmwareComponent] {
    let system = try await connection.system()
    var found: [FirmwareComponent] = []
    if let version = system["BiosVersion"]?.string, !version.isEmpty {
      found.append(FirmwareComponent("bios", version))
    }
    if let path = system["Links"]?["ManagedBy"]?.array?.first?["@odata.id"]?.string.flatMap({ connection.localPath($0) }
    ), let version = try await optional(path)?["FirmwareVersion"]?.string, !version.isEmpty {
      found.append(FirmwareComponent("bmc", version))
    }
    return found
  }
}
