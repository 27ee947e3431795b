import DriverInterfaces
import Processes

/// Runs `ipmitool` against one controller.
///
/// The password goes through the environment, which only the same user can read; never through the arguments, which
/// everybody on the host can.
struct Ipmitool: Sendable {
  let settings: IPMISettings
  let limits: IPMILimits
  let turns: Turns
  /// What ``ManufacturerRegistry/makeShort(in:)`` made.
  var home: String?

  /// The same, for commands whose answer names a manufacturer.
  var namingManufacturers: Ipmitool {
    var tool = self
    tool.home = nil
    return tool
  }

  /// Runs one command when it is this controller's turn.
  /// - Returns: its standard output.
  /// - Throws: ``DriverError``.
  @discardableResult
  func run(_ command: String..., limit: Duration? = nil) async throws -> String {
    let result: CommandResult
    do {
      result = try await turns.turn(for: settings.key) {
        // -v makes it say why no session came about; that goes to standard error.
        try await Processes.run(
          "ipmitool", arguments(verbose: true) + command, environment: environment, timeout: limit ?? limits.command)
      }
    } catch let error as CommandError {
      switch error.reason {
      case .timeout(let limit):
        throw DriverError(
          .unreachable, device: settings.device,
          detail: "no answer within \(limit); check ipmi_address, ipmi_port and that IPMI over LAN is enabled")
      default: throw DriverError(.misconfigured, device: settings.device, detail: error.description)
      }
    }
    guard result.status == 0 else { throw IPMIFailure.error(result.errorText, device: settings.device) }
    return result.text
  }

  func arguments(verbose: Bool = false) -> [String] {
    var result = [
      "-I", settings.protocolVersion == .v2 ? "lanplus" : "lan",
      "-H", settings.address, "-p", "\(settings.port)", "-L", settings.privilege.rawValue,
      "-N", "\(limits.answerSeconds)", "-R", "\(limits.retries)", "-E",
    ]
    if settings.protocolVersion == .v2 { result += ["-C", "\(settings.cipherSuite)"] }
    if !settings.username.isEmpty { result += ["-U", settings.username] }
    if verbose { result.append("-v") }
    return result
  }

  /// Set even when empty: without it `-E` is an error.
  var environment: [String: String] {
    var environment = ["IPMI_PASSWORD": settings.password]
    environment["HOME"] = home
    return environment
  }
}

/// Tells from `ipmitool -v`'s words what went wrong.
enum IPMIFailure {
  static func error(_ text: String, device: DriverError.Device) -> DriverError {
    let text = said(text)
    let lowered = text.lowercased()
    for (words, code, detail) in causes where words.contains(where: { lowered.contains($0) }) {
      return DriverError(code, device: device, detail: "\(detail) (\(lastWords(text)))")
    }
    return DriverError(.refused, device: device, detail: lastWords(text))
  }

  /// In order: the first that fits is the cause, later lines are its consequences.
  /// Source: ipmitool 1.8.19, `src/plugins/lanplus/lanplus.c`, `lib/ipmi_strings.c`.
  private static let causes: [(words: [String], code: DriverError.Code, detail: String)] = [
    (
      ["rakp 2 hmac is invalid", "rakp 4 message has invalid integrity", "invalid password", "password verification"],
      .refused, "wrong password; check ipmi_password"
    ),
    (["unauthorized name", "invalid user name"], .refused, "unknown or disabled user; check ipmi_username"),
    (
      ["invalid role", "unauthorized role", "insufficient privilege"],
      .refused, "the user has not the privilege; check ipmi_priv_level and the user's rights on the controller"
    ),
    (
      [
        "invalid authentication algorithm", "invalid integrity algorithm", "invalid confidentiality algorithm",
        "no matching cipher suite", "no cipher suite match",
      ],
      .refused, "the controller does not take this cipher suite; check ipmi_cipher_suite"
    ),
    (
      ["insufficient resources to create", "node busy", "payload already active", "activation limit"],
      .busy, "the controller has no free session; it is worth trying again"
    ),
    (
      ["address lookup for", "could not open socket"], .unreachable,
      "the name or address has no route; check ipmi_address"
    ),
    (
      ["get auth capabilities error", "no response", "get channel authentication capabilities request", "timeout"],
      .unreachable, "no answer; check ipmi_address, ipmi_port and that IPMI over LAN is enabled"
    ),
    (
      [
        "invalid command", "command not supported", "not supported in present state", "payload type disabled",
        "payload disabled",
      ],
      .unsupported, "the controller cannot do this"
    ),
    (["unable to establish"], .unreachable, "no session"),
  ]

  /// Without what -v prints even when all is well.
  private static func said(_ text: String) -> String {
    let noise = ["Loading IANA", "Running Get", "Discovered IPMB", "Invalid completion code received", "Get HPM.x"]
    return text.split(whereSeparator: \.isNewline).filter { line in !noise.contains { line.hasPrefix($0) } }
      .joined(separator: "\n")
  }

  /// The device's words, one line of printable characters: they end in logs, answers and pages.
  static func lastWords(_ text: String) -> String {
    let lines = said(text).split(separator: "\n")
    let chosen = lines.last { !$0.contains("Unable to establish") && $0.contains { $0.isLetter } } ?? lines.last ?? ""
    let words = printable(chosen)
    return words.isEmpty ? "ipmitool gave no reason" : words
  }
}

/// Text of a device as one line of at most 200 printable characters.
func printable(_ text: some StringProtocol) -> String {
  let kept = text.unicodeScalars.prefix(200).map { scalar -> Character in
    let isShown =
      scalar.value >= 0x20 && scalar.value != 0x7f && !(0x80...0x9f).contains(scalar.value)
      && scalar.properties.generalCategory != .format
    return isShown ? Character(scalar) : " "
  }
  return String(kept).split(separator: " ").joined(separator: " ")
}
