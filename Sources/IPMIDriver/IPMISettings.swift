import DriverInterfaces
import Wire

/// What `driver_info` says about one controller, checked: every value is safe as one argument of a program.
struct IPMISettings: Sendable {
  enum ProtocolVersion: String { case v2 = "2.0", v15 = "1.5" }
  enum Privilege: String, CaseIterable {
    case administrator = "ADMINISTRATOR", `operator` = "OPERATOR", user = "USER", callback = "CALLBACK"
  }
  /// Reasons why `driver_info` cannot be used, each a sentence naming the key.
  struct Problems: Error { var sentences: [String] }

  var address: String
  var port = 623
  /// Empty for the anonymous user.
  var username = ""
  var password = ""
  var privilege = Privilege.administrator
  /// 3 (RAKP-HMAC-SHA1, HMAC-SHA1-96, AES-CBC-128) is the one that IPMI 2.0 makes mandatory. Left to itself `ipmitool`
  /// asks the controller first, and waits for ten seconds where it does not answer.
  var cipherSuite = 3
  var protocolVersion = ProtocolVersion.v2

  /// As an operator knows it.
  var device: DriverError.Device { .controller(address + (port == 623 ? "" : " port \(port)")) }
  /// Which controller it is, for taking turns.
  var key: String { "\(address.lowercased()) \(port)" }

  static func read(_ info: JSONObject) -> Result<IPMISettings, Problems> {
    var problems: [String] = []
    var settings = IPMISettings(address: "")

    switch given(info, "ipmi_address") {
    case nil: problems.append("ipmi_address is missing: the IP address or host name of the controller.")
    case .string(let text) where isAddress(text): settings.address = text
    default: problems.append("ipmi_address is not an IP address or a host name.")
    }
    if let value = given(info, "ipmi_port") {
      if let port = value.lenientInt, (1...65535).contains(port) {
        settings.port = port
      } else {
        problems.append("ipmi_port is not a number from 1 to 65535.")
      }
    }
    if let value = given(info, "ipmi_protocol_version") {
      let text = value.string ?? value.description
      if let version = ProtocolVersion(rawValue: text) {
        settings.protocolVersion = version
      } else {
        problems.append("ipmi_protocol_version is not \"2.0\" or \"1.5\".")
      }
    }
    if let value = given(info, "ipmi_username") {
      if let text = value.string, isPlain(text), !text.contains(" "), !text.hasPrefix("-"), text.utf8.count <= 16 {
        settings.username = text
      } else {
        problems.append(
          "ipmi_username is not up to 16 printable ASCII characters without spaces, the first not a dash.")
      }
    }
    if let value = given(info, "ipmi_password") {
      let limit = settings.protocolVersion == .v2 ? 20 : 16
      if let text = value.string, isPlain(text), text.utf8.count <= limit {
        settings.password = text
      } else {
        problems.append(
          "ipmi_password is not up to \(limit) printable ASCII characters, all that IPMI "
            + "\(settings.protocolVersion.rawValue) takes.")
      }
    }
    if let value = given(info, "ipmi_priv_level") {
      if let privilege = value.string.flatMap({ Privilege(rawValue: $0.uppercased()) }) {
        settings.privilege = privilege
      } else {
        problems.append("ipmi_priv_level is not ADMINISTRATOR, OPERATOR, USER or CALLBACK.")
      }
    }
    if let value = given(info, "ipmi_cipher_suite") {
      switch value.lenientInt {
      case .some(let suite) where (1...17).contains(suite): settings.cipherSuite = suite
      case .some(0): problems.append("ipmi_cipher_suite 0 lets anyone in without a password; use 3 or 17.")
      default: problems.append("ipmi_cipher_suite is not a number from 1 to 17.")
      }
    }
    if let value = given(info, "ipmi_bridging"), value.string != "no" {
      problems.append("ipmi_bridging is not supported.")
    }
    return problems.isEmpty ? .success(settings) : .failure(Problems(sentences: problems))
  }

  private static func given(_ info: JSONObject, _ key: String) -> JSON? {
    info[key].flatMap { $0.isNull ? nil : $0 }
  }

  /// A host name, an IPv4 address or an IPv6 address (perhaps with a zone), by its characters; never an option.
  static func isAddress(_ text: String) -> Bool {
    (1...253).contains(text.utf8.count) && !text.hasPrefix("-") && !text.hasPrefix(".")
      && text.utf8.allSatisfy { byte in
        switch byte {
        case 0x30...0x39, 0x41...0x5a, 0x61...0x7a: true  // letters and digits
        case UInt8(ascii: "."), UInt8(ascii: ":"), UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: "%"): true
        default: false
        }
      }
  }

  private static func isPlain(_ text: String) -> Bool { text.utf8.allSatisfy { (0x20...0x7e).contains($0) } }
}
