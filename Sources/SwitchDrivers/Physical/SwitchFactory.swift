import DriverInterfaces
import Logging

extension SwitchConfiguration {
  func wrong(_ detail: String) -> DriverError {
    DriverError(.misconfigured, device: .networkSwitch(name), detail: detail)
  }
  fileprivate var credentials: SwitchCredentials {
    SwitchCredentials(switchName: name, username: username, passwordFile: passwordFile)
  }
  fileprivate func driver(_ access: any SwitchAccess, _ logger: Logger) -> any BatchingSwitch {
    PhysicalSwitch(
      name: name, access: access, uplinks: Set(uplinks), fabric: leaf?.fabric, savesChanges: savesChanges,
      logger: logger)
  }
}

/// Factories of kinds that share a way in.
extension Switches {
  /// JSON over HTTPS.
  static func https(_ access: @escaping @Sendable (SwitchHTTP, SwitchConfiguration) -> any SwitchAccess) -> Factory {
    { (site: SwitchConfiguration, logger: Logger) throws(DriverError) -> any BatchingSwitch in
      guard let address = SwitchAddress(site.endpoint, scheme: "https", port: 443) else {
        throw site.wrong("endpoint \"\(site.endpoint)\" is not https://HOST[:PORT]")
      }
      guard let username = site.username, !username.contains(":"), site.passwordFile != nil else {
        throw site.wrong("kind \(site.kind) needs username (without a colon) and password_file")
      }
      guard site.caFile == nil || site.fingerprint == nil else {
        throw site.wrong("ca_file and fingerprint exclude each other")
      }
      var pin: String?
      if let fingerprint = site.fingerprint {
        let digits = fingerprint.lowercased().filter { $0 != ":" }
        guard digits.hasPrefix("sha256"), digits.utf8.count == 70, digits.dropFirst(6).allSatisfy(\.isHexDigit) else {
          throw site.wrong("fingerprint is not sha256: and 64 hexadecimal digits")
        }
        pin = "sha256:" + digits.dropFirst(6)
      }
      let http = try SwitchHTTP(
        address, credentials: site.credentials, authorities: site.caFile, fingerprint: pin, limit: site.limit)
      return site.driver(access(http, site), logger)
    }
  }

  /// A command line over SSH, in a vendor's words.
  static func commandLine(_ template: CommandTemplate) -> (kind: String, make: Factory) {
    (
      template.kind,
      { (site: SwitchConfiguration, logger: Logger) throws(DriverError) -> any BatchingSwitch in
        let ssh = try SSHAccess.of(site, scheme: "ssh", port: 22)
        return site.driver(
          CommandLineAccess(template: template, ssh: ssh, secretFile: site.secretFile, leaf: site.leaf), logger)
      }
    )
  }

  /// NETCONF over SSH.
  static func netconf(_ access: @escaping @Sendable (SSHAccess, SwitchConfiguration) -> any SwitchAccess) -> Factory {
    { (site: SwitchConfiguration, logger: Logger) throws(DriverError) -> any BatchingSwitch in
      site.driver(access(try SSHAccess.of(site), site), logger)
    }
  }
}

extension SSHAccess {
  /// Checks what a configuration says of SSH.
  static func of(_ site: SwitchConfiguration, scheme: String = "netconf", port: Int = 830) throws(DriverError)
    -> SSHAccess
  {
    guard let address = SwitchAddress(site.endpoint, scheme: scheme, port: port) else {
      throw site.wrong("endpoint \"\(site.endpoint)\" is not \(scheme)://HOST[:PORT]")
    }
    guard let username = site.username, SwitchText.isWord(username), !username.hasPrefix("-") else {
      throw site.wrong("kind \(site.kind) needs username, a word of letters and digits")
    }
    guard (site.passwordFile == nil) != (site.keyFile == nil) else {
      throw site.wrong("kind \(site.kind) needs password_file or key_file, one of them")
    }
    let hostKey: SSHAccess.HostKey
    switch (site.hostKey, site.knownHosts) {
    case (let key?, nil):
      let words = key.split(separator: " ")
      let isKey =
        words.count >= 2 && (words[0].hasPrefix("ssh-") || words[0].hasPrefix("ecdsa-"))
        && key.utf8.allSatisfy { $0 >= 32 && $0 < 127 }
      guard isKey else { throw site.wrong("host_key is not a public key such as \"ssh-ed25519 AAAA…\"") }
      hostKey = .key(words.prefix(2).joined(separator: " "))
    case (nil, let path?): hostKey = .file(path)
    default: throw site.wrong("kind \(site.kind) needs host_key or known_hosts: a switch is not taken for one unseen")
    }
    return SSHAccess(
      address: address, credentials: site.credentials, keyFile: site.keyFile, hostKey: hostKey, limit: site.limit)
  }
}
