import Domain
import DriverInterfaces
import Wire

/// NVIDIA Cumulus Linux 5 through the REST API of NVUE: a revision is edited, and applied whole.
///
/// Source: Cumulus Linux 5 user guide, "NVUE API".
struct CumulusNVUE: SwitchAccess {
  private let http: SwitchHTTP
  private let bridge: String

  let capabilities: SwitchCapabilities
  let caution: String? = "kind cumulus-nvue was tested with constructed dialogues only, never on hardware"

  init(_ http: SwitchHTTP, _ configuration: SwitchConfiguration) {
    self.http = http
    capabilities = configuration.leaf == nil ? [.trunk, .bond] : [.trunk, .bond, .vni]
    bridge = SwitchText.isWord(configuration.bridge) ? configuration.bridge : "br_default"
  }
  func open() async throws -> any SwitchSession { NVUESession(http: http, bridge: percentEncoded(bridge)) }
}

private struct NVUESession: SwitchSession {
  let isTransactional = true
  /// Only since 5.10.
  let keepsDescriptions = false
  let http: SwitchHTTP
  let bridge: String

  func ports() async throws -> [String: SwitchPortState] {
    // What is applied names only what somebody has set.
    let present = try await get("/nvue_v1/interface?rev=operational", "list its interfaces")
    let applied = try await get("/nvue_v1/interface?rev=applied", "read its configuration")
    var found: [String: SwitchPortState] = [:]
    for member in present.object ?? [:] where ["swp", "bond"].contains(member.value["type"]?.string ?? "") {
      let interface = applied[member.key]
      let carried = carried(interface?["bridge"]?["domain"]?[bridge])
      let link = interface?["link"]?["state"]
      let isDown = link?["down"] != nil || link?.string == "down"
      found[member.key] = SwitchPortState(
        configuration: isDown ? .quarantine : carried, underneath: carried)
    }
    return found
  }
  private func carried(_ domain: JSON?) -> PortConfiguration {
    guard let domain else { return SwitchPortState.foreign }
    if let access = domain["access"]?.lenientInt { return PortConfiguration(native: access) }
    let tagged = (domain["vlan"]?.object?.keys ?? []).flatMap { key in SwitchText.vlans(key) ?? [0] }
    guard let native = domain["untagged"]?.lenientInt, !tagged.contains(0) else { return SwitchPortState.foreign }
    return PortConfiguration(native: native, tagged: Array(Set(tagged)).filter { $0 != native })
  }

  func change(_ changes: [PortChange]) async throws {
    try await revise { revision in
      for change in changes {
        // A patch merges: what was there goes first.
        try await delete("/nvue_v1/interface/\(percentEncoded(change.port))/bridge/domain/\(bridge)", revision)
      }
      var interfaces = JSONObject()
      for change in changes {
        guard let native = change.wanted.native else {
          interfaces[change.port] = ["link": ["state": ["down": .emptyObject]]]
          continue
        }
        var domain: JSONObject = ["access": .int(native)]
        if !change.wanted.tagged.isEmpty {
          var vlans = JSONObject()
          for vlan in ([native] + change.wanted.tagged).sorted() { vlans["\(vlan)"] = .emptyObject }
          domain = ["untagged": .int(native), "vlan": .object(vlans)]
        }
        interfaces[change.port] = [
          "link": ["state": ["up": .emptyObject]], "bridge": ["domain": .object([bridge: .object(domain)])],
        ]
      }
      return ["interface": .object(interfaces), "bridge": vlans(changes.vlans)]
    }
  }
  func ensureNetwork(vlan: Int, name: String?) async throws {
    try await revise { _ in ["bridge": vlans([vlan])] }
  }
  /// What the configuration says, and what the bridge has.
  func vnis() async throws -> [VNIState] {
    let configured = try await getIfThere("/nvue_v1/bridge/domain/\(bridge)/vlan?rev=applied", "read its VNIs")
    let inForce = try await getIfThere(
      "/nvue_v1/bridge/domain/\(bridge)/vlan-vni-map?rev=operational", "read its VNIs in force")
    var found: [VNIState] = []
    for member in configured.object ?? [:] {
      let active = inForce[member.key]?["vni"]?.lenientInt
      for vni in (member.value["vni"]?.object?.keys ?? []).compactMap({ Int($0) }) {
        found.append(VNIState(vni: vni, vlan: SwitchText.vlan(member.key), isWhole: active == vni))
      }
    }
    return found
  }
  private func getIfThere(_ path: String, _ doing: String) async throws -> JSON {
    let reply = try await http.send("GET", path)
    if reply.status == 404 { return .emptyObject }
    guard reply.isSuccess else { throw refusal(reply, doing) }
    return reply.body
  }
  func changeVNIs(removing: [VNIState], joining: (vni: Int, vlan: Int)?) async throws {
    try await revise { revision in
      for vlan in Set(removing.compactMap(\.vlan)).sorted() {
        try await delete("/nvue_v1/bridge/domain/\(bridge)/vlan/\(vlan)/vni", revision)
      }
      guard let (vni, vlan) = joining else { return .emptyObject }
      return [
        "bridge": [
          "domain": .object([bridge: ["vlan": .object(["\(vlan)": ["vni": .object(["\(vni)": .emptyObject])]])]])
        ]
      ]
    }
  }
  private func vlans(_ vlans: [Int]) -> JSON {
    var all = JSONObject()
    for vlan in vlans { all["\(vlan)"] = .emptyObject }
    return ["domain": .object([bridge: ["vlan": .object(all)]])]
  }

