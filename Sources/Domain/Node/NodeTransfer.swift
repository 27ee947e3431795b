import Wire

/// A node of another Ironic as it would be enrolled here, for `steelyard import --from-ironic`. Source: Ironic API reference v1,
/// "List Nodes Detailed", "List Detailed Ports", "List Detailed Port Groups".
public struct NodeTransfer: Sendable, Equatable {
  /// Members of `POST /v1/nodes`; its UUID is the one that it has there.
  public var node: JSONObject
  /// Members of `POST /v1/portgroups` and `POST /v1/ports`.
  public var portGroups: [JSONObject]
  public var ports: [JSONObject]
  public var traits: [String]
  /// What of `driver_info` the other Ironic masked and nobody gave.
  public var missingSecrets: [String]
  /// What is not taken over, each a phrase for whoever runs the import.
  public var notes: [String]
  /// The provision state there.
  public var state: String

  public var uuid: String { node["uuid"]?.string ?? "" }
  public var label: String { node["name"]?.string ?? uuid }
  /// Whether a machine runs somebody's work there.
  public var isInUse: Bool { !Self.idleStates.contains(state) }
  public var isActive: Bool { state == "active" }

  private static let idleStates: Set<String> = [
    "enroll", "verifying", "manageable", "available", "inspecting", "inspect wait", "inspect failed", "cleaning",
    "clean wait", "clean failed", "clean hold", "adopting", "adopt failed",
  ]

  /// What the site that takes the nodes has.
  public struct Site: Sendable {
    /// The implementations of each interface (`boot_interface`, …) of each driver, the default first.
    public var drivers: [String: [String: [String]]]
    /// The projects among the owners and lessees that are also here.
    public var projects: Set<String>
    public init(drivers: [String: [String: [String]]], projects: Set<String>) {
      self.drivers = drivers
      self.projects = projects
    }
  }

  private static let copied = [
    "uuid", "name", "driver", "properties", "extra", "resource_class", "description", "automated_clean",
    "network_data", "retired", "retired_reason", "shard", "parent_node", "chassis_uuid", "maintenance",
    "maintenance_reason",
  ]
  private static let images = [
    "bootloader", "deploy_iso", "deploy_kernel", "deploy_ramdisk", "rescue_kernel", "rescue_ramdisk",
  ]
  private static let ofPort = [
    "uuid", "address", "extra", "local_link_connection", "pxe_enabled", "physical_network", "portgroup_uuid", "name",
  ]
  private static let ofPortGroup = [
    "uuid", "address", "name", "mode", "properties", "standalone_ports_supported", "extra",
  ]

  /// - Parameters:
  ///   - source: the node, as `GET /v1/nodes/detail` shows it.
  ///   - secrets: by node name, UUID or `*`: a text for what was masked, or an object of `driver_info` keys.
  public init(
    _ source: JSON, ports: [JSON], portGroups: [JSON], secrets: JSONObject, site: Site
  ) {
    node = Self.members(Self.copied, of: source)
    traits = (source["traits"]?.array ?? []).compactMap(\.string)
    state = source["provision_state"]?.string ?? "enroll"
    missingSecrets = []
    notes = []
    self.ports = ports.map { Self.members(Self.ofPort, of: $0) }
    self.portGroups = portGroups.map { Self.members(Self.ofPortGroup, of: $0) }

    takeDriverInfo(source, secrets)
    takeInterfaces(source, site)
    takeProjects(source, site)
    // A lease there is no lease here.
    if var properties = node["properties"]?.object {
      properties["lease_uuid"] = nil
      node["properties"] = .object(properties)
    }
    if isInUse {
      for member in Self.members(["instance_uuid", "instance_info"], of: source) { node[member.key] = member.value }
      if let info = node["instance_info"]?.object { node["instance_info"] = .object(unmasked(info, "instance_info")) }
    }
    if let group = source["conductor_group"]?.string, !group.isEmpty { notes.append("conductor_group \(group)") }
    if source["protected"]?.bool == true { notes.append("protected") }
    if source["target_raid_config"]?.object?.isEmpty == false { notes.append("target_raid_config") }
    if ports.contains(where: { $0["is_smartnic"]?.bool == true }) { notes.append("is_smartnic of a port") }
    if (ports + portGroups).contains(where: { $0["internal_info"]?["tenant_vif_port_id"]?.string != nil }) {
      notes.append("attached networks")
    }
  }

  /// Those of `names` that say something.
  private static func members(_ names: [String], of source: JSON) -> JSONObject {
    names.reduce(into: [:]) { members, name in
      if let value = source[name], !value.isNull { members[name] = value }
    }
  }

  private mutating func unmasked(_ document: JSONObject, _ name: String) -> JSONObject {
    document.reduce(into: [:]) { kept, member in
      if member.value.string == Node.mask {
        notes.append("\(name).\(member.key)")
      } else {
        kept[member.key] = member.value
      }
    }
  }

  private mutating func takeDriverInfo(_ source: JSON, _ secrets: JSONObject) {
    let given = [label, uuid, "*"].lazy.compactMap { secrets[$0] }.first
    var info = source["driver_info"]?.object ?? [:]
    for key in info.keys where info[key]?.string == Node.mask {
      info[key] = given?.string.map { .string($0) } ?? given?[key]
      if info[key] == nil { missingSecrets.append(key) }
    }
    // What is there in the clear may be given anew too: a controller that moves with its node.
    for member in given?.object ?? [:] { info[member.key] = member.value }
    missingSecrets.sort()
    // These are files and images of the other site.
    for key in Self.images where info[key] != nil {
      info[key] = nil
      notes.append("driver_info.\(key)")
    }
    node["driver_info"] = .object(info)
  }

  private mutating func takeInterfaces(_ source: JSON, _ site: Site) {
    guard let interfaces = site.drivers[node["driver"]?.string ?? ""] else { return }
    for (field, names) in interfaces.sorted(by: { $0.key < $1.key }) {
      guard let name = source[field]?.string, name != names.first else { continue }
      if names.contains(name) {
        node[field] = .string(name)
      } else {
        notes.append("\(field) \(name) (here \(names.first ?? "none"))")
      }
    }
  }

  private mutating func takeProjects(_ source: JSON, _ site: Site) {
    for member in ["owner", "lessee"] {
      guard let project = source[member]?.string, !project.isEmpty else { continue }
      if !site.projects.contains(project) {
        notes.append("\(member) \(project) (no such project here)")
      } else if member == "owner" || isInUse {
        node[member] = .string(project)
      }
    }
  }

  /// Nodes before those that are parts of them.
  public static func inOrder(_ nodes: [NodeTransfer]) -> [NodeTransfer] {
    nodes.filter { $0.node["parent_node"] == nil } + nodes.filter { $0.node["parent_node"] != nil }
  }
}
