/// What came of sending frames into two networks of a switch to see whether any of them crosses.
public struct IsolationProbe: Sendable, Equatable {
  /// One kind of frame, "ARP request", "double-tagged".
  public struct Line: Sendable, Equatable {
    public var kind: String
    /// How many were sent, in both directions together.
    public var sent: Int
    /// How many of them arrived within their own network: the proof that the probe would see what crosses.
    public var arrived: Int
    /// How many were captured in the other network. Isolation is broken unless this is 0.
    public var crossed: Int
    public init(kind: String, sent: Int, arrived: Int, crossed: Int) {
      self.kind = kind
      self.sent = sent
      self.arrived = arrived
      self.crossed = crossed
    }
  }
  public var lines: [Line]
  public init(lines: [Line]) { self.lines = lines }

  public var sent: Int { lines.reduce(0) { $0 + $1.sent } }
  public var arrived: Int { lines.reduce(0) { $0 + $1.arrived } }
  public var crossed: Int { lines.reduce(0) { $0 + $1.crossed } }
  /// Frames arrived where they may and nowhere else.
  public var isIsolated: Bool { crossed == 0 && arrived > 0 }
}

/// A switch on which this host can put ports of its own for a moment.
public protocol IsolationProbing: SwitchInterface {
  /// Puts two ports into each of two VLANs, sends frames of every kind from one of each, and takes the ports away again.
  /// - Throws: ``DriverError`` `.unsupported` when the switch does not run on this host, `.misconfigured` without the right to.
  func probeIsolation(between first: Int, and second: Int) async throws -> IsolationProbe
}
