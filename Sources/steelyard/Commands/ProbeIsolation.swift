import ArgumentParser
import Conductor
import Domain
import DriverInterfaces
import Logging
import Store

struct ProbeIsolationCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "probe-isolation",
    abstract: "Sends frames of every kind between two networks, and says whether any of them crosses.",
    discussion:
      "Runs as root on the host of the switch (Open vSwitch with `control` in the configuration), beside the server: two ports in each network are made for the moment. The result goes into the isolation reports of the leases on these networks. Exits with 1 when something crosses."
  )
  @OptionGroup var site: SiteOptions
  @Argument(help: "A network: its UUID, its name, or its VLAN.") var first: String
  @Argument(help: "Another one.") var second: String
  @Option(name: .customLong("switch"), help: "On which switch; on all by default.") var only: String?

  func run() async throws {
    let configuration = try Configuration.read(site.configurationFile)
    let composition = try await Composition.parts(
      site: site, configuration: configuration, logger: Logger(label: "probe") { _ in SwiftLogNoOpLogHandler() })
    do {
      let isIsolated = try await probe(composition.conductor)
      await composition.close()
      if !isIsolated { throw ExitCode(1) }
    } catch {
      await composition.close()
      throw error
    }
  }

  private func probe(_ conductor: Conductor) async throws -> Bool {
    let networks = try await conductor.database.read { try NetworkStore.list(in: $0) }
    let vlans = try [first, second].map { word in
      if let vlan = Int(word) { return vlan }
      let found = networks.filter { $0.id == word.lowercased() || $0.name == word }
      guard found.count == 1 else {
        throw Failure(
          found.isEmpty ? "there is no network \(word)" : "several networks are named \(word): give the UUID")
      }
      return found[0].vlan
    }
    let names = only.map { [$0] } ?? conductor.switchNames
    guard !names.isEmpty else { throw Failure("no switch is configured") }
    var isIsolated = true
    for name in names {
      let probe: IsolationProbe
      do { probe = try await conductor.probeIsolation(between: vlans[0], and: vlans[1], on: name) } catch let error
        as DriverError
      { throw Failure(error.description) }
      print("Switch \(name), VLANs \(vlans[0]) and \(vlans[1]):")
      print("  \(pad("frames", 24))  sent  arrived at home  crossed")
      for line in probe.lines {
        print("  \(pad(line.kind, 24))  \(pad("\(line.sent)", 4))  \(pad("\(line.arrived)", 15))  \(line.crossed)")
      }
      print(
        probe.isIsolated
          ? "  Nothing crosses."
          : "  NOT ISOLATED: \(probe.crossed) frames of one network were seen in the other.")
      isIsolated = isIsolated && probe.isIsolated
    }
    return isIsolated
  }
}
