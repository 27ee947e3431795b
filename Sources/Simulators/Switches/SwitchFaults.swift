import Wire

/// How a simulated switch misbehaves. All off by default.
public struct SwitchFaults: Sendable, Equatable {
  /// Every answer comes this late.
  public var stallSeconds = 0.0
  /// Every log-in is refused.
  public var refusesCredentials = false
  /// So many sessions are told that there are too many.
  public var sessionsRefused = 0
  /// So many changes are made, and the connection is cut without an answer.
  public var dropsAfterObeying = 0
  /// Changes are answered with success and not made.
  public var lies = false
  /// VLANs are joined to VNIs in the configuration, and no further.
  public var keepsVNIsDown = false
  /// A change of this port is refused with the vendor's words, in the middle of others.
  public var refusedPort: String?

  public init() {}

  // As JSON, for a stand-in that is a program of its own.
  public init(_ json: JSON) {
    if let seconds = json["stall"]?.int { stallSeconds = Double(seconds) }
    if case .double(let seconds)? = json["stall"] { stallSeconds = seconds }
    sessionsRefused = json["sessions_refused"]?.int ?? 0
    dropsAfterObeying = json["drops"]?.int ?? 0
    lies = json["lies"]?.bool ?? false
    keepsVNIsDown = json["vnis_down"]?.bool ?? false
    refusedPort = json["refused_port"]?.string
  }
  public var json: JSON {
    [
      "stall": .double(stallSeconds), "sessions_refused": .int(sessionsRefused), "drops": .int(dropsAfterObeying),
      "lies": .bool(lies), "vnis_down": .bool(keepsVNIsDown), "refused_port": JSON(refusedPort),
    ]
  }
}
