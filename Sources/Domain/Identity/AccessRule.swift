/// One kind of request that an application credential may make; without such rules it may make every one that its roles
/// allow. Source: Identity API reference v3, "Application Credentials", "Access Rules".
public struct AccessRule: Sendable, Equatable, Hashable {
  public var id: String
  /// The service's type in the catalog: "baremetal".
  public var service: String
  /// "GET".
  public var method: String
  /// Below the service's endpoint: "/v1/nodes/{node}". `{name}` and `*` stand for one segment, `**` for any number.
  public var path: String

  public init(id: String, service: String, method: String, path: String) {
    self.id = id
    self.service = service
    self.method = method
    self.path = path
  }

  public static let methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]

  /// - Parameter path: decoded, below the service's prefix.
  public func permits(service: String, method: String, path: String) -> Bool {
    guard service == self.service, method == self.method else { return false }
    return Self.matches(Array(path.utf8)[...], Self.parts(of: self.path)[...])
  }

  private enum Part { case literal(UInt8), segment, anything }

  private static func parts(of pattern: String) -> [Part] {
    var out: [Part] = []
    var bytes = Array(pattern.utf8)[...]
    while let byte = bytes.popFirst() {
      if byte == UInt8(ascii: "{"), let end = bytes.firstIndex(of: UInt8(ascii: "}")) {
        bytes = bytes[(end + 1)...]
        out.append(.segment)
      } else if byte == UInt8(ascii: "*") {
        if bytes.first == UInt8(ascii: "*") {
          bytes.removeFirst()
          out.append(.anything)
        } else {
          out.append(.segment)
        }
      } else {
        out.append(.literal(byte))
      }
    }
    return out
  }
  /// Follows all places of the pattern that the path can have reached: the time grows with pattern times path, never faster.
  private static func matches(_ path: ArraySlice<UInt8>, _ parts: ArraySlice<Part>) -> Bool {
    var reached = Set([parts.startIndex])
    func closed(_ states: Set<Int>) -> Set<Int> {
      var out = states
      for state in states {
        var next = state
        // "**" may stand for nothing.
        while next < parts.endIndex, case .anything = parts[next] {
          next += 1
          out.insert(next)
        }
      }
      return out
    }
    // A segment takes one byte or more: `inside` are the segments that have taken one.
    var inside: Set<Int> = []
    reached = closed(reached)
    for byte in path {
      var next: Set<Int> = []
      var nextInside: Set<Int> = []
      for state in reached where state < parts.endIndex {
        switch parts[state] {
        case .literal(let wanted): if wanted == byte { next.insert(state + 1) }
        case .segment:
          if byte != UInt8(ascii: "/") {
            nextInside.insert(state)
            next.insert(state + 1)
          }
        case .anything: next.insert(state)
        }
      }
      for state in inside where byte != UInt8(ascii: "/") {
        nextInside.insert(state)
        next.insert(state + 1)
      }
      reached = closed(next)
      inside = nextInside
      if reached.isEmpty && inside.isEmpty { return false }
    }
    return reached.contains(parts.endIndex)
  }
}
