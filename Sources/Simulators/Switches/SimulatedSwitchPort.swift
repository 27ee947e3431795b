/// What a switch without any vendor's words has for a port.
public struct SimulatedSwitchPort: Sendable, Equatable {
  public enum Mode: String, Sendable { case access = "access", trunk = "trunk", routed = "routed" }
  public var mode = Mode.access
  public var access = 1
  public var native = 1
  /// Nil is all VLANs.
  public var allowed: [Int]?
  public var isShut = false
  public var description = ""
  public init() {}
}

/// One switch in memory: the ports, and those who have its configuration in hand.
public actor SimulatedSwitch {
  public struct State: Sendable, Equatable {
    public var ports: [String: SimulatedSwitchPort]
    public var vlans: Set<Int> = [1]
    /// VNIs by the VLAN that each is joined to.
    public var vnis: [Int: Int] = [:]
    /// The VLANs whose addresses BGP tells.
    public var instances: Set<Int> = []
  }
  public let name: String
  public let log: EffectLog
  public private(set) var running: State
  /// What it starts from.
  public private(set) var saved: State
  public var faults = SwitchFaults()
  /// Sessions that are being edited, by name.
  private var candidates: [String: State] = [:]
  /// What was in force before a change that waits for its confirmation.
  private var unconfirmed: [String: State] = [:]

  public init(name: String, ports: [String], log: EffectLog) {
    self.name = name
    self.log = log
    running = State(ports: Dictionary(uniqueKeysWithValues: ports.map { ($0, SimulatedSwitchPort()) }))
    saved = running
  }

  public func setFaults(_ faults: SwitchFaults) { self.faults = faults }
  /// A hand on what is joined.
  public func setVNIs(_ vnis: [Int: Int]) { running.vnis = vnis }
  public func setPort(_ name: String, _ port: SimulatedSwitchPort) { running.ports[name] = port }
  /// Nobody confirmed in time.
  public func expireTimers() {
    for (session, before) in unconfirmed {
      running = before
      log.write("rollback", device: name, ["session": .string(session)])
    }
    unconfirmed = [:]
  }
  /// Sessions whose changes wait for their confirmation.
  public var trials: [String] { unconfirmed.keys.sorted() }

  func candidate(_ session: String) -> State { candidates[session] ?? running }
  func setCandidate(_ session: String, _ state: State?) { candidates[session] = state }

  /// Takes a candidate into force.
  /// - Parameter awaits: whether it goes again unless it is confirmed.
  func commit(_ session: String, awaits: Bool) {
    guard let state = candidates.removeValue(forKey: session) else { return }
    if awaits, unconfirmed[session] == nil { unconfirmed[session] = running }
    let changed = state.ports.filter { running.ports[$0.key] != $0.value }.keys.sorted()
    if faults.lies {
      log.write("lie", device: name, ["ports": .array(changed.map { .string($0) })])
    } else {
      running = state
      log.write("effect", device: name, ["ports": .array(changed.map { .string($0) })])
    }
  }
  func confirm(_ session: String) -> Bool { unconfirmed.removeValue(forKey: session) != nil }
  func abort(_ session: String) {
    candidates[session] = nil
    if let before = unconfirmed.removeValue(forKey: session) { running = before }
    log.write("abort", device: name, ["session": .string(session)])
  }
  func save() {
    saved = running
    log.write("save", device: name, [:])
  }

  /// Counts down the faults of one request, and says what becomes of it.
  func takesSession() -> Bool {
    guard faults.sessionsRefused > 0 else { return true }
    faults.sessionsRefused -= 1
    return false
  }
  func dropsNow() -> Bool {
    guard faults.dropsAfterObeying > 0 else { return false }
    faults.dropsAfterObeying -= 1
    return true
  }
}

/// VLAN lists as vendors write them.
enum VLANList {
  static func parse(_ text: String) -> [Int]? {
    if text == "none" { return [] }
    var all: Set<Int> = []
    for part in text.split(separator: ",", omittingEmptySubsequences: false) {
      let bounds = part.split(separator: "-").map { Int($0) ?? 0 }
      guard let first = bounds.first, let last = bounds.last, bounds.count <= 2, (1...4094).contains(first),
        (first...4094).contains(last)
      else { return nil }
      all.formUnion(first...last)
    }
    return all.sorted()
  }
  static func text(_ vlans: [Int]?) -> String {
    guard let vlans else { return "ALL" }
    var ranges: [(Int, Int)] = []
    for vlan in vlans {
      if let last = ranges.last, last.1 + 1 == vlan {
        ranges[ranges.count - 1].1 = vlan
      } else {
        ranges.append((vlan, vlan))
      }
    }
    return ranges.isEmpty ? "NONE" : ranges.map { $0.0 == $0.1 ? "\($0.0)" : "\($0.0)-\($0.1)" }.joined(separator: ",")
  }
}
