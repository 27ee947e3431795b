import APISupport
import Domain
import Wire

/// Takes over the nodes of another Ironic: reads all of it, then enrols node by node what is not here yet.
struct IronicImport {
  private let other: CloudClient
  private let source: String
  private let cloud: CloudClient
  private let secrets: JSONObject
  private let isDry: Bool, manages: Bool, adopts: Bool
  private var api = ""
  /// Provision states here by UUID.
  private var states: [String: String] = [:]
  private var names: Set<String> = []
  private var counts = (made: 0, known: 0, left: 0, problems: 0)

  init(
    from other: CloudClient, at source: String, to cloud: CloudClient, secrets: JSONObject, isDry: Bool,
    manages: Bool, adopts: Bool
  ) {
    var source = source
    while source.hasSuffix("/") { source.removeLast() }
    self.source = source.hasSuffix("/v1") ? source : source + "/v1"
    (self.other, self.cloud, self.secrets) = (other, cloud, secrets)
    (self.isDry, self.manages, self.adopts) = (isDry, manages, adopts)
  }

  /// - Returns: how many nodes could not, or cannot, be taken over.
  mutating func run() async throws -> Int {
    api = try cloud.endpoint("baremetal") + "/v1"
    // Parts of nodes are not listed unless they are asked for, and older services do not know the question.
    let newest = try await other.newestMinorVersion(source)
    let nodes = try await other.list(source + "/nodes/detail" + (newest >= 83 ? "?include_children=True" : ""), "nodes")
    let ports = try await other.list(source + "/ports/detail", "ports").byNode
    let groups = newest >= 23 ? try await other.list(source + "/portgroups/detail", "portgroups").byNode : [:]
    for node in try await cloud.list(api + "/nodes?include_children=True&fields=uuid,name,provision_state", "nodes") {
      states[node["uuid"]?.string ?? ""] = node["provision_state"]?.string ?? ""
      if let name = node["name"]?.string { names.insert(name) }
    }
    let site = try await site(for: nodes)
    let required = try await cloud.requiredKeys(Set(nodes.compactMap { $0["driver"]?.string }), api)
    let transfers = nodes.map { node in
      let uuid = node["uuid"]?.string ?? ""
      return NodeTransfer(
        node, ports: ports[uuid] ?? [], portGroups: groups[uuid] ?? [], secrets: secrets, site: site)
    }
    for transfer in NodeTransfer.inOrder(transfers) { try await take(transfer, required) }
    print(
      "\(counts.made) \(isDry ? "would be enrolled" : "enrolled"), \(counts.known) there already, \(counts.left) left, \(counts.problems) with a problem"
    )
    return counts.problems
  }

  private func site(for nodes: [JSON]) async throws -> NodeTransfer.Site {
    let drivers = try await cloud.send("GET", "\(api)/drivers?detail=True")
    guard drivers.status == 200 else { throw Failure("the drivers of this site: \(drivers.fault)") }
    var site = NodeTransfer.Site(drivers: [:], projects: [])
    for driver in drivers.json["drivers"]?.array ?? [] {
      var interfaces: [String: [String]] = [:]
      for kind in InterfaceKind.allCases {
        interfaces[kind.field] = driver["enabled_\(kind.field)s"]?.array?.compactMap(\.string)
      }
      site.drivers[driver["name"]?.string ?? ""] = interfaces
    }
    let identity = try cloud.endpoint("identity")
    let projects = identity + (identity.hasSuffix("/v3") ? "" : "/v3") + "/projects/"
    let ids = Set(nodes.flatMap { [$0["owner"]?.string, $0["lessee"]?.string] }.compactMap { $0 })
    for id in ids where !id.isEmpty {
      if try await cloud.send("GET", projects + percentEncoded(id)).status == 200 { site.projects.insert(id) }
    }
    return site
  }

  private mutating func take(_ node: NodeTransfer, _ required: [String: [String]]) async throws {
    if let state = states[node.uuid] {
      counts.known += 1
      print("exists   \(node.label), \(state)")
      try await lead(node, from: state, isNew: false)
      return
    }
    if node.isInUse && !(node.isActive && adopts) {
      counts.left += 1
      print(
        "left     \(node.label): it is \(node.state) there"
          + (node.isActive ? "; --adopt takes it as it runs" : ", which cannot be taken over: end that first"))
      return
    }
    if let problem = try await problem(of: node, required) {
      counts.problems += 1
      print("problem  \(node.label): \(problem)")
      return
    }
    counts.made += 1
    print("\(isDry ? "would be" : "enrolled") \(node.label), \(node.ports.count) ports")
    for key in node.missingSecrets {
      print(
        "         driver_info.\(key) is masked there: give it with --passwords, or set it; until then it waits in enroll"
      )
    }
    if !node.notes.isEmpty { print("         not taken over: \(node.notes.joined(separator: ", "))") }
    try await lead(node, from: "enroll", isNew: true)
  }

