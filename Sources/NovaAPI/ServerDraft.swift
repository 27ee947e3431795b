import APISupport
import Conductor
import Cryptography
import Domain
import Store
import Wire

/// What a server is asked to be, read and checked as far as that goes without the database. Source: Nova API reference, "Create
/// Server".
struct ServerDraft: Sendable {
  var name: String
  var flavorRef: String
  /// Of the machine's disk; nil for a server that boots from a volume.
  var imageRef: String?
  var volumes: [ServerVolumeOrder]
  var description: String?
  var hostname: String?
  var keyName: String?
  var metadata: JSONObject
  var tags: [String]
  var userData: String?
  var accessIPv4 = ""
  var accessIPv6 = ""
  var zone: String?
  var node: String?
  var networks: Networks
  var securityGroups: [String]
  var hints: JSONObject
  var counts: ClosedRange<Int>
  var givesReservation: Bool

  enum Networks: Sendable, Equatable {
    case auto, none
    case list([Place])
  }
  struct Place: Sendable, Equatable {
    var networkID: String?
    var portID: String?
    var fixedIP: String?
    var tag: String?
  }

  private static let known: [(since: Int, names: Set<String>)] = [
    (
      1,
      [
        "name", "imageRef", "flavorRef", "networks", "OS-DCF:diskConfig", "accessIPv4", "accessIPv6",
        "availability_zone",
        "block_device_mapping", "block_device_mapping_v2", "config_drive", "key_name", "min_count", "max_count",
        "metadata", "return_reservation_id", "security_groups", "user_data", "os:scheduler_hints",
        "OS-SCH-HNT:scheduler_hints", "adminPass", "personality",
      ]
    ), (19, ["description"]), (52, ["tags"]), (63, ["trusted_image_certificates"]),
    (74, ["host", "hypervisor_hostname"]), (90, ["hostname"]),
  ]

  init(
    _ body: JSONObject, _ version: Microversion, mostMetadata: Int, zone knownZone: String, isSiteAdmin: Bool
  ) throws {
    let input = try ComputeInput(
      body, "server", besides: ["os:scheduler_hints", "OS-SCH-HNT:scheduler_hints"])
    try input.allow(Self.known.reduce(into: []) { if version.minor >= $1.since { $0.formUnion($1.names) } })
    guard let name = try input.name(isStrict: true) else { throw APIError.badRequest("'name' is a required property") }
    self.name = name
    let flavor = try input.value("flavorRef")?.int.map { "\($0)" } ?? input.required("flavorRef")
    flavorRef = flavor.split(separator: "/").last.map { String($0) } ?? flavor
    description = try input.text("description", 0...255)
    keyName = try input.text("key_name", 1...255)
    metadata = try input.value("metadata").map { try ComputeInput.metadata($0, most: mostMetadata) } ?? [:]
    tags = try Self.tags(input.value("tags"))
    userData = try Self.userData(input)
    accessIPv4 = try Self.address(input, "accessIPv4", version: 4) ?? ""
    accessIPv6 = try Self.address(input, "accessIPv6", version: 6) ?? ""
    if version.minor >= 57, input.has("personality") { throw ComputeInput.unexpected("personality") }
    if let files = input.value("personality"), files.array?.isEmpty != true {
      throw APIError.badRequest("Files are not put into a machine's system: use user_data.")
    }
    _ = try input.bool("config_drive")
    if let certificates = input.value("trusted_image_certificates"), certificates.array?.isEmpty != true {
      throw APIError.badRequest("trusted_image_certificates are not offered: images have checksums here.")
    }
    if let text = try input.text("hostname", 2...255) { hostname = try Self.hostname(text, input, version) }
    (zone, node) = try Self.place(input, knownZone, isSiteAdmin)
    securityGroups = try Self.groups(input)
    networks = try Self.networks(input, version)
    hints = [:]
    for place in ["os:scheduler_hints", "OS-SCH-HNT:scheduler_hints"] {
      guard let value = body[place] ?? input.value(place) else { continue }
      guard let object = value.object else { throw input.wrong(place, value, "it is not an object") }
      for hint in object { hints[hint.key] = hint.value }
    }
    counts = try Self.counts(input)
    givesReservation = try input.bool("return_reservation_id") ?? false
    let devices = try BlockDevices(input, image: try Self.image(input), version)
    imageRef = devices.imageID
    volumes = devices.volumes
    if counts.upperBound > 1, case .list(let places) = networks,
      places.contains(where: { $0.portID != nil || $0.fixedIP != nil })
    {
      throw APIError.badRequest("A port or an address is for one server, and more than one is asked for.")
    }
    if counts.upperBound > 1, volumes.contains(where: { if case .volume = $0.source { true } else { false } }) {
      throw APIError.badRequest(
        "A volume is for one server, and more than one is asked for: use a snapshot or an image.")
    }
  }

  private static func counts(_ input: ComputeInput) throws -> ClosedRange<Int> {
    let least = try input.int("min_count", 1...1000)
    let most = try input.int("max_count", 1...1000) ?? least ?? 1
    guard least ?? 1 <= most else { throw APIError.badRequest("min_count must be <= max_count") }
    return (least ?? (input.has("max_count") ? 1 : 1))...most
  }

