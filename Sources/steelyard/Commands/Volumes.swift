import ArgumentParser
import Logging

struct VolumesCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "volumes", abstract: "The daemons behind the site's volumes.", subcommands: [VolumesStopCommand.self])
}

struct VolumesStopCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "stop",
    abstract: "Ends every target and the daemons behind it; the volumes stay.",
    discussion: """
      A server that stops leaves the targets that machines run from. This ends them, for the end of a site or before the machine
      is turned off. The server must not run; when it starts again it brings the targets back.
      """)

  @OptionGroup var site: SiteOptions

  func run() async throws {
    let lock = try FolderLock(site.data)
    defer { lock.release() }
    let configuration = try Configuration.read(site.configurationFile)
    for backend in try configuration.volumeBackends(data: site.data, Logger(label: "volumes")).values {
      try await backend.stop()
    }
  }
}
