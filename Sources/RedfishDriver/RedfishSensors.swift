import Domain
import DriverInterfaces
import Wire

/// Temperatures, fans, voltages and power of the chassis that the system is in. Source: DMTF DSP0268, "Thermal" and "Power" of
/// older controllers, "Sensor" of newer ones. The names of what is shown are those of Ironic's redfish driver.
extension RedfishNode: SensorInterface {
  /// A list of readings in a document of a chassis.
  private struct Group {
    var type: String
    var list: String
    /// Ironic's name and the controller's.
    var members: [(name: String, key: String)]
    /// What comes between the identity and the chassis in the unique name.
    var infix = ""
  }
  private static let thermal = [
    Group(
      type: "Temperature", list: "Temperatures",
      members: [
        ("reading_celsius", "ReadingCelsius"), ("min_reading_range_temp", "MinReadingRangeTemp"),
        ("max_reading_range_temp", "MaxReadingRangeTemp"), ("physical_context", "PhysicalContext"),
        ("sensor_number", "SensorNumber"),
      ]),
    Group(
      type: "Fan", list: "Fans",
      members: [
        ("reading", "Reading"), ("reading_units", "ReadingUnits"), ("min_reading_range", "MinReadingRange"),
        ("max_reading_range", "MaxReadingRange"), ("physical_context", "PhysicalContext"),
        ("serial_number", "SerialNumber"),
      ]),
  ]
  private static let power = [
    Group(
      type: "Power", list: "PowerSupplies",
      members: [
        ("power_capacity_watts", "PowerCapacityWatts"), ("line_input_voltage", "LineInputVoltage"),
        ("last_power_output_watts", "LastPowerOutputWatts"), ("serial_number", "SerialNumber"),
      ], infix: ":Power"),
    Group(
      type: "Power", list: "PowerControl",
      members: [("power_consumed_watts", "PowerConsumedWatts"), ("power_capacity_watts", "PowerCapacityWatts")],
      infix: ":PowerControl"),
    Group(
      type: "Voltage", list: "Voltages",
      members: [
        ("reading_volts", "ReadingVolts"), ("min_reading_range", "MinReadingRange"),
        ("max_reading_range", "MaxReadingRange"), ("sensor_number", "SensorNumber"),
      ]),
  ]
  private static let types = ["Rotational": "Fan", "AirFlow": "Fan"]
  /// Sensors of one chassis that are looked at.
  private static let mostSensors = 500

  func sensors() async throws -> [Sensor] {
    var found: [Sensor] = []
    for (_, chassis) in try await chassis(of: try await connection.system()) {
      let id = Self.text(chassis["Id"]) ?? "chassis"
      let before = found.count
      for (link, groups) in [("Thermal", Self.thermal), ("Power", Self.power)] {
        guard let path = chassis[link]?["@odata.id"]?.string.flatMap({ connection.localPath($0) }),
          let document = try await optional(path)
        else { continue }
        for group in groups { found += readings(document[group.list], group, chassis: id) }
      }
      if found.count == before {
        found += try await members(of: chassis["Sensors"], most: Self.mostSensors).compactMap {
          sensor($0, chassis: id)
        }
      }
    }
    return found
  }

  private func readings(_ list: JSON?, _ group: Group, chassis: String) -> [Sensor] {
    (list?.array ?? []).prefix(Self.mostSensors).enumerated().map { index, item in
      let identity = Self.text(item["MemberId"]) ?? "\(index)"
      var reading: JSONObject = ["identity": .string(identity), "name": Self.scalar(item["Name"])]
      for (name, key) in group.members { reading[name] = Self.scalar(item[key]) }
      for (name, key) in [("state", "State"), ("health", "Health")] {
        reading[name] = Self.scalar(item["Status"]?[key])
      }
      return Sensor(group.type, "\(identity)\(group.infix)@\(chassis)", reading)
    }
  }
  /// One of the newer kind; nil when it shows nothing.
  private func sensor(_ reply: RedfishReply, chassis: String) -> Sensor? {
    guard let id = Self.text(reply["Id"]), let type = Self.text(reply["ReadingType"]), reply["Reading"]?.isNull == false
    else { return nil }
    return Sensor(
      Self.types[type] ?? type, "\(id)@\(chassis)",
      [
        "identity": .string(id), "name": Self.scalar(reply["Name"]), "reading": Self.scalar(reply["Reading"]),
        "reading_units": Self.scalar(reply["ReadingUnits"]), "physical_context": Self.scalar(reply["PhysicalContext"]),
        "state": Self.scalar(reply["Status"]?["State"]), "health": Self.scalar(reply["Status"]?["Health"]),
      ])
  }

  /// What comes from a device is not trusted: single values of a length that is fit to be shown.
  private static func scalar(_ json: JSON?) -> JSON {
    switch json {
    case .int, .double, .bool: json ?? .null
    default: JSON(text(json))
    }
  }
  private static func text(_ json: JSON?) -> String? {
    guard let scalars = json?.string?.unicodeScalars.prefix(200), !scalars.isEmpty else { return nil }
    return String(String.UnicodeScalarView(scalars.map { $0.properties.generalCategory == .control ? " " : $0 }))
  }
}
