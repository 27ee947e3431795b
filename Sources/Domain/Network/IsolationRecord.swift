import Wire

/// One thing that happened to a switch port of a leased machine: a line of the lease's isolation report.
public struct IsolationRecord: Sendable, Equatable {
  public enum Kind: String, Sendable, CaseIterable {
    /// The machine was handed over; what the port carried then.
    case begin
    /// Somebody wants the port to carry something else from now on.
    case change
    /// The switch was told, and read again: it shows what was wanted.
    case readBack = "read back"
    /// The switch showed something that nobody here had asked of it.
    case drift
    /// The switch could not be told, or did not do it.
    case failure
    /// Frames were sent to see whether any of them leaves the tenant's network.
    case probe
    /// The machine was taken back; what the port carried then.
    case end
  }
  /// Grows from record to record of the site.
  public var id: Int
  public var at: Timestamp
  public var kind: Kind
  public var port: SwitchPort
  /// The workflow that did it, while it was kept; nil for the server's own doing (audits, changes of a network).
  public var workflow: String?
  public var workflowKind: String?
  public var step: String?
  /// What is particular to the kind: `wanted`, `found` and `carries` as in ``PortConfiguration/shown``; `purpose`, `network_id`, `reason`.
  public var data: JSONObject

  public init(
    id: Int, at: Timestamp, kind: Kind, port: SwitchPort, workflow: String?, workflowKind: String?, step: String?,
    data: JSONObject
  ) {
    self.id = id
    self.at = at
    self.kind = kind
    self.port = port
    self.workflow = workflow
    self.workflowKind = workflowKind
    self.step = step
    self.data = data
  }
}

/// A time in which every machine's port of a switch was read back again and again, without a failure and without a long pause.
public struct SwitchAuditRun: Sendable, Equatable {
  public var switchName: String
  public var time: TimeRange
  /// How often all ports were read.
  public var count: Int
  public var longestPause: Duration
  public init(switchName: String, time: TimeRange, count: Int, longestPause: Duration) {
    self.switchName = switchName
    self.time = time
    self.count = count
    self.longestPause = longestPause
  }
}

extension PortConfiguration {
  /// As reports show it: `{"mode": "quarantine" | "access" | "trunk" | "foreign", "native": 205, "tagged": [206], "filters": […]}`. "foreign" is
  /// what this server never asks for, such as a trunk of everything; a filter's `vlan` is null when the filters are not ours.
  public var shown: JSON {
    let mode =
      switch native {
      case nil: tagged.isEmpty ? "quarantine" : "foreign"
      case 0?: "foreign"
      case _?: tagged.isEmpty ? "access" : "trunk"
      }
    let filters = accessLists.sorted { $0.key < $1.key }.map { vlan, list -> JSON in
      [
        "vlan": vlan == 0 ? .null : .int(vlan), "rules": .int(list.rules.count), "sources": .int(list.sources.count),
        "stateful": .bool(list.isStateful),
      ]
    }
    return [
      "mode": .string(mode), "native": native == 0 ? .null : JSON(native), "tagged": .array(tagged.map { .int($0) }),
      "filters": .array(filters),
    ]
  }
  /// For sentences: "quarantine", "VLAN 205", "VLAN 205 and tagged 206, 207", "VLAN 205 filtered by 4 rules".
  public var words: String {
    if accessLists[0] != nil { return carriedWords + " with filters that are not ours" }
    let rules = accessLists.values.reduce(0) { $0 + $1.rules.count }
    return accessLists.isEmpty ? carriedWords : carriedWords + " filtered by \(rules) rules"
  }
  private var carriedWords: String {
    guard let native, native != 0 else {
      if tagged.isEmpty { return native == nil ? "quarantine" : "no VLAN, and is open" }
      return tagged.count > 8 ? "\(tagged.count) VLANs tagged" : "tagged \(Self.list(tagged))"
    }
    if tagged.isEmpty { return "VLAN \(native)" }
    return "VLAN \(native) and " + (tagged.count > 8 ? "\(tagged.count) VLANs tagged" : "tagged \(Self.list(tagged))")
  }
  private static func list(_ vlans: [Int]) -> String { vlans.map { "\($0)" }.joined(separator: ", ") }
}
