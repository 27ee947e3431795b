import Domain
import DriverInterfaces
import Testing
import Wire

@testable import IPMIDriver

@Suite struct SensorTests {
  @Test func aRealControllersSensorsAreReadByType() async throws {
    let controller = try await SimulatedController.start()
    do {
      let driver = try IPMIHardwareType().driver(
        node: "n1",
        driverInfo: [
          "ipmi_address": "127.0.0.1", "ipmi_port": .int(controller.port), "ipmi_username": "admin",
          "ipmi_password": "password",
        ])
      let shown = Sensor.payload(try await #require(driver.sensors).sensors())
      #expect(shown.object?.keys == ["Fan", "Temperature"], "\(shown)")
      let inlet = shown["Temperature"]?["Inlet (0x1)"]
      #expect(inlet?["Sensor Reading"]?.string?.hasPrefix("23 ") == true, "\(shown)")
      #expect(inlet?["Sensor Reading"]?.string?.hasSuffix("degrees C") == true && inlet?["Status"] == "ok")
      #expect(shown["Fan"]?["Fan 1 (0x2)"]?["Sensor Reading"]?.string?.hasSuffix("RPM") == true)
      #expect(driver.bootMode == nil)
    } catch {
      try await controller.remove()
      throw error
    }
    try await controller.remove()
  }

  @Test func paragraphsOfIpmitoolAreRead() {
    // ipmitool 1.8.19 on a Dell PowerEdge R640 (iDRAC 9), as the manual shows it; shortened.
    let text = """
      Sensor ID              : Temp (0x1)
       Entity ID             : 3.1 (Processor)
       Sensor Type (Threshold)  : Temperature (0x01)
       Sensor Reading        : 41 (+/- 1) degrees C
       Status                : ok
       Upper critical        : 97.000

      Sensor ID              : Presence (0x5)
       Sensor Type (Discrete): Entity Presence (0x25)
       States Asserted       : Availability State

      Sensor ID              : Fan9 (0x9)
       Sensor Type (Threshold)  : Fan (0x04)
       Sensor Reading        : No Reading

      << Message : ff:ff
      Sensor ID              : Evil\u{1b}[2J (0xa)
       Sensor Type (Threshold)  : Voltage (0x02)
       Sensor Reading        : 12 (+/- 0) Volts
      """
    let sensors = IPMIReply.sensors(text)
    #expect(sensors.map(\.type) == ["Temperature", "Voltage"])
    #expect(sensors[0].name == "Temp (0x1)" && sensors[0].reading["Upper critical"] == "97.000")
    #expect(!sensors[1].name.contains("\u{1b}"))
    #expect(IPMIReply.sensors("").isEmpty && IPMIReply.sensors("garbage\n\n:::\n").isEmpty)
  }
}
