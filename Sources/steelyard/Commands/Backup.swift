import ArgumentParser
import Cryptography
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
    let database = try Database(
      path: site.database, secrets: try SecretBox.fromFile(site.keyFile, create: false), readers: 1)
    defer { database.close() }
    try await database.backUp(to: file)
    chmod(file, 0o600)
    print("\(file) written; restore it by putting it in the place of \(site.database) while the server is stopped")
  }
}
