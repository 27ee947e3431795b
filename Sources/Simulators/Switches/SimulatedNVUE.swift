import Wire

/// The part of NVUE's REST API that a network controller uses, in front of a simulated switch.
public struct SimulatedNVUE: SimulatedSwitchAPI {
  public let device: SimulatedSwitch
  public init(_ device: SimulatedSwitch) { self.device = device }

  private static func failure(_ status: Int, _ detail: String) -> (Int, JSON) {
    (status, ["title": "Error", "status": .int(status), "detail": .string(detail)])
  }

  public func answer(_ method: String, _ path: String, _ body: JSON?) async -> (Int, JSON) {
    let parts = path.split(separator: "?", maxSplits: 1)
    let words = parts[0].split(separator: "/").map { decoded($0) }
    let revision = parts.count == 2 && parts[1].hasPrefix("rev=") ? decoded(parts[1].dropFirst(4)) : ""
    guard words.first == "nvue_v1" else { return Self.failure(404, "not found") }
    switch (method, words.count) {
    case ("GET", 2) where words[1] == "interface": return (200, await interfaces(revision))
    case ("GET", 5) where words[1...3] == ["bridge", "domain", "br_default"]: return await vnis(words[4])
    case ("DELETE", 7) where words[1...4] == ["bridge", "domain", "br_default", "vlan"] && words[6] == "vni":
      var state = await device.candidate(revision)
      guard let vlan = Int(words[5]), state.vnis.removeValue(forKey: vlan) != nil else {
        return Self.failure(404, "not found")
      }
      await device.setCandidate(revision, state)
      return (200, .emptyObject)
    case ("POST", 2) where words[1] == "revision":
      let name = "changeset/admin/\(Identifier.hex().prefix(6))"
      await device.setCandidate(name, device.running)
      return (200, .object([name: ["state": "pending", "transition": ["issue": .emptyObject]]]))
    case ("GET", 3) where words[1] == "revision":
      return (200, await device.revision(words[2]))
    case ("DELETE", 3) where words[1] == "revision":
      await device.setCandidate(words[2], nil)
      return (200, .emptyObject)
    case ("PATCH", 3) where words[1] == "revision":
      if body?["state"]?.string == "save" {
        await device.save()
      } else {
        await device.apply(words[2])
      }
      return (200, ["state": body?["state"] ?? .null])
    case ("PATCH", 1): return await edit(revision, body ?? .emptyObject)
    case ("DELETE", 6) where words[1] == "interface" && words[3] == "bridge" && words[5] == "br_default":
      var state = await device.candidate(revision)
      guard var port = state.ports[words[2]] else { return Self.failure(404, "no such interface") }
      port.mode = .routed
      state.ports[words[2]] = port
      await device.setCandidate(revision, state)
      return (200, .emptyObject)
    default: return Self.failure(404, "not found")
    }
  }

  private func interfaces(_ revision: String) async -> JSON {
    var all: JSONObject = revision == "operational" ? ["lo": ["type": "loopback"], "eth0": ["type": "eth"]] : [:]
    for (name, port) in await device.running.ports {
      if revision == "operational" {
        all[name] = ["type": "swp"]
        continue
      }
      var one: JSONObject = [
        "type": "swp", "link": ["state": port.isShut ? ["down": .emptyObject] : ["up": .emptyObject]],
      ]
      switch port.mode {
      case .access: one["bridge"] = ["domain": ["br_default": ["access": .int(port.access)]]]
      case .trunk:
        var vlans = JSONObject()
        for vlan in port.allowed ?? [] { vlans["\(vlan)"] = .emptyObject }
        one["bridge"] = ["domain": ["br_default": ["untagged": .int(port.native), "vlan": .object(vlans)]]]
      case .routed: break
      }
      all[name] = .object(one)
    }
    return .object(all)
  }

  /// What is configured, and what the bridge has.
  private func vnis(_ what: String) async -> (Int, JSON) {
    let state = await device.running
    var all = JSONObject()
    switch what {
    case "vlan":
      for vlan in state.vlans.sorted() {
        all["\(vlan)"] = state.vnis[vlan].map { ["vni": .object(["\($0)": .emptyObject])] } ?? .emptyObject
      }
    case "vlan-vni-map":
      let isDown = await device.faults.keepsVNIsDown
      for (vlan, vni) in state.vnis where !isDown { all["\(vlan)"] = ["vni": .int(vni)] }
    default: return Self.failure(404, "not found")
    }
    return (200, .object(all))
  }

  private func edit(_ revision: String, _ tree: JSON) async -> (Int, JSON) {
    var state = await device.candidate(revision)
    for member in tree["interface"]?.object ?? [:] {
      guard var port = state.ports[member.key] else {
        return Self.failure(400, "'\(member.key)' is not a valid interface")
      }
      if await device.faults.refusedPort == member.key {
        return Self.failure(400, "Unable to configure \(member.key)")
      }
      if let link = member.value["link"]?["state"] { port.isShut = link["down"] != nil }
      if let domain = member.value["bridge"]?["domain"]?["br_default"] {
        if let access = domain["access"]?.int {
          port.mode = .access
          port.access = access
        }
        if let native = domain["untagged"]?.int {
          port.mode = .trunk
          port.native = native
          port.allowed = (domain["vlan"]?.object?.keys ?? []).compactMap { Int($0) }
        }
      }
      state.ports[member.key] = port
    }
    for member in tree["bridge"]?["domain"]?["br_default"]?["vlan"]?.object ?? [:] {
      guard let number = Int(member.key), (1...4094).contains(number) else {
        return Self.failure(400, "'\(member.key)' is no VLAN")
      }
      state.vlans.insert(number)
      for key in member.value["vni"]?.object?.keys ?? [] {
        guard let vni = Int(key), (1...16_777_215).contains(vni) else {
          return Self.failure(400, "'\(key)' is no VNI")
        }
        guard state.vnis[number] == nil, !state.vnis.values.contains(vni) else {
          return Self.failure(400, "vlan \(number) or vni \(vni) is mapped already")
        }
        state.vnis[number] = vni
      }
    }
    await device.setCandidate(revision, state)
    return (200, tree)
  }
}

extension SimulatedSwitch {
  fileprivate func apply(_ revision: String) { commit(revision, awaits: false) }
  fileprivate func revision(_ name: String) -> JSON { ["state": "applied", "transition": ["issue": .emptyObject]] }
}

/// A part of a URL without its percent signs.
func decoded(_ text: some StringProtocol) -> String {
  var bytes: [UInt8] = []
  let all = Array(text.utf8)
  var index = 0
  while index < all.count {
    if all[index] == 0x25, index + 2 < all.count,
      let byte = UInt8(String(decoding: all[(index + 1)...(index + 2)], as: UTF8.self), radix: 16)
    {
      bytes.append(byte)
      index += 3
    } else {
      bytes.append(all[index])
      index += 1
    }
  }
  return String(decoding: bytes, as: UTF8.self)
}