  /// Enrols a node, or only looks whether it could be.
  /// - Returns: why not.
  private func problem(of node: NodeTransfer, _ required: [String: [String]]) async throws -> String? {
    let driver = node.node["driver"]?.string ?? ""
    guard let keys = required[driver] else { return "there is no driver '\(driver)' here" }
    if let missing = keys.first(where: { node.node["driver_info"]?[$0] == nil && !node.missingSecrets.contains($0) }) {
      return "driver_info has no \(missing)"
    }
    if let name = node.node["name"]?.string, names.contains(name) { return "there is another node of that name" }
    if let problem = try await cloud.problem(ofPorts: node.ports, api) { return problem }
    if isDry { return nil }

    if let chassis = node.node["chassis_uuid"]?.string, let problem = try await ensureChassis(chassis) {
      return problem
    }
    let made = try await cloud.send("POST", "\(api)/nodes", .object(node.node))
    guard made.status == 201 else { return made.fault }
    var parts = node.portGroups.map { ("portgroups", $0) } + node.ports.map { ("ports", $0) }
    for index in parts.indices { parts[index].1["node_uuid"] = .string(node.uuid) }
    do {
      for (name, part) in parts {
        let answer = try await cloud.send("POST", "\(api)/\(name)", .object(part))
        if answer.status != 201 { return await taken(back: node, "its \(name): \(answer.fault)") }
      }
      if !node.traits.isEmpty {
        let answer = try await cloud.send("PUT", "\(api)/nodes/\(node.uuid)/traits", ["traits": JSON(node.traits)])
        if answer.status != 204 { return await taken(back: node, "its traits: \(answer.fault)") }
      }
    } catch { return await taken(back: node, "\(error)") }
    return nil
  }
  /// Half a node is none.
  private func taken(back node: NodeTransfer, _ problem: String) async -> String {
    let url = "\(api)/nodes/\(node.uuid)"
    // One with an instance can be deleted in maintenance only.
    _ = try? await cloud.send("PUT", url + "/maintenance", ["reason": "It could not be imported whole."])
    let status = (try? await cloud.send("DELETE", url))?.status
    return status == 204 ? problem : problem + "; half of it is here: delete node \(node.uuid) before the next run"
  }
  private func ensureChassis(_ uuid: String) async throws -> String? {
    let path = "/chassis/" + percentEncoded(uuid)
    if try await cloud.send("GET", api + path).status == 200 { return nil }
    let there = try await other.send("GET", source + path)
    var body: JSONObject = ["uuid": .string(uuid)]
    for name in ["description", "extra"] {
      if let value = there.json[name], !value.isNull { body[name] = value }
    }
    let made = try await cloud.send("POST", "\(api)/chassis", .object(body))
    return made.status == 201 ? nil : "its chassis: \(made.fault)"
  }

  // MARK: Verbs

  /// Has a node verified, and one that is active there adopted, as far as that was asked for.
  private mutating func lead(_ node: NodeTransfer, from state: String, isNew: Bool) async throws {
    let adopts = adopts && node.isActive
    guard manages || adopts, ["enroll", "manageable"].contains(state) else { return }
    guard !isDry else {
      if node.missingSecrets.isEmpty, state == "enroll" { print("         then: manage\(adopts ? ", adopt" : "")") }
      return
    }
    if state == "enroll" {
      // A new one without its password cannot be verified; on one that was here somebody may have set it.
      guard node.missingSecrets.isEmpty || !isNew else { return }
      guard try await ask("manage", node, until: "manageable") else { return }
    }
    if adopts { _ = try await ask("adopt", node, until: "active") }
  }

  /// - Returns: whether the node is where the verb leads.
  private mutating func ask(_ verb: String, _ node: NodeTransfer, until goal: String) async throws -> Bool {
    let url = "\(api)/nodes/\(node.uuid)"
    let answer = try await cloud.send("PUT", url + "/states/provision", ["target": .string(verb)])
    var reason = answer.fault
    if answer.status == 202 {
      let end = ContinuousClock.now + .seconds(180)
      var pause = Duration.milliseconds(20)
      while ContinuousClock.now < end {
        let shown = try await cloud.send("GET", url + "?fields=provision_state,target_provision_state,last_error").json
        if shown["provision_state"]?.string == goal {
          print("         \(goal)")
          return true
        }
        reason = shown["last_error"]?.string ?? "it takes longer than three minutes"
        if shown["target_provision_state"]?.string == nil { break }
        try await Task.sleep(for: pause)
        pause = min(pause * 2, .seconds(1))
      }
    }
    counts.problems += 1
    print("problem  \(node.label): \(verb): \(reason)")
    return false
  }
}

extension [JSON] {
  /// Ports and port groups by the node that they are of.
  fileprivate var byNode: [String: [JSON]] { Dictionary(grouping: self) { $0["node_uuid"]?.string ?? "" } }
}

extension CloudClient {
  /// The newest version that a bare-metal service speaks, as it says in every answer; 1 when it says nothing.
  fileprivate func newestMinorVersion(_ url: String) async throws -> Int {
    let answer = try await send("GET", url + "/")
    guard answer.status == 200 else { throw Failure("GET \(url): \(answer.fault)") }
    return answer.newestVersion?.split(separator: ".").last.flatMap { Int($0) } ?? 1
  }
}
