import APISupport
import Domain
import DriverInterfaces
import Wire

/// The members of a node that a body may set, read into the noun.
enum NodeBody {
  static let interfaces = Set(InterfaceKind.allCases.map(\.field))
  /// What `POST /v1/nodes` takes.
  static let creatable: Set<String> = interfaces.union([
    "automated_clean", "chassis_uuid", "conductor_group", "description", "driver", "driver_info", "extra",
    "instance_info",
    "instance_uuid", "lessee", "name", "network_data", "owner", "properties", "resource_class", "retired",
    "retired_reason", "shard",
    "parent_node", "uuid", "maintenance", "maintenance_reason",
  ])
  /// What `PATCH` takes.
  static let patchable: Set<String> = creatable.subtracting(["uuid"]).union(["protected", "protected_reason"])
  /// Fields that a running workflow works with; they wait until it is over.
  static let lockedByWorkflow: Set<String> = [
    "driver", "driver_info", "instance_info", "instance_uuid", "network_data", "lessee", "owner",
  ]

  /// The patchable members as a document that a patch can be applied to.
  static func document(_ node: Node) -> JSONObject {
    [
      "automated_clean": node.automatedClean.map { .bool($0) } ?? .null,
      "chassis_uuid": JSON(node.chassisUUID), "conductor_group": .string(node.conductorGroup),
      "description": JSON(node.description),
      "driver": .string(node.driver), "driver_info": .object(node.driverInfo), "extra": .object(node.extra),
      "instance_info": .object(node.instanceInfo), "instance_uuid": JSON(node.instanceUUID),
      "lessee": JSON(node.lessee),
      "name": JSON(node.name), "network_data": .object(node.networkData), "owner": JSON(node.owner),
      "properties": .object(node.properties), "resource_class": JSON(node.resourceClass),
      "retired": .bool(node.isRetired),
      "retired_reason": JSON(node.retiredReason), "shard": JSON(node.shard), "parent_node": JSON(node.parentNode),
      "maintenance": .bool(node.maintenance),
      "maintenance_reason": JSON(node.maintenanceReason?.whole), "protected": .bool(node.isProtected),
      "protected_reason": JSON(node.protectedReason),
    ]
  }

  /// Sets one member.
  /// - Parameters:
  ///   - value: nil or null sets the default.
  ///   - type: the node's hardware type, which has the interfaces.
  /// - Throws: 400 for a wrong type, a size beyond the limit, or what is not kept here.
  static func set(_ field: String, _ value: JSON?, on node: inout Node, _ type: (any HardwareType)?) throws {
    switch field {
    case "automated_clean": node.automatedClean = try FieldReading.flag(value, field)
    case "conductor_group":
      let group = try FieldReading.text(value, field) ?? ""
      guard group.isEmpty else {
        throw APIError.badRequest("There is one conductor and no conductor group '\(group)'.")
      }
    case "description": node.description = try FieldReading.text(value, field, max: 4096)
    case "driver":
      guard let driver = try FieldReading.text(value, field) else {
        throw APIError.badRequest("driver must be a string.")
      }
      node.driver = driver
    case "driver_info":
      node.driverInfo = SecretMask.keeping(node.driverInfo, in: try FieldReading.document(value, field))
    case "extra": node.extra = try FieldReading.document(value, field)
    case "instance_info":
      node.instanceInfo = SecretMask.keeping(node.instanceInfo, in: try FieldReading.document(value, field))
    case "instance_uuid": node.instanceUUID = try FieldReading.uuid(value, field)
    case "lessee": node.lessee = try FieldReading.text(value, field)
    case "name": node.name = try FieldReading.name(value, of: "node")
    case "network_data": node.networkData = try FieldReading.document(value, field)
    case "owner": node.owner = try FieldReading.text(value, field)
    case "properties": try setProperties(value, on: &node)
    case "resource_class": node.resourceClass = try FieldReading.text(value, field, max: 80)
    case "retired": node.isRetired = try FieldReading.flag(value, field) ?? false
    case "retired_reason": node.retiredReason = try FieldReading.text(value, field)
    case "protected": node.isProtected = try FieldReading.flag(value, field) ?? false
    case "protected_reason": node.protectedReason = try FieldReading.text(value, field)
    case "maintenance": node.maintenance = try FieldReading.flag(value, field) ?? false
    case "maintenance_reason": node.maintenanceReason = try FieldReading.text(value, field).map { Reason($0) }
    case "chassis_uuid": node.chassisUUID = try FieldReading.uuid(value, field)
    case "shard": node.shard = try FieldReading.text(value, field).flatMap { $0.isEmpty ? nil : $0 }
    case "parent_node": node.parentNode = try FieldReading.text(value, field)
    default:
      guard let kind = InterfaceKind(field: field) else { throw APIError.badRequest("\(field) cannot be set.") }
      guard let value, !value.isNull else {
        node.interfaces[kind] = nil
        return
      }
      guard let name = value.string, type?.interfaces[kind]?.contains(name) == true else {
        throw APIError.badRequest(
          "Could not find the \(field) \(value.description.prefix(80)): `openstack baremetal driver show \(node.driver)` lists what there is."
        )
      }
      node.interfaces[kind] = name
    }
  }
  /// `lease_uuid` belongs to the lease: a client may send back what it read, and no other.
  private static func setProperties(_ value: JSON?, on node: inout Node) throws {
    let properties = SecretMask.keeping(node.properties, in: try FieldReading.document(value, "properties"))
    let lease = properties["lease_uuid"]?.string
    guard lease == nil || lease == node.leaseUUID else {
      throw APIError.badRequest("properties/lease_uuid is set by the lease that holds the node.")
    }
    node.properties = properties
  }
}
