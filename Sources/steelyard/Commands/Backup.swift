import ArgumentParser
import Glibc
import Store

struct BackupCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "backup",
    abstract: "Copies the database while the server runs. Keep secrets.key and tokens.keys too, elsewhere.")
  @OptionGroup var site: SiteOptions
  @Argument(help: "The file to write; it must not exist.") var file: String

  func run() async throws {
    guard access(file, F_OK) != 0 else { throw Failure("\(file) exists: choose another name") }
    try await withDatabase(site) { try await $0.backUp(to: file) }
    print("\(file) written; restore it by putting it in the place of \(site.database) while the server is stopped")
  }
}
