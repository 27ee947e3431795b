import Domain
import DriverInterfaces
import Wire

/// OpenConfig models over RESTCONF (RFC 8040).
///
/// Every port is a few requests of its own: plain RESTCONF has no change of several resources at once. What a port
/// carries is put, not merged, so that nothing of its old networks stays.
struct OpenConfigRESTCONF: SwitchAccess {
  private let http: SwitchHTTP
  /// The network instance that has the VLANs.
  private let instance: String

  let capabilities: SwitchCapabilities = [.trunk, .bond]
  let caution: String? = "kind restconf-openconfig was tested with constructed dialogues only, never on hardware"

  init(_ http: SwitchHTTP, _ configuration: SwitchConfiguration) {
    self.http = http
    instance = SwitchText.isWord(configuration.bridge) ? configuration.bridge : "default"
  }
  func open() async throws -> any SwitchSession { RESTCONFSession(http: http, instance: instance) }
}

private struct RESTCONFSession: SwitchSession {
  let isTransactional = false
  let http: SwitchHTTP
  let instance: String
  private static let type = "application/yang-data+json"
  private static let interfaces = "/restconf/data/openconfig-interfaces:interfaces"

  func ports() async throws -> [String: SwitchPortState] {
    let reply = try await request("GET", Self.interfaces, nil)
    guard let list = reply["openconfig-interfaces:interfaces"]?["interface"]?.array else {
      throw http.failed(.badReply, "its answer has no list of interfaces")
    }
    var found: [String: SwitchPortState] = [:]
    for interface in list {
      guard let name = interface["name"]?.string, let port = OpenConfigPort(interface) else { continue }
      found[name] = port.state
    }
    return found
  }

  func change(_ changes: [PortChange]) async throws {
    for vlan in changes.vlans { try await ensureNetwork(vlan: vlan, name: nil) }
    for change in changes {
      let path = "\(Self.interfaces)/interface=\(percentEncoded(change.port))"
      var config: JSONObject = ["name": .string(change.port)]
      if let description = change.description { config["description"] = .string(description) }
      config["enabled"] = .bool(change.wanted.native != nil)
      let patch: JSON = ["openconfig-interfaces:config": .object(config)]
      let vlans = "\(path)/openconfig-if-ethernet:ethernet/openconfig-vlan:switched-vlan"
      if let wanted = OpenConfigPort.wanted(change.wanted) {
        _ = try await request("PUT", vlans, ["openconfig-vlan:switched-vlan": ["config": wanted]])
        _ = try await request("PATCH", "\(path)/config", patch)
      } else {
        // Shut first.
        _ = try await request("PATCH", "\(path)/config", patch)
        _ = try await request(
          "PUT", vlans, ["openconfig-vlan:switched-vlan": ["config": ["interface-mode": "ACCESS", "access-vlan": 1]]])
      }
    }
  }

  func ensureNetwork(vlan: Int, name: String?) async throws {
    let vlans =
      "/restconf/data/openconfig-network-instance:network-instances/network-instance=\(percentEncoded(instance))/vlans"
    var config: JSONObject = ["vlan-id": .int(vlan)]
    if let name { config["name"] = .string(name) }
    let entry: JSON = ["vlan-id": .int(vlan), "config": .object(config)]
    _ = try await request("PATCH", vlans, ["openconfig-network-instance:vlans": ["vlan": [entry]]])
  }

  /// The running datastore is the one that such switches start from, or the switch saves it by itself (RFC 8040, 1.4).
  func save() async throws {}

  private func request(_ method: String, _ path: String, _ body: JSON?) async throws -> JSON {
    let reply = try await http.send(method, path, body, type: Self.type)
    guard reply.isSuccess else {
      let error = (reply.body["ietf-restconf:errors"] ?? reply.body["errors"])?["error"]?.array?.first
      let words = error?["error-message"]?.string ?? error?["error-tag"]?.string ?? reply.body.string ?? ""
      let isLocked = error?["error-tag"]?.string == "lock-denied" || error?["error-tag"]?.string == "in-use"
      throw http.failed(
        isLocked ? .busy : .refused, SwitchText.quoted("it refused (HTTP status \(reply.status)): \(words)"))
    }
    return reply.body
  }
}

/// A name as one part of a URL's path: RFC 3986's unreserved characters stand, all else is encoded.
func percentEncoded(_ text: String) -> String {
  let digits = Array("0123456789ABCDEF")
  return text.utf8.reduce(into: "") { result, byte in
    let isPlain =
      (0x30...0x39).contains(byte) || (0x41...0x5a).contains(byte) || (0x61...0x7a).contains(byte)
      || [0x2d, 0x2e, 0x5f, 0x7e].contains(byte)
    result += isPlain ? String(Character(Unicode.Scalar(byte))) : "%\(digits[Int(byte >> 4)])\(digits[Int(byte & 15)])"
  }
}
