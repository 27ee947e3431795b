import Domain
import DriverInterfaces
import Synchronization
import Wire

/// Arista EOS through its Command API: JSON-RPC over HTTPS.
///
/// A change is a configuration session with a commit timer: EOS itself takes it back unless it is confirmed.
/// Source: Arista EOS manual, "Command API" and "Configure Session".
struct AristaEAPI: SwitchAccess {
  private let http: SwitchHTTP
  /// The file with the secret of `enable`; nil where the account needs none.
  private let enableSecretFile: String?

  /// The AS number of its fabric; nil where it belongs to none.
  private let autonomousSystem: Int?

  var capabilities: SwitchCapabilities {
    let own: SwitchCapabilities = [.trunk, .lldp, .macTable, .bond, .confirmedCommit]
    return autonomousSystem == nil ? own : own.union(.vni)
  }
  let caution: String? = "kind arista-eapi was tested with constructed dialogues only, never on hardware"

  init(_ http: SwitchHTTP, _ configuration: SwitchConfiguration) {
    self.http = http
    enableSecretFile = configuration.secretFile
    autonomousSystem = configuration.leaf?.autonomousSystem
  }
  func open() async throws -> any SwitchSession {
    let session = AristaSession(http: http, enableSecretFile: enableSecretFile, autonomousSystem: autonomousSystem)
    try await session.endForsaken()
    return session
  }
}

private final class AristaSession: SwitchSession {
  private static let prefix = "steelyard-"
  let isTransactional = true
  private let http: SwitchHTTP
  private let enableSecretFile: String?
  private let autonomousSystem: Int?
  /// The configuration session that waits for its confirmation.
  private let pending = Mutex<String?>(nil)

  init(http: SwitchHTTP, enableSecretFile: String?, autonomousSystem: Int?) {
    self.autonomousSystem = autonomousSystem
    self.http = http
    self.enableSecretFile = enableSecretFile
  }

  /// Takes back what an earlier visit did not live to confirm: its timer would undo what comes now.
  func endForsaken() async throws {
    let sessions = try await run(["show configuration sessions"])[0]["sessions"]?.object ?? [:]
    for member in sessions where member.key.hasPrefix(Self.prefix) && SwitchText.isWord(member.key) {
      guard member.value["state"]?.string?.lowercased().contains("pending") == true else { continue }
      _ = try await run(["configure session \(member.key) abort"])
    }
  }

  func ports() async throws -> [String: SwitchPortState] {
    let replies = try await run(["show interfaces switchport", "show interfaces description"])
    guard let modes = replies[0]["switchports"]?.object, let texts = replies[1]["interfaceDescriptions"]?.object else {
      throw http.failed(.badReply, "its answer names no switchports")
    }
    var ports: [String: SwitchPortState] = [:]
    for member in texts where member.key.hasPrefix("Ethernet") || member.key.hasPrefix("Port-Channel") {
      let isShut = member.value["interfaceStatus"]?.string == "adminDown"
      let configuration = isShut ? .quarantine : Self.configuration(modes[member.key])
      ports[member.key] = SwitchPortState(
        configuration: configuration, description: member.value["description"]?.string ?? "")
    }
    return ports
  }

  private static func configuration(_ port: JSON?) -> PortConfiguration {
    guard let info = port?["switchportInfo"], port?["enabled"]?.bool != false else { return SwitchPortState.foreign }
    switch info["mode"]?.string {
    case "access":
      return info["accessVlanId"]?.int.map { PortConfiguration(native: $0) } ?? SwitchPortState.foreign
    case "trunk":
      guard let native = info["trunkingNativeVlanId"]?.int,
        let allowed = info["trunkAllowedVlans"]?.string.flatMap({ SwitchText.vlans($0) }), allowed.contains(native)
      else { return SwitchPortState.foreign }
      return PortConfiguration(native: native, tagged: allowed.filter { $0 != native })
    default: return SwitchPortState.foreign
    }
  }

  func change(_ changes: [PortChange]) async throws {
    try await onTrial(changes.vlans.map { "vlan \($0)" } + changes.flatMap { Self.commands($0) })
  }
  /// Brings commands into force in a configuration session, until its timer runs out or it is confirmed.
  private func onTrial(_ commands: [String]) async throws {
    let name = "\(Self.prefix)\(Identifier.hex().prefix(8))"
    do {
      _ = try await run(["configure session \(name)"] + commands + ["commit timer 00:02:00"])
    } catch {
      _ = try? await run(["configure session \(name) abort"])
      throw error
    }
    pending.withLock { $0 = name }
  }

  private static func commands(_ change: PortChange) -> [String] {
    var lines = ["interface \(change.port)"]
    if let description = change.description {
      lines.append(description.isEmpty ? "no description" : "description \(description)")
    }
    guard let native = change.wanted.native else {
      return lines + [
        "shutdown", "switchport", "switchport mode access", "no switchport access vlan",
        "no switchport trunk native vlan", "no switchport trunk allowed vlan",
      ]
    }
    lines.append("switchport")
    if change.wanted.tagged.isEmpty {
      lines += [
        "switchport mode access", "switchport access vlan \(native)", "no switchport trunk native vlan",
        "no switchport trunk allowed vlan",
      ]
    } else {
      lines += [
        "switchport trunk native vlan \(native)",
        "switchport trunk allowed vlan \(SwitchText.list([native] + change.wanted.tagged))", "switchport mode trunk",
      ]
    }
    return lines + ["no shutdown"]
  }

