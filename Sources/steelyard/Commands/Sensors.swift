import APISupport
import ArgumentParser
import Wire

struct SensorsCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "sensors", abstract: "Shows what a node's sensors measure now.",
    discussion: "For the node's owner and administrators. \(cloudCredentialsHelp)")
  @Argument(help: "The node's name or UUID.") var node: String
  @Flag(help: "JSON, as the API has it.") var json = false

  func run() async throws {
    try await CloudClient.session { client in
      let url = try client.endpoint("baremetal") + "/v1/nodes/\(percentEncoded(node))/sensors"
      let answer = try await client.send("GET", url)
      guard answer.status == 200 else { throw Failure(answer.fault) }
      if json { print(answer.json) } else { print(table(answer.json["sensors"]?.object ?? [:])) }
    }
  }

  /// What is measured, and its unit where it has a member of its own; drivers name it differently.
  private static let readings: [(member: String, unit: String)] = [
    ("Sensor Reading", ""), ("reading", ""), ("reading_celsius", "Cel"), ("reading_volts", "V"),
    ("power_consumed_watts", "W"), ("last_power_output_watts", "W"),
  ]
  private func table(_ sensors: JSONObject) -> String {
    var rows: [[String]] = []
    for type in sensors {
      for sensor in type.value.object ?? [:] {
        let found = Self.readings.first { sensor.value[$0.member].map { !$0.isNull } ?? false }
        let value = found.flatMap { sensor.value[$0.member] }.map { $0.string ?? $0.description } ?? "-"
        let unit = sensor.value["reading_units"]?.string ?? found?.unit ?? ""
        let state = sensor.value["Status"]?.string ?? sensor.value["health"]?.string ?? "-"
        rows.append([type.key, sensor.key, unit.isEmpty ? value : "\(value) \(unit)", state])
      }
    }
    return textTable(rows)
  }
}
