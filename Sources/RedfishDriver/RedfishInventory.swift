import Domain
import DriverInterfaces
import Wire

/// What the controller knows of the machine without booting it.
extension RedfishNode: ManagementInterface {
  /// Members of a collection that are looked at; the rest is a machine that we do not know.
  private static let most = 64

  func verify() async throws -> JSONObject {
    let root = try await connection.get("/redfish/v1/", "show its service root")
    let system = try await connection.system()
    var found: JSONObject = [:]
    found["vendor"] = root["Vendor"]?.string.map { .string($0) } ?? system["Manufacturer"]
    found["product"] = root["Product"]?.string.map { .string($0) } ?? system["Model"]
    found["redfish_version"] = root["RedfishVersion"]
    if let path = system["Links"]?["ManagedBy"]?.array?.first?["@odata.id"]?.string.flatMap({ connection.localPath($0) }
    ),
      let manager = try await optional(path)
    {
      found["firmware"] = manager["FirmwareVersion"]
    }
    found["model"] = system["Model"]
    found["serial"] = system["SerialNumber"]
    found["system_id"] = .string(try await connection.systemPath())
    found["authentication"] = .string(await connection.authenticationInUse)
    if let fingerprint = connection.pin?.observed { found["observedFingerprint"] = .string(fingerprint) }
    return found
  }

  /// The members are those of the agent's inventory (docs/agent-protocol.md), as far as the controller knows them.
  func inventory() async throws -> JSONObject {
    let system = try await connection.system()
    var found: JSONObject = [:]
    try await addProcessors(system, to: &found)
    switch system["MemorySummary"]?["TotalSystemMemoryGiB"] {
    case .int(let gib)?: found["memory_mb"] = .int(gib * 1024)
    case .double(let gib)?: found["memory_mb"] = .int(Int(gib * 1024))
    default: break
    }
    if let mode = system["Boot"]?["BootSourceOverrideMode"]?.string {
      found["boot_mode"] = mode == "UEFI" ? "uefi" : mode == "Legacy" ? "bios" : nil
    }
    var identity: JSONObject = [:]
    identity["vendor"] = system["Manufacturer"]
    identity["product"] = system["Model"]
    identity["serial"] = system["SerialNumber"]
    identity["uuid"] = system["UUID"]?.string.map { .string($0.lowercased()) }
    found["system"] = .object(identity)
    found["bios_version"] = system["BiosVersion"]
    found["interfaces"] = .array(try await interfaces(system))
    found["disks"] = .array(try await disks(system))
    return found
  }

  private func addProcessors(_ system: RedfishReply, to found: inout JSONObject) async throws {
    var threads = 0
    var model = system["ProcessorSummary"]?["Model"]?.string
    var architecture: String?
    for processor in try await members(of: system["Processors"])
    where processor["ProcessorType"]?.string ?? "CPU" == "CPU" {
      threads += processor["TotalThreads"]?.int ?? 0
      model = model ?? processor["Model"]?.string
      architecture = architecture ?? Self.architecture(processor)
    }
    if let count = threads > 0 ? threads : system["ProcessorSummary"]?["LogicalProcessorCount"]?.int {
      found["cpus"] = .int(count)
    }
    if let architecture { found["cpu_arch"] = .string(architecture) }
    if let model { found["cpu_model"] = .string(model) }
  }
  /// The kernel's names. DSP0268, Processor, "InstructionSet" and "ProcessorArchitecture".
  private static func architecture(_ processor: RedfishReply) -> String? {
    switch (processor["InstructionSet"]?.string, processor["ProcessorArchitecture"]?.string) {
    case ("x86-64", _), (nil, "x86"): "x86_64"
    case ("x86", _): "i686"
    case ("ARM-A64", _), (nil, "ARM"): "aarch64"
    case ("PowerISA", _), (nil, "Power"): "ppc64le"
    default: nil
    }
  }

  private func interfaces(_ system: RedfishReply) async throws -> [JSON] {
    var seen: Set<MACAddress> = []
    var found: [JSON] = []
    for interface in try await members(of: system["EthernetInterfaces"]) {
      let text = interface["PermanentMACAddress"]?.string ?? interface["MACAddress"]?.string
      guard let mac = text.flatMap({ MACAddress($0) }), seen.insert(mac).inserted else { continue }
      var one: JSONObject = ["name": interface["Id"] ?? .null, "mac": .string(mac.description)]
      one["speed_mbps"] = interface["SpeedMbps"] ?? .null
      one["link"] = .bool(interface["LinkStatus"]?.string == "LinkUp")
      found.append(.object(one))
    }
    return found
  }

  private func disks(_ system: RedfishReply) async throws -> [JSON] {
    var found: [JSON] = []
    for storage in try await members(of: system["Storage"]) {
      for link in (storage["Drives"]?.array ?? []).prefix(Self.most) {
        guard let path = link["@odata.id"]?.string.flatMap({ connection.localPath($0) }),
          let drive = try await optional(path), let bytes = drive["CapacityBytes"]?.int
        else { continue }
        var one: JSONObject = ["name": drive["Name"] ?? drive["Id"] ?? .null, "size_bytes": .int(bytes)]
        one["model"] = drive["Model"] ?? .null
        one["serial"] = drive["SerialNumber"] ?? .null
        one["rotational"] = .bool(drive["MediaType"]?.string == "HDD")
        one["transport"] = drive["Protocol"]?.string.map { .string($0.lowercased()) } ?? .null
        found.append(.object(one))
      }
    }
    if !found.isEmpty { return found }
    for storage in try await members(of: system["SimpleStorage"]) {
      for device in (storage["Devices"]?.array ?? []).prefix(Self.most) {
        guard let bytes = device["CapacityBytes"]?.int else { continue }
        found.append(["name": device["Name"] ?? .null, "size_bytes": .int(bytes), "model": device["Model"] ?? .null])
      }
    }
    return found
  }

  /// The members of a linked collection; none when there is no such collection.
  func members(of link: JSON?, most: Int = Self.most) async throws -> [RedfishReply] {
    guard let path = link?["@odata.id"]?.string.flatMap({ connection.localPath($0) }),
      let collection = try await optional(path)
    else { return [] }
    var found: [RedfishReply] = []
    for member in (collection["Members"]?.array ?? []).prefix(most) {
      guard let path = member["@odata.id"]?.string.flatMap({ connection.localPath($0) }) else { continue }
      if let reply = try await optional(path) { found.append(reply) }
    }
    return found
  }
  /// Nil for what this controller does not have, or fails to show: an inventory with a hole is better than none.
  func optional(_ path: String) async throws -> RedfishReply? {
    let reply = try await connection.request("GET", path, nil, etag: nil)
    return (200..<300).contains(reply.status) ? reply : nil
  }
}
