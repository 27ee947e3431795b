import Domain
import DriverInterfaces
import Glibc
import Processes
import Simulators
import TestSupport
import Testing
import Wire

@testable import SwitchDrivers

/// A real `sshd` on a free loopback port, with a password and a key of its own for root.
struct SecureShell: Sendable {
  let port: Int
  let folder: String
  var hostKey: String { get async throws { try await Self.publicKey("\(folder)/host") } }

  /// Starts it, gives it to `body`, and ends it.
  /// - Parameter options: "Subsystem=…", "ForceCommand=…".
  static func with(_ folder: String, _ options: [String], _ body: (SecureShell) async throws -> Void) async throws {
    for name in ["host", "other", "user"] where access("\(folder)/\(name)", R_OK) != 0 {
      try await runChecked("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-C", name, "-f", "\(folder)/\(name)"])
    }
    // The password of this sshd alone: a file over /etc/shadow that nobody else sees.
    let hash = try await runChecked(
      "openssl", ["passwd", "-6", "-stdin"], input: Array("\(ContractBench.password)\n".utf8)
    ).text.split(separator: "\n")[0]
    try ContractBench.write("root:\(hash):19000:0:99999:7:::\n", to: "\(folder)/shadow")
    mkdir("/run/sshd", 0o755)
    let port = try freePort()
    let settings =
      [
        "Port=\(port)", "ListenAddress=127.0.0.1", "HostKey=\(folder)/host", "AuthorizedKeysFile=\(folder)/user.pub",
        "StrictModes=no", "PidFile=none", "PermitRootLogin=yes", "PasswordAuthentication=yes",
        "KbdInteractiveAuthentication=no", "UsePAM=no", "UseDNS=no", "PrintMotd=no", "PrintLastLog=no",
        "MaxStartups=100", "KexAlgorithms=curve25519-sha256",
      ] + options
    let words = settings.flatMap { ["-o", $0] }
    let daemon = try await PipedProgram.start(
      "unshare",
      [
        "-m", "sh", "-c", "mount --bind \"$0\" /etc/shadow && exec /usr/sbin/sshd -D -e -f /dev/null \"$@\"",
        "\(folder)/shadow",
      ] + words)
    do {
      try await until("sshd listens") { isListening(port) }
      try await body(SecureShell(port: port, folder: folder))
    } catch {
      daemon.end()
      _ = await daemon.ending()
      throw error
    }
    daemon.end()
    _ = await daemon.ending()
  }

  static func publicKey(_ path: String) async throws -> String {
    try await runChecked("ssh-keygen", ["-y", "-f", path]).text.split(separator: "\n").first.map { String($0) } ?? ""
  }
  private static func isListening(_ port: Int) -> Bool { withLoopback(port) { connect($0, $1, $2) == 0 } }
  private static func freePort() throws -> Int {
    for _ in 0..<50 {
      let port = Int.random(in: 20_000..<32_000)
      if withLoopback(port, { bind($0, $1, $2) == 0 }) { return port }
    }
    throw Late(what: "a free port")
  }
  private static func withLoopback(
    _ port: Int, _ body: (Int32, UnsafePointer<sockaddr>, socklen_t) -> Bool
  ) -> Bool {
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    defer { close(descriptor) }
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = UInt16(port).bigEndian
    address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    return withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        body(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
      }
    }
  }
}

extension ContractBench {
  /// Built next to the test bundle.
  static let simulator: String = {
    var buffer = [CChar](repeating: 0, count: 4096)
    let count = readlink("/proc/self/exe", &buffer, buffer.count)
    let path = String(decoding: buffer.prefix(max(count, 0)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
    return (path.split(separator: "/").dropLast().reduce("") { $0 + "/" + $1 }) + "/steelyard-simulator"
  }()

  static func withCommandLine(
    _ dialect: CommandLineDialect, body: @escaping @Sendable (ContractBench) async throws -> Void
  ) async throws {
    try await withFolder("contract") { folder in
      try write(password + "\n", to: "\(folder)/password")
      try write("wr0ng\n", to: "\(folder)/wrong")
      let command = "ForceCommand=\(simulator) switch-cli --folder \(folder) --vendor \(dialect.vendor)"
      try await SecureShell.with(folder, [command]) { shell in
        var site = SwitchConfiguration(
          name: "tor-1", kind: dialect.vendor, endpoint: "ssh://127.0.0.1:\(shell.port)", uplinks: [dialect.ports[4]])
        site.username = "root"
        site.passwordFile = "\(folder)/password"
        site.hostKey = try await shell.hostKey
        site.limit = .seconds(10)
        var distrusting = site, unknown = site, absent = site
        distrusting.hostKey = try await SecureShell.publicKey("\(folder)/other")
        unknown.passwordFile = "\(folder)/wrong"
        absent.endpoint = "ssh://127.0.0.1:1"
        let device: @Sendable () throws -> CommandLineSwitch = {
          try CommandLineSwitch(dialect, folder: folder) { _ in }
        }
        let type: @Sendable ([String]) throws -> Void = { lines in
          var device = try device()
          let commit = device.dialect.changesByHand(lines)
          for line in commit { _ = try device.type(line) }
        }
        let log: @Sendable () async throws -> [JSON] = {
          try await runChecked("cat", ["\(folder)/log"]).text.split(separator: "\n").map {
            try JSON(parsing: String($0))
          }
        }
        try await body(
          ContractBench(
            ports: dialect.ports, configuration: site,
            setFaults: { try CommandLineSwitch.keep($0.json, "\(folder)/faults.json") },
            editByHand: { try type(dialect.byHand($0)) },
            describe: { try type(dialect.describe($0, $1)) },
            description: { try device().portText($0, after: dialect.description) },
            effects: { try await log().filter { $0["event"]?.string == "effect" }.count },
            transcript: {
              try await log().compactMap { $0["event"]?.string == "typed" ? $0["line"]?.string : nil }
                .joined(separator: "\n")
            },
            distrusting: distrusting, unknown: unknown, absent: absent, isSaved: { try device().isSaved }))
      }
    }
  }
}