  func confirm() async throws {
    guard let name = pending.withLock({ $0 }) else { return }
    _ = try await run(["configure session \(name) commit"])
    pending.withLock { $0 = nil }
  }
  func takeBack() async throws -> Bool {
    guard let name = pending.withLock({ $0 }) else { return false }
    _ = try await run(["configure session \(name) abort"])
    pending.withLock { $0 = nil }
    return true
  }

  func ensureNetwork(vlan: Int, name: String?) async throws {
    _ = try await run(["configure", "vlan \(vlan)"] + (name.map { ["name \($0)"] } ?? []) + ["end"])
  }
  /// What the tunnel interface joins, and for which VLANs BGP has an instance of EVPN.
  /// Source: EOS manual, "VXLAN" and "Border Gateway Protocol", EVPN.
  func vnis() async throws -> [VNIState] {
    let replies = try await run(["show vxlan vni", "show bgp evpn instance"])
    let told = replies[1]["bgpEvpnInstances"]?.object ?? [:]
    return (replies[0]["vxlanIntfs"]?["Vxlan1"]?["vniBindings"]?.object ?? [:]).compactMap { member in
      // What routing made for itself is no VLAN's.
      guard let vni = Int(member.key), let vlan = member.value["vlan"]?.int, member.value["dynamicVlan"]?.bool != true
      else { return nil }
      return VNIState(vni: vni, vlan: vlan, isWhole: told["VLAN \(vlan)"] != nil)
    }
  }
  func changeVNIs(removing: [VNIState], joining: (vni: Int, vlan: Int)?) async throws {
    guard let autonomousSystem else { return }
    var commands: [String] = []
    for state in removing {
      guard let vlan = state.vlan else { continue }
      commands += [
        "interface Vxlan1", "no vxlan vlan \(vlan) vni \(state.vni)", "router bgp \(autonomousSystem)",
        "no vlan \(vlan)",
      ]
    }
    if let (vni, vlan) = joining {
      commands += [
        "vlan \(vlan)", "interface Vxlan1", "vxlan vlan \(vlan) vni \(vni)", "router bgp \(autonomousSystem)",
        "vlan \(vlan)", "rd auto", "route-target both \(autonomousSystem):\(vni)", "redistribute learned",
      ]
    }
    try await onTrial(commands)
  }
  func neighbours() async throws -> [SwitchNeighbour] {
    let reply = try await run(["show lldp neighbors detail"])[0]
    return (reply["lldpNeighbors"]?.object ?? [:]).flatMap { member in
      (member.value["lldpNeighborInfo"]?.array ?? []).compactMap { info in
        guard let chassis = info["chassisId"]?.string else { return nil }
        let interface = info["neighborInterfaceInfo"]
        let port = interface?["interfaceId_v2"]?.string ?? interface?["interfaceId"]?.string ?? ""
        return SwitchNeighbour(
          port: member.key, chassisID: chassis, portID: port.filter { $0 != "\"" },
          systemName: info["systemName"]?.string)
      }
    }
  }
  func macTable() async throws -> [(port: String, vlan: Int, mac: MACAddress)] {
    let reply = try await run(["show mac address-table"])[0]
    return (reply["unicastTable"]?["tableEntries"]?.array ?? []).compactMap { entry in
      guard let port = entry["interface"]?.string, let vlan = entry["vlanId"]?.int,
        let mac = entry["macAddress"]?.string.flatMap({ MACAddress(anyStyle: $0) })
      else { return nil }
      return (port, vlan, mac)
    }
  }
  func save() async throws { _ = try await run(["write memory"]) }

  /// Runs commands in privileged mode.
  /// - Returns: one answer per command.
  private func run(_ commands: [String]) async throws -> [JSON] {
    var enable: JSON = "enable"
    if let enableSecretFile {
      let secret = try SwitchCredentials.secret(in: enableSecretFile, for: http.switchName)
      enable = ["cmd": "enable", "input": .string(secret)]
    }
    let body: JSON = [
      "jsonrpc": "2.0", "method": "runCmds", "id": "steelyard",
      "params": ["version": 1, "format": "json", "cmds": .array([enable] + commands.map { .string($0) })],
    ]
    let reply = try await http.send("POST", "/command-api", body)
    if let error = reply.body["error"] {
      let words = (error["data"]?.array?.last?["errors"]?.array ?? []).compactMap(\.string).joined(separator: " ")
      throw http.failed(
        .refused, SwitchText.quoted("it refused: \(error["message"]?.string ?? "") \(words)"))
    }
    guard reply.isSuccess, let results = reply.body["result"]?.array, results.count == commands.count + 1 else {
      throw http.failed(.badReply, "HTTP status \(reply.status) and no result of each command; is eAPI enabled?")
    }
    return Array(results.dropFirst())
  }
}

extension [PortChange] {
  /// Every VLAN that the ports need.
  var vlans: [Int] { Set(flatMap { ($0.wanted.native.map { [$0] } ?? []) + $0.wanted.tagged }).sorted() }
}

extension MACAddress {
  /// Also "5254.0077.0001" and "5254-0077-0001", as switches write it.
  init?(anyStyle text: String) {
    let digits = text.filter { $0 != "." && $0 != "-" && $0 != ":" }
    guard digits.count == 12 else { return nil }
    let bytes = Array(digits)
    self.init(stride(from: 0, to: 12, by: 2).map { String(bytes[$0...($0 + 1)]) }.joined(separator: ":"))
  }
}
