import Domain
import DriverInterfaces
import Wire

/// The lamps of the system and of the chassis that it is in. Source: DMTF DSP0268, "LocationIndicatorActive" and, of older
/// controllers, "IndicatorLED".
extension RedfishNode: IndicatorInterface {
  /// A resource with a lamp.
  private struct Lamp {
    var path: String
    var reply: RedfishReply
    var name: Indicator.Name

    /// Nil for a resource that shows no lamp.
    init?(_ path: String, _ reply: RedfishReply, _ component: Indicator.Component) {
      guard let id = reply["Id"]?.string, Self.isName(id) else { return nil }
      (self.path, self.reply, name) = (path, reply, Indicator.Name(component, id))
      guard isActive != nil || word != nil else { return nil }
    }
    /// What comes from a device goes into URLs.
    private static func isName(_ text: String) -> Bool {
      !text.isEmpty && text.utf8.count <= 255
        && text.utf8.allSatisfy { $0 > 32 && $0 < 127 && $0 != 0x2f && $0 != 0x40 }
    }
    private var isActive: Bool? { reply["LocationIndicatorActive"]?.bool }
    private var word: String? { reply["IndicatorLED"]?.string }

    var indicator: Indicator {
      Indicator(name, states: isActive == nil ? [.blinking, .off, .on] : [.off, .on])
    }
    var state: Indicator.State {
      if let isActive { return isActive ? .on : .off }
      return RedfishNode.lampWords.first { $0.word == word }?.state ?? .unknown
    }
    /// Nil when it cannot be in this state.
    func change(to state: Indicator.State) -> JSON? {
      guard indicator.states.contains(state) else { return nil }
      if isActive != nil { return ["LocationIndicatorActive": .bool(state == .on)] }
      return RedfishNode.lampWords.first { $0.state == state }.map { ["IndicatorLED": .string($0.word)] }
    }
  }
  private static let lampWords: [(state: Indicator.State, word: String)] = [
    (.on, "Lit"), (.off, "Off"), (.blinking, "Blinking"),
  ]

  private func lamps() async throws -> [Lamp] {
    let system = try await connection.system()
    var found = [Lamp(try await connection.systemPath(), system, .system)]
    for (path, chassis) in try await chassis(of: system) { found.append(Lamp(path, chassis, .chassis)) }
    return found.compactMap { $0 }
  }
  /// What the system is in.
  func chassis(of system: RedfishReply) async throws -> [(path: String, reply: RedfishReply)] {
    var found: [(String, RedfishReply)] = []
    for link in (system["Links"]?["Chassis"]?.array ?? []).prefix(8) {
      guard let path = link["@odata.id"]?.string.flatMap({ connection.localPath($0) }),
        let chassis = try await optional(path)
      else { continue }
      found.append((path, chassis))
    }
    return found
  }
  private func lamp(_ name: Indicator.Name) async throws -> Lamp {
    guard let lamp = try await lamps().first(where: { $0.name == name }) else {
      throw failure(.unsupported, "it has no indicator \(name.unique).")
    }
    return lamp
  }

  func indicators() async throws -> [Indicator] { try await lamps().map(\.indicator) }
  func observeIndicator(_ name: Indicator.Name) async throws -> Indicator.State { try await lamp(name).state }

  func ensureIndicator(_ name: Indicator.Name, _ state: Indicator.State) async throws {
    let before = try await lamp(name)
    if before.state == state { return }
    guard let change = before.change(to: state) else {
      throw failure(.unsupported, "its indicator \(name.unique) does not do \(state.rawValue).")
    }
    let etag = before.reply.etag ?? before.reply["@odata.etag"]?.string
    try await patch(before.path, change, etag: etag, "set the indicator \(name.unique)") {
      try await lamp(name).state == state
    }
    let end = ContinuousClock.now + Self.settling
    var pause = Pause()
    while true {
      let shown = try await lamp(name).state
      if shown == state { return }
      guard ContinuousClock.now < end else {
        throw failure(
          .notInForce, "it accepted \(state.rawValue) for \(name.unique) and still shows \(shown.rawValue).")
      }
      try await pause.sleep(until: end)
    }
  }
}

/// Source: DMTF DSP0268, "ResetType", Nmi.
extension RedfishNode: InterruptInterface {
  func sendInterrupt() async throws {
    let system = try await connection.system()
    guard resetTypes(of: system)?.contains("Nmi") ?? true else {
      throw failure(.unsupported, "it offers no NMI.")
    }
    try await reset("Nmi", system)
  }
}
