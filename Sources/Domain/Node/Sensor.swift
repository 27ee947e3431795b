import Wire

/// Something that a controller measures in a machine. Source: Ironic, "Collecting metrics from hardware".
public struct Sensor: Sendable, Equatable {
  /// The word that Ironic groups it under: "Temperature", "Fan", "Voltage", "Current", "Power".
  public var type: String
  /// Unique among those of its type.
  public var name: String
  /// What the controller says of it, under the names that Ironic's driver of such hardware has.
  public var reading: JSONObject
  public init(_ type: String, _ name: String, _ reading: JSONObject) {
    self.type = type
    self.name = name
    self.reading = reading
  }

  /// As Ironic publishes them: an object of names for each type, both in order.
  public static func payload(_ sensors: [Sensor]) -> JSON {
    var types: JSONObject = [:]
    for sensor in sensors.sorted(by: { ($0.type, $0.name) < ($1.type, $1.name) }) {
      var group = types[sensor.type]?.object ?? [:]
      group[sensor.name] = .object(sensor.reading)
      types[sensor.type] = .object(group)
    }
    return .object(types)
  }
}
