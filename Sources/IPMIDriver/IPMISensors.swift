import Domain
import DriverInterfaces
import Wire

/// Sensors of the controller's data repository (SDR). Source: IPMI 2.0, sections 35.14 and 43.
struct IPMISensors: SensorInterface {
  let tool: Ipmitool
  /// Of those who read sensors: it takes long, and what is left of the places is for everything else.
  let readers: Turns

  func sensors() async throws -> [Sensor] {
    try await readers.turn(for: tool.settings.key) {
      IPMIReply.sensors(try await tool.run("sdr", limit: tool.limits.sensors))
    }
  }
}

extension IPMIReply {
  /// Sensors that are looked at.
  private static let mostSensors = 2000

  /// Reads `sdr` as it is with `-v`: a paragraph for each sensor. Those without a reading are left out, as Ironic does
  /// (`ironic/drivers/modules/ipmitool.py`, `_parse_ipmi_sensors_data`).
  static func sensors(_ text: String) -> [Sensor] {
    var found: [Sensor] = []
    var reading: JSONObject = [:]
    func end() {
      defer { reading = [:] }
      let kinds = ["Threshold", "Discrete", "Analog"].lazy.compactMap { reading["Sensor Type (\($0))"]?.string }
      // "Power Supply (0x08)", "Temperature (0x01)": Ironic's type is the first word.
      guard let type = kinds.first?.split(separator: " ").first, let id = reading["Sensor ID"]?.string,
        let shown = reading["Sensor Reading"]?.string, !["No Reading", "Disabled", "Not Present"].contains(shown)
      else { return }
      found.append(Sensor(String(type), id, reading))
    }
    for line in text.split(separator: "\n", omittingEmptySubsequences: false) {
      let words = printable(line)
      if words.isEmpty {
        end()
      } else if !words.hasPrefix("<<"), let colon = words.firstIndex(of: ":") {
        let name = printable(words[..<colon]), value = printable(words[words.index(after: colon)...])
        if !name.isEmpty, !value.isEmpty, reading.count < 64 { reading[name] = .string(value) }
      }
      if found.count >= mostSensors { break }
    }
    end()
    return found
  }
}
