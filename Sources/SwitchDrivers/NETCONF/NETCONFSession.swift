import Domain
import DriverInterfaces

/// OpenConfig models over NETCONF (RFC 6241) and SSH (RFC 6242).
struct OpenConfigNETCONF: SwitchAccess {
  private let ssh: SSHAccess
  /// The network instance that has the VLANs.
  private let instance: String

  let capabilities: SwitchCapabilities = [.trunk, .bond, .confirmedCommit]
  let caution: String? =
    "kind netconf-openconfig was tested with a real NETCONF server and a model of the same shape, never on hardware"

  init(_ ssh: SSHAccess, _ configuration: SwitchConfiguration) {
    self.ssh = ssh
    instance = SwitchText.isWord(configuration.bridge) ? configuration.bridge : "default"
  }
  func open() async throws -> any SwitchSession {
    let session = NETCONFSession(try await ssh.start(["-s", "netconf"]), instance: instance)
    do { try await session.greet() } catch {
      await session.close()
      throw error
    }
    return session
  }
}

/// One NETCONF session: the candidate is locked, edited, validated, committed for a trial, and confirmed.
actor NETCONFSession: SwitchSession {
  nonisolated let isTransactional = true
  private static let base = "urn:ietf:params:xml:ns:netconf:base:1.0"
  private static let interfaces = "http://openconfig.net/yang/interfaces"
  /// Seconds after which the switch takes back what was not confirmed.
  private static let trial = 120

  private let ssh: SSHProgram
  private let instance: String
  private var framing = NETCONFFraming()
  private var lastMessage = 0
  private var abilities: Set<String> = []
  private var isLocked = false
  private var awaitsConfirmation = false

  init(_ ssh: SSHProgram, instance: String) {
    self.ssh = ssh
    self.instance = instance
  }

  // MARK: Messages

  func greet() async throws {
    let capabilities = ["urn:ietf:params:netconf:base:1.0", "urn:ietf:params:netconf:base:1.1"]
    let list = capabilities.map { "<capability>\($0)</capability>" }.joined()
    ssh.write(framing.framed("<hello xmlns=\"\(Self.base)\"><capabilities>\(list)</capabilities></hello>"))
    let hello = try await message("its hello")
    guard hello.name == "hello" else {
      throw ssh.access.failed(.badReply, "it said <\(hello.name)> in the place of hello")
    }
    let all = hello["capabilities"]?.all("capability").map {
      $0.text.split(separator: "?").first.map { String($0) } ?? ""
    }
    let prefix = "urn:ietf:params:netconf:"
    abilities = Set(
      (all ?? []).map { $0.filter { !$0.isWhitespace } }.filter { $0.hasPrefix(prefix) }.map {
        String($0.dropFirst(prefix.count))
      })
    framing.isChunked = abilities.contains("base:1.1")
    guard abilities.contains("capability:candidate:1.0") else {
      throw ssh.access.failed(.unsupported, "it has no candidate configuration (:candidate)")
    }
  }

  private func message(_ waitingFor: String) async throws -> XMLElement {
    while true {
      do {
        if let bytes = try framing.next() { return try XMLElement.parse(bytes) }
      } catch let error as NETCONFError {
        throw ssh.access.failed(.badReply, "\(error)")
      } catch let error as XMLError {
        throw ssh.access.failed(.badReply, "\(error)")
      }
      framing.take(try await ssh.read(waitingFor))
    }
  }

  private func call(_ operation: String, _ doing: String) async throws -> XMLElement {
    lastMessage += 1
    ssh.write(framing.framed("<rpc xmlns=\"\(Self.base)\" message-id=\"\(lastMessage)\">\(operation)</rpc>"))
    while true {
      let reply = try await message("to \(doing)")
      // Notifications may come between.
      guard reply.name == "rpc-reply" else { continue }
      let errors = reply.all("rpc-error").filter { $0["error-severity"]?.text != "warning" }
      guard let error = errors.first else { return reply }
      let tag = error["error-tag"]?.text ?? ""
      let words = SwitchText.quoted(
        [tag, error["error-message"]?.text ?? "", error["error-path"]?.text ?? ""].joined(separator: " "))
      let isBusy = ["lock-denied", "in-use", "resource-denied"].contains(tag)
      throw ssh.access.failed(isBusy ? .busy : .refused, "it refused to \(doing): \(words)")
    }
  }

  // MARK: Verbs

  func ports() async throws -> [String: SwitchPortState] {
    let filter = "<filter type=\"subtree\"><interfaces xmlns=\"\(Self.interfaces)\"/></filter>"
    let reply = try await call("<get-config><source><running/></source>\(filter)</get-config>", "read its ports")
    let list = reply["data"]?["interfaces"]?.all("interface") ?? []
    var found: [String: SwitchPortState] = [:]
    for interface in list {
      guard let name = interface["name"]?.text, SwitchText.isPort(name), let port = OpenConfigPort(interface) else {
        continue
      }
      found[name] = port.state
    }
    guard !found.isEmpty else { throw ssh.access.failed(.badReply, "it has no openconfig-interfaces with ports") }
    return found
  }

  func change(_ changes: [PortChange]) async throws {
    try await edit(vlans(changes.vlans, name: nil) + interfaces(changes))
  }
  func ensureNetwork(vlan: Int, name: String?) async throws {
    try await edit(vlans([vlan], name: name))
    try await confirm()
  }

  /// Locks, edits, validates and commits; what fails is thrown away.
  private func edit(_ config: String) async throws {
    if !isLocked {
      _ = try await call("<lock><target><candidate/></target></lock>", "lock its candidate")
      isLocked = true
    }
    do {
      _ = try await call("<discard-changes/>", "clear its candidate")
      var options = ""
      // Validated with the edit. Not by <validate>: after that, netconfd 2.13 says yes to a commit and does nothing.
      if abilities.contains("capability:validate:1.1") || abilities.contains("capability:validate:1.0") {
        options += "<test-option>test-then-set</test-option>"
      }
      if abilities.contains("capability:rollback-on-error:1.0") {
        options += "<error-option>rollback-on-error</error-option>"
      }
      _ = try await call(
        "<edit-config><target><candidate/></target>\(options)<config>\(config)</config></edit-config>",
        "edit its candidate")
      if isTrialPossible {
        _ = try await call(
          "<commit><confirmed/><confirm-timeout>\(Self.trial)</confirm-timeout></commit>", "commit for a trial")
        awaitsConfirmation = true
      } else {
        _ = try await call("<commit/>", "commit")
      }
    } catch {
      _ = try? await call("<discard-changes/>", "clear its candidate")
      try? await unlock()
      throw error
    }
    if !awaitsConfirmation { try await unlock() }
  }
  private var isTrialPossible: Bool {
    abilities.contains("capability:confirmed-commit:1.1") || abilities.contains("capability:confirmed-commit:1.0")
  }

  func confirm() async throws {
    guard awaitsConfirmation else { return }
    _ = try await call("<commit/>", "confirm the commit")
    awaitsConfirmation = false
    try await unlock()
  }
  func takeBack() async throws -> Bool {
    guard awaitsConfirmation, abilities.contains("capability:confirmed-commit:1.1") else { return false }
    _ = try await call("<cancel-commit/>", "take the commit back")
    awaitsConfirmation = false
    try await unlock()
    return true
  }
  private func unlock() async throws {
    guard isLocked else { return }
    isLocked = false
    _ = try await call("<unlock><target><candidate/></target></unlock>", "unlock its candidate")
  }

  func save() async throws {
    guard abilities.contains("capability:startup:1.0") else { return }
    _ = try await call(
      "<copy-config><target><startup/></target><source><running/></source></copy-config>", "save its configuration")
  }
  /// The end of a session takes back what was not confirmed (RFC 6241, 8.4.1).
  func close() async {
    _ = try? await call("<close-session/>", "close the session")
    await ssh.close()
  }

  // MARK: Documents

  private func vlans(_ vlans: [Int], name: String?) -> String {
    let list = vlans.map { vlan in
      let name = name.map { "<name>\(XMLElement.escaped($0))</name>" } ?? ""
      return "<vlan><vlan-id>\(vlan)</vlan-id><config><vlan-id>\(vlan)</vlan-id>\(name)</config></vlan>"
    }
    guard !list.isEmpty else { return "" }
    let instance = XMLElement.escaped(instance)
    return
      "<network-instances xmlns=\"http://openconfig.net/yang/network-instance\"><network-instance><name>\(instance)</name>"
      + "<config><name>\(instance)</name></config><vlans>\(list.joined())</vlans></network-instance></network-instances>"
  }

  private func interfaces(_ changes: [PortChange]) -> String {
    let list = changes.map { change -> String in
      let name = XMLElement.escaped(change.port)
      let description = change.description.map { "<description>\(XMLElement.escaped($0))</description>" } ?? ""
      let config =
        "<config><name>\(name)</name><enabled>\(change.wanted.native != nil)</enabled>\(description)</config>"
      return
        "<interface><name>\(name)</name>\(config)<ethernet xmlns=\"http://openconfig.net/yang/interfaces/ethernet\">"
        + "<switched-vlan xmlns=\"http://openconfig.net/yang/vlan\" xmlns:nc=\"\(Self.base)\" nc:operation=\"replace\">"
        + "<config>\(Self.switched(change.wanted))</config></switched-vlan></ethernet></interface>"
    }
    return "<interfaces xmlns=\"\(Self.interfaces)\">\(list.joined())</interfaces>"
  }
  private static func switched(_ wanted: PortConfiguration) -> String {
    guard let native = wanted.native, !wanted.tagged.isEmpty else {
      return "<interface-mode>ACCESS</interface-mode><access-vlan>\(wanted.native ?? 1)</access-vlan>"
    }
    let list = wanted.tagged.map { "<trunk-vlans>\($0)</trunk-vlans>" }.joined()
    return "<interface-mode>TRUNK</interface-mode><native-vlan>\(native)</native-vlan>\(list)"
  }
}