  /// The id in `imageRef`.
  private static func image(_ input: ComputeInput) throws -> String? {
    guard let text = try input.text("imageRef", 0...255), !text.isEmpty else { return nil }
    let id = text.split(separator: "/").last.map { String($0) } ?? text
    guard let uuid = ComputeInput.uuid(id) else { throw APIError.badRequest("Invalid imageRef provided.") }
    return uuid
  }

  static func tags(_ value: JSON?) throws -> [String] {
    guard let value, !value.isNull else { return [] }
    guard let items = value.array, items.count <= 50 else {
      throw APIError.badRequest("Invalid input for field/attribute tags: a list of up to 50 texts is expected.")
    }
    return try Set(items.map { try tag($0.string) }).sorted()
  }
  static func tag(_ text: String?) throws -> String {
    guard let text, (1...60).contains(text.unicodeScalars.count), !text.contains("/"), !text.contains(",") else {
      throw APIError.badRequest(
        "Invalid input for field/attribute tag: 1 to 60 characters without '/' and ',' are expected.")
    }
    return text
  }
  static func userData(_ input: ComputeInput) throws -> String? {
    guard let text = try input.text("user_data", 0...65_535), !text.isEmpty else { return nil }
    guard Base64.bytes(text) != nil else {
      throw input.wrong("user_data", "…", "it is not Base64")
    }
    return text
  }
  static func address(_ input: ComputeInput, _ name: String, version: Int) throws -> String? {
    guard let text = try input.text(name) else { return nil }
    if text.isEmpty { return "" }
    guard let address = IPAddress(text), address.version == version else {
      throw input.wrong(name, .string(text), "'\(text)' is not a 'ipv\(version)'")
    }
    return address.description
  }
  /// Labels of letters, digits and dashes; several of them, with dots, from 2.94 on.
  static func hostname(_ text: String, _ input: ComputeInput, _ version: Microversion) throws -> String {
    let labels = text.split(separator: ".", omittingEmptySubsequences: false)
    let isValid = labels.allSatisfy { label in
      (1...63).contains(label.utf8.count) && label.first != "-" && label.last != "-"
        && label.utf8.allSatisfy {
          (48...57).contains($0) || (65...90).contains($0) || (97...122).contains($0) || $0 == 0x2d
        }
    }
    guard isValid, labels.count == 1 ? text.utf8.count <= 63 : version.minor >= 94 else {
      throw input.wrong("hostname", .string(text), "it is no host name")
    }
    return text
  }
  /// `zone`, `zone::node` or `zone:host:node`.
  private static func place(
    _ input: ComputeInput, _ knownZone: String, _ isSiteAdmin: Bool
  ) throws -> (String?, String?) {
    var (zone, node): (String?, String?)
    if let text = try input.text("availability_zone"), !text.isEmpty {
      let parts = text.split(separator: ":", omittingEmptySubsequences: false).map { String($0) }
      guard parts.count <= 3 else {
        throw APIError.badRequest("Invalid availability_zone: ZONE, ZONE:HOST or ZONE::NODE.")
      }
      guard parts[0] == knownZone || parts[0].isEmpty else {
        throw APIError.badRequest("The requested availability zone is not available: '\(knownZone)' is.")
      }
      zone = knownZone
      if parts.count == 3, !parts[2].isEmpty { node = parts[2] }
    }
    for name in ["hypervisor_hostname", "host"] {
      guard let text = try input.text(name, 1...255) else { continue }
      guard isSiteAdmin else {
        throw APIError.forbidden("Policy doesn't allow compute:servers:create:requested_destination to be performed.")
      }
      if name == "hypervisor_hostname" { node = text }
    }
    return (zone, node)
  }
  private static func groups(_ input: ComputeInput) throws -> [String] {
    try (input.objects("security_groups") ?? []).map { item in
      let group = ComputeInput(item)
      try group.allow(["name"])
      return try group.required("name")
    }
  }
  private static func networks(_ input: ComputeInput, _ version: Microversion) throws -> Networks {
    guard let value = input.value("networks") else {
      guard version.minor < 37 else { throw APIError.badRequest("'networks' is a required property") }
      return .auto
    }
    if let word = value.string, version.minor >= 37 {
      switch word {
      case "auto": return .auto
      case "none": return .none
      default: throw input.wrong("networks", value, "it is 'auto', 'none' or a list")
      }
    }
    let places = try (input.objects("networks", most: 32) ?? []).map { item in
      let place = ComputeInput(item)
      try place.allow(version.minor >= 32 ? ["uuid", "port", "fixed_ip", "tag"] : ["uuid", "port", "fixed_ip"])
      var out = Place()
      out.networkID = try place.uuid("uuid")
      out.portID = try place.uuid("port")
      if let text = try place.text("fixed_ip") {
        guard let address = IPAddress(text) else {
          throw place.wrong("fixed_ip", .string(text), "it is no IP address")
        }
        out.fixedIP = address.description
      }
      out.tag = try place.value("tag").map { try tag($0.string) }
      guard out.networkID != nil || out.portID != nil else {
        throw APIError.badRequest("Bad networks format: a network needs uuid or port.")
      }
      guard out.portID == nil || out.fixedIP == nil else {
        throw APIError.badRequest(
          "Specified Fixed IP '\(out.fixedIP ?? "")' cannot be used with port '\(out.portID ?? "")'")
      }
      return out
    }
    return places.isEmpty ? .auto : .list(places)
  }
}
