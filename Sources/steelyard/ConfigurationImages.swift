import Domain
import OutboundHTTP

extension Configuration {
  /// What may be fetched from the web; nil where nothing is.
  /// - Throws: ``Failure`` for a value that cannot be meant.
  func webContent() throws -> WebContentRules? {
    guard images.web_download else { return nil }
    var rules = WebContentRules()
    for host in images.web_download_hosts {
      guard let location = WebLocation("http://\(host)/"), location.target == "/", location.port == 80,
        !host.contains("/"), !host.contains(":")
      else {
        throw Failure("images.web_download_hosts: '\(host)' is no name of a host")
      }
      rules.hosts.insert(location.host)
    }
    for text in images.web_download_networks {
      guard let network = CIDR(text) else {
        throw Failure("images.web_download_networks: '\(text)' is no block of addresses like 10.0.1.0/24")
      }
      rules.networks.append(network)
    }
    for port in images.web_download_ports {
      guard (1...65_535).contains(port) else { throw Failure("images.web_download_ports: 1 to 65535 are expected") }
      rules.ports.insert(port)
    }
    return rules
  }
}
