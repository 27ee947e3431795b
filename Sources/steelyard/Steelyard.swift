import ArgumentParser
import CLinux
import Glibc

@main
struct Steelyard: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "steelyard",
    abstract: "Leases bare-metal machines to tenants, wires them, provisions them and takes them back clean.",
    subcommands: [
      InitCommand.self, ServeCommand.self, LabCommand.self, DoctorCommand.self, WorkflowCommand.self,
      ConsoleCommand.self, UsageCommand.self, ImportCommand.self, SensorsCommand.self,
      BackupCommand.self, RotateKeysCommand.self, IsolationReportCommand.self, IsolationKeyCommand.self,
      EraseRecordCommand.self, ProbeIsolationCommand.self, VolumesCommand.self, ImageCommand.self, DiskCommand.self,
      SnapCommand.self,
      ProvisionCommand.self, DeprovisionCommand.self, NodeCommand.self, DiskBackupCommand.self,
      DiskBackupScheduleCommand.self,
    ])

  static func main() async {
    // Progress is seen as it happens, also through a pipe.
    clinux_line_buffer_output()
    // A client that goes away must not end the server.
    signal(SIGPIPE, SIG_IGN)
    await self.main(nil)
  }
}

/// Options that every command on a site takes.
struct SiteOptions: ParsableArguments {
  @Option(name: [.customShort("d"), .customLong("data")], help: "The site's data folder.")
  var data = "/var/lib/steelyard"

  var database: String { "\(data)/steelyard.db" }
  var keyFile: String { "\(data)/secrets.key" }
  var tokenKeys: String { "\(data)/tokens.keys" }
  var configurationFile: String { "\(data)/steelyard.yaml" }
}
