import Wire

/// What the machine stands in, and what is measured there.
extension SimulatedBMC {
  func chassis(_ words: [String]) async throws -> JSON? {
    if words.isEmpty { return collection("Chassis", "Chassis", ["1"]) }
    guard words[0] == "1" else { return nil }
    let path = "Chassis/" + words.joined(separator: "/")
    switch words.dropFirst().first {
    case nil:
      let isOn = try await machine.isOn()
      var members: JSONObject = [
        "ChassisType": "RackMount", "Manufacturer": .string(manufacturer), "Model": .string(configuration.model),
        "SerialNumber": .string(configuration.serial), "PowerState": isOn ? "On" : "Off", "Status": healthy,
        "LocationIndicatorActive": .bool(chassisLocated),
        "Links": [
          "ComputerSystems": [reference(root + "/Systems/1")], "ManagedBy": [reference(root + "/Managers/1")],
        ],
      ]
      for name in faults.noThermal ? ["Sensors"] : ["Power", "Thermal"] {
        members[name] = reference("\(root)/Chassis/1/\(name)")
      }
      return resource(path, type: "Chassis.v1_22_0.Chassis", id: "1", name: "Chassis", members)
    case "Sensors" where faults.noThermal: return try await sensor(path, Array(words.dropFirst(2)))
    case "Power" where words.count == 2 && !faults.noThermal:
      let isOn = try await machine.isOn()
      return resource(
        path, type: "Power.v1_7_1.Power", id: "Power", name: "Power",
        [
          "PowerControl": [["MemberId": "0", "Name": "System power", "PowerConsumedWatts": isOn ? 180 : 12]],
          "PowerSupplies": [
            [
              "MemberId": "0", "Name": "Supply 1", "PowerCapacityWatts": 800, "LineInputVoltage": 230,
              "LastPowerOutputWatts": isOn ? 180 : 12, "SerialNumber": "PS-1", "Status": healthy,
            ]
          ],
          "Voltages": [["MemberId": "0", "Name": "P12V", "ReadingVolts": 12.1, "Status": healthy]],
        ])
    case "Thermal" where words.count == 2 && !faults.noThermal:
      return resource(
        path, type: "Thermal.v1_7_1.Thermal", id: "Thermal", name: "Thermal",
        [
          "Temperatures": [
            ["MemberId": "0", "Name": "Inlet", "ReadingCelsius": 23, "PhysicalContext": "Intake", "Status": healthy]
          ],
          "Fans": [["MemberId": "0", "Name": "Fan 1", "Reading": 4200, "ReadingUnits": "RPM", "Status": healthy]],
        ])
    default: return nil
    }
  }

  private func sensor(_ path: String, _ words: [String]) async throws -> JSON? {
    let isOn = try await machine.isOn()
    let sensors: [(id: String, type: String, reading: JSON, units: String)] = [
      ("Inlet", "Temperature", 23, "Cel"), ("Fan1", "Rotational", isOn ? 4200 : 0, "{rev}/min"),
      ("Total", "Power", isOn ? 180 : 12, "W"), ("Absent", "Temperature", nil, "Cel"),
    ]
    guard let id = words.first else { return collection(path, "Sensor", sensors.map(\.id)) }
    guard words.count == 1, let sensor = sensors.first(where: { $0.id == id }) else { return nil }
    return resource(
      path, type: "Sensor.v1_7_0.Sensor", id: id, name: id,
      [
        "ReadingType": .string(sensor.type), "Reading": sensor.reading, "ReadingUnits": .string(sensor.units),
        "Status": healthy,
      ])
  }
}
