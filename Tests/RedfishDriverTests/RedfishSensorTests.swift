import Domain
import DriverInterfaces
import Simulators
import Testing
import Wire

@testable import RedfishDriver

@Suite struct RedfishSensorTests {
  private func read(_ controller: SimulatedController) async throws -> JSON {
    Sensor.payload(try await #require(try controller.driver().sensors).sensors())
  }

  @Test func thermalAndPowerAreShownInIronicsShape() async throws {
    try await withController { controller in
      let shown = try await read(controller)
      #expect(shown.object?.keys == ["Fan", "Power", "Temperature", "Voltage"])
      #expect(
        shown["Temperature"]?["0@1"] == [
          "identity": "0", "name": "Inlet", "reading_celsius": 23, "min_reading_range_temp": .null,
          "max_reading_range_temp": .null, "physical_context": "Intake", "sensor_number": .null, "state": "Enabled",
          "health": "OK",
        ])
      #expect(shown["Fan"]?["0@1"]?["reading"] == 4200 && shown["Fan"]?["0@1"]?["reading_units"] == "RPM")
      #expect(shown["Power"]?["0:Power@1"]?["last_power_output_watts"] == 12)
      #expect(shown["Power"]?["0:PowerControl@1"]?["power_consumed_watts"] == 12)
      #expect(shown["Voltage"]?["0@1"]?["reading_volts"] == .double(12.1))
    }
  }

  @Test func newerControllersHaveACollection() async throws {
    try await withController { controller in
      await controller.fault { $0.noThermal = true }
      let shown = try await read(controller)
      #expect(shown.object?.keys == ["Fan", "Power", "Temperature"])
      #expect(shown["Temperature"]?.object?.keys == ["Inlet@1"], "one without a reading shows nothing")
      #expect(shown["Fan"]?["Fan1@1"]?["reading_units"] == "{rev}/min" && shown["Power"]?["Total@1"]?["reading"] == 12)
    }
  }

  @Test func aControllerThatDoesNotAnswerIsSaidSo() async throws {
    try await withController { controller in
      await controller.fault { $0.garbage = true }
      #expect(await driverError { _ = try await read(controller) }.code == .badReply)
    }
  }
}
