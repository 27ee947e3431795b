import DriverInterfaces
import Glibc
import Processes

/// How to reach a switch by SSH, with the system's `ssh`: its keys are checked, and nothing is ever asked of a person.
struct SSHAccess: Sendable {
  enum HostKey: Sendable {
    /// "ssh-ed25519 AAAA…".
    case key(String)
    case file(String)
  }
  let address: SwitchAddress
  let credentials: SwitchCredentials
  let keyFile: String?
  let hostKey: HostKey
  /// How long one answer may take.
  let limit: Duration

  var name: String { credentials.switchName }

  func failed(_ code: DriverError.Code, _ detail: String) -> DriverError {
    DriverError(code, device: .networkSwitch(name), detail: "ssh \(address.authority): \(detail)")
  }

  /// Starts `ssh`.
  /// - Parameter request: what to ask for there: ["-tt"] for a command line, ["-s", "netconf"] for a subsystem.
  func start(_ request: [String]) async throws -> SSHProgram {
    guard let username = credentials.username else { throw failed(.misconfigured, "it needs username") }
    let password = try credentials.password()
    let folder = try makeTemporaryFolder("ssh")
    do {
      var known = "\(folder)/known_hosts"
      switch hostKey {
      case .key(let key): try Self.write("switch \(key)\n", to: known)
      case .file(let path): known = path
      }
      var options: [String: String] = [
        "StrictHostKeyChecking": "yes", "UserKnownHostsFile": known, "GlobalKnownHostsFile": "/dev/null",
        "UpdateHostKeys": "no", "CheckHostIP": "no", "BatchMode": password == nil ? "yes" : "no",
        "NumberOfPasswordPrompts": "1", "ConnectTimeout": "5", "ServerAliveInterval": "5", "ServerAliveCountMax": "2",
        "ControlPath": "none", "LogLevel": "ERROR", "ClearAllForwardings": "yes", "ForwardAgent": "no",
        "IdentityAgent": "none", "PermitLocalCommand": "no",
        "PreferredAuthentications": password == nil ? "publickey" : "password,keyboard-interactive",
      ]
      if case .key = hostKey { options["HostKeyAlias"] = "switch" }
      if let keyFile {
        options["IdentitiesOnly"] = "yes"
        options["IdentityFile"] = keyFile
      }
      var environment: [String: String] = [:]
      if let password {
        try await writeExecutable("#!/bin/sh\nprintf '%s\\n' \"$STEELYARD_SWITCH_PASSWORD\"\n", to: "\(folder)/ask")
        environment = [
          "SSH_ASKPASS": "\(folder)/ask", "SSH_ASKPASS_REQUIRE": "force", "STEELYARD_SWITCH_PASSWORD": password,
        ]
      }
      let arguments =
        ["-F", "/dev/null"] + options.sorted { $0.key < $1.key }.flatMap { ["-o", "\($0.key)=\($0.value)"] }
        + ["-p", "\(address.port)", "-l", username]
      let isTerminal = request.first == "-tt"
      let program = try await PipedProgram.start(
        "ssh", arguments + (isTerminal ? ["-tt", address.host] : ["-s", address.host] + request.dropFirst()),
        environment: environment)
      return SSHProgram(access: self, program: program, folder: folder)
    } catch let error as CommandError {
      SSHProgram.remove(folder)
      throw failed(.misconfigured, "\(error)")
    } catch {
      SSHProgram.remove(folder)
      throw error
    }
  }

  private static func write(_ text: String, to path: String) throws {
    let file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
    guard file >= 0 else { throw CommandError(program: "ssh", reason: .notStarted(errno)) }
    defer { Glibc.close(file) }
    let bytes = Array(text.utf8)
    guard Glibc.write(file, bytes, bytes.count) == bytes.count else {
      throw CommandError(program: "ssh", reason: .notStarted(errno))
    }
  }
}

/// `ssh` with a switch at its other end.
struct SSHProgram: Sendable {
  let access: SSHAccess
  let program: PipedProgram
  fileprivate let folder: String

  func write(_ text: String) { program.write(Array(text.utf8)) }

  /// What came since the last call.
  /// - Throws: ``DriverError`` when the switch says nothing within the limit, or the connection has ended: why is in it.
  func read(_ waitingFor: String, within limit: Duration? = nil) async throws -> [UInt8] {
    do {
      if let bytes = try await program.read(within: limit ?? access.limit) { return bytes }
    } catch let error as CommandError {
      if case .timeout = error.reason {
        throw access.failed(.unreachable, "no answer in \(limit ?? access.limit) (\(waitingFor))")
      }
      throw access.failed(.unreachable, "\(error)")
    }
    _ = await program.ending()
    throw ended(waitingFor)
  }

  /// Why `ssh` ended, in words.
  private func ended(_ waitingFor: String) -> DriverError {
    let text = program.errorText
    let last = SwitchText.quoted(text.split(whereSeparator: \.isNewline).last.map { String($0) } ?? "")
    if text.contains("Host key verification failed") || text.contains("host key is known for") {
      return access.failed(
        .refused,
        "its host key is not the one in the configuration (host_key or known_hosts); if it was changed on "
          + "purpose, change it there")
    }
    if text.contains("Permission denied") || text.contains("Too many authentication failures") {
      return access.failed(
        .refused, "it rejected the user name, or the password or key; check username, password_file and key_file")
    }
    return access.failed(.unreachable, last.isEmpty ? "it ended the connection (\(waitingFor))" : last)
  }

  /// Ends the connection and removes what it needed.
  func close() async {
    program.end()
    _ = await program.ending()
    Self.remove(folder)
  }

  fileprivate static func remove(_ folder: String) {
    for name in ["known_hosts", "ask"] { unlink("\(folder)/\(name)") }
    rmdir(folder)
  }
}
