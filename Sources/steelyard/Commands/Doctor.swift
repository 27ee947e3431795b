import APISupport
import ArgumentParser
import Conductor
import Cryptography
import Logging
import Store
import SwitchDrivers

struct DoctorCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "doctor",
    abstract:
      "Compares the database with the switches, DHCP, boot files and controllers, and says what does not agree.",
    discussion: "Changes nothing. Exits with 1 when something is wrong.")
  @OptionGroup var site: SiteOptions

  func run() async throws {
    let configuration = try Configuration.read(site.configurationFile)
    let composition = try await Composition.parts(
      site: site, configuration: configuration, logger: Logger(label: "doctor") { _ in SwiftLogNoOpLogHandler() })
    for caution in composition.conductor.cautions { print("Note: \(caution)") }
    let findings = try await composition.conductor.examine()
    for finding in findings { print(finding) }
    await composition.close()
    if findings.isEmpty {
      print("All is well: database, switches, DHCP, boot files and controllers agree.")
    } else {
      throw ExitCode(1)
    }
  }
}
