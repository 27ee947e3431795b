import APISupport
import ArgumentParser
import Cryptography
import Glibc
import KeystoneAPI
import Store
import Wire

struct InitCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "init",
    abstract: "Makes a site: the data folder, the keys, the database, the administrator and a clouds.yaml.",
    discussion:
      "Run again it keeps what is there and puts back what is missing; the administrator's password is shown once.")

  @OptionGroup var site: SiteOptions
  @Option(help: "Address that the API listens on.") var address = "127.0.0.1"
  @Option(help: "Port that the API listens on.") var port = 5000
  @Flag(help: "Makes a self-signed certificate and serves TLS with it.") var selfSigned = false
  @Option(help: "A configuration file to start from (docs/deployment.md) instead of the defaults.") var configuration:
    String?

  func run() async throws {
    try makeFolder(site.data)
    for folder in ["consoles", "images", "config-drives", "logs", "run"] { try makeFolder("\(site.data)/\(folder)") }
    var settings = Configuration()
    if let configuration {
      settings = try Configuration.read(configuration)
    } else if access(site.configurationFile, F_OK) == 0 {
      settings = try Configuration.read(site.configurationFile)
    } else {
      settings.listen.address = address
      settings.listen.port = port
    }
    if selfSigned, settings.listen.certificate == nil {
      settings.listen.certificate = "\(site.data)/server.crt"
      settings.listen.key = "\(site.data)/server.key"
      try await SelfSignedCertificate.make(
        certificate: "\(site.data)/server.crt", key: "\(site.data)/server.key", address: settings.listen.address)
    }
    if configuration != nil || access(site.configurationFile, F_OK) != 0 || selfSigned {
      try writeFile(site.configurationFile, settings.yaml, mode: 0o600)
    }
    _ = try TokenKeys.fromFile(site.tokenKeys)
    let database = try Database(path: site.database, secrets: try SecretBox.fromFile(site.keyFile, create: true))
    defer { database.close() }
    // Without the two characters that a shell or an option parser may stumble over.
    let password = Base64.urlText(randomBytes(18)).filter { $0 != "-" && $0 != "_" }
    let isNew = try await database.write { session in
      try IdentityBootstrap.initialise(in: session, adminPassword: password, now: systemClock())
    }
    print("data folder    \(site.data)")
    print("configuration  \(site.configurationFile)")
    guard isNew else {
      print("The site was there already: its administrator's password is unchanged.")
      return
    }
    let clouds = "\(site.data)/clouds.yaml"
    try writeFile(clouds, cloudsFile(settings.listen, password), mode: 0o600)
    print("clouds.yaml    \(clouds)  (cloud 'steelyard', project 'admin')")
    print("administrator  admin")
    print("password       \(password)   (shown once; it is also in clouds.yaml)")
  }

  private func cloudsFile(_ listen: Configuration.Listen, _ password: String) -> String {
    let scheme = listen.certificate == nil ? "http" : "https"
    var text = """
      clouds:
        steelyard:
          auth:
            auth_url: \(scheme)://\(listen.address):\(listen.port)/identity/v3
            username: admin
            password: \(password)
            project_name: admin
            user_domain_name: Default
            project_domain_name: Default
          region_name: RegionOne
          identity_api_version: 3

      """
    if let certificate = listen.certificate { text += "    cacert: \(certificate)\n" }
    return text
  }
}

struct RotateKeysCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "rotate-token-keys",
    abstract: "Puts a new key first; living tokens stay good. A running server takes it up within a second.")
  @OptionGroup var site: SiteOptions
  func run() throws { try TokenKeys.rotate(site.tokenKeys) }
}

/// The current time, UTC.
@Sendable func systemClock() -> Timestamp {
  var time = timespec()
  clock_gettime(CLOCK_REALTIME, &time)
  return Timestamp(microseconds: time.tv_sec * 1_000_000 + time.tv_nsec / 1000)
}