  /// Makes a revision, fills it, and applies it.
  private func revise(_ fill: (String) async throws -> JSON) async throws {
    let made = try await request("POST", "/nvue_v1/revision", nil, "begin a revision")
    guard let revision = made.object?.keys.first, made.object?.count == 1 else {
      throw http.failed(.badReply, "it named no revision")
    }
    let path = "/nvue_v1/revision/\(percentEncoded(revision))"
    do {
      let tree = try await fill(revision)
      _ = try await request("PATCH", "/nvue_v1/?rev=\(percentEncoded(revision))", tree, "edit a revision")
      _ = try await request(
        "PATCH", path, ["state": "apply", "auto-prompt": ["ays": "ays_yes", "ignore_fail": "ignore_fail_no"]],
        "apply a revision")
      try await waitUntilApplied(path)
    } catch {
      _ = try? await http.send("DELETE", path)
      throw error
    }
  }

  private func waitUntilApplied(_ path: String) async throws {
    let deadline = ContinuousClock.now + .seconds(60)
    while true {
      let revision = try await get(path, "follow a revision")
      let state = revision["state"]?.string ?? ""
      if state == "applied" || state == "applied_and_saved" { return }
      if state.hasSuffix("fail") || state.hasSuffix("failed") || state == "invalid" || state.contains("error") {
        let issues = revision["transition"]?["issue"]?.object?.map { $0.value["message"]?.string ?? "" } ?? []
        throw http.failed(
          .refused, SwitchText.quoted("it refused the revision (\(state)): \(issues.joined(separator: " "))"))
      }
      guard deadline > .now else { throw http.failed(.unreachable, "a revision is still \"\(state)\" after a minute") }
      try await Task.sleep(for: .milliseconds(100))
    }
  }

  func save() async throws {
    _ = try await request(
      "PATCH", "/nvue_v1/revision/applied", ["state": "save", "auto-prompt": ["ays": "ays_yes"]], "save")
  }

  private func delete(_ path: String, _ revision: String) async throws {
    let reply = try await http.send("DELETE", "\(path)?rev=\(percentEncoded(revision))")
    guard reply.isSuccess || reply.status == 404 else { throw refusal(reply, "edit a revision") }
  }
  private func get(_ path: String, _ doing: String) async throws -> JSON { try await request("GET", path, nil, doing) }
  private func request(_ method: String, _ path: String, _ body: JSON?, _ doing: String) async throws -> JSON {
    let reply = try await http.send(method, path, body)
    guard reply.isSuccess else { throw refusal(reply, doing) }
    return reply.body
  }
  private func refusal(_ reply: SwitchHTTP.Reply, _ doing: String) -> DriverError {
    let words = reply.body["detail"]?.string ?? reply.body["title"]?.string ?? reply.body.string ?? ""
    return http.failed(.refused, SwitchText.quoted("it refused to \(doing) (HTTP status \(reply.status)): \(words)"))
  }
}
