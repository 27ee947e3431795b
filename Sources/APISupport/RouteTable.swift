import HTTPTypes

/// Finds the endpoint of a path. Fixed segments win over `{names}`; an unknown deeper path is nothing (404), whatever
/// characters it has, because clients look names up that contain slashes.
struct RouteTable: Sendable {
  struct Match {
    var endpoint: Endpoint
    var parameters: [String: String]
  }
  enum Outcome {
    case found(Match)
    case wrongMethod([HTTPRequest.Method])
    case unknown
  }

  private final class Branch: Sendable {
    let fixed: [String: Branch]
    let named: Branch?
    /// By method, with the names of the `{…}` segments passed on the way.
    let endpoints: [String: (Endpoint, [String])]
    let rest: [String: (Endpoint, [String])]
    init(
      fixed: [String: Branch], named: Branch?, endpoints: [String: (Endpoint, [String])],
      rest: [String: (Endpoint, [String])]
    ) {
      self.fixed = fixed
      self.named = named
      self.endpoints = endpoints
      self.rest = rest
    }
  }
  private let root: Branch

  init(_ endpoints: [Endpoint]) {
    root = Self.branch(endpoints.map { ($0, $0.path.split(separator: "/").map { String($0) }[...], []) })
  }

  private static func branch(_ entries: [(Endpoint, ArraySlice<String>, [String])]) -> Branch {
    var here: [String: (Endpoint, [String])] = [:]
    var rest: [String: (Endpoint, [String])] = [:]
    var fixed: [String: [(Endpoint, ArraySlice<String>, [String])]] = [:]
    var named: [(Endpoint, ArraySlice<String>, [String])] = []
    for (endpoint, segments, names) in entries {
      guard let first = segments.first else {
        here[endpoint.method.rawValue] = (endpoint, names)
        continue
      }
      if first.hasPrefix("{") {
        let name = String(first.dropFirst().dropLast())
        if name.hasSuffix("*") {
          rest[endpoint.method.rawValue] = (endpoint, names + [String(name.dropLast())])
        } else {
          named.append((endpoint, segments.dropFirst(), names + [name]))
        }
      } else {
        fixed[first, default: []].append((endpoint, segments.dropFirst(), names))
      }
    }
    return Branch(
      fixed: fixed.mapValues { branch($0) }, named: named.isEmpty ? nil : branch(named), endpoints: here, rest: rest)
  }

  /// - Parameter path: still percent-encoded, below the service's prefix.
  func find(_ method: HTTPRequest.Method, _ path: Substring) -> Outcome {
    let segments = path.split(separator: "/")
    var values: [String] = []
    var allowed: [HTTPRequest.Method] = []
    // HEAD is GET without the body.
    let methods = method == .head ? ["HEAD", "GET"] : [method.rawValue]
    func search(_ branch: Branch, _ index: Int) -> Match? {
      if index == segments.count {
        for word in methods {
          if let (endpoint, names) = branch.endpoints[word] {
            return Match(endpoint: endpoint, parameters: Dictionary(zip(names, values)) { $1 })
          }
        }
        allowed += branch.endpoints.values.map { $0.0.method }
        return nil
      }
      if let next = branch.fixed[String(segments[index])], let match = search(next, index + 1) { return match }
      if let next = branch.named {
        values.append(percentDecoded(segments[index]))
        if let match = search(next, index + 1) { return match }
        values.removeLast()
      }
      for word in methods {
        if let (endpoint, names) = branch.rest[word] {
          let tail = segments[index...].map { percentDecoded($0) }.joined(separator: "/")
          return Match(endpoint: endpoint, parameters: Dictionary(zip(names, values + [tail])) { $1 })
        }
      }
      return nil
    }
    if let match = search(root, 0) { return .found(match) }
    return allowed.isEmpty ? .unknown : .wrongMethod(allowed)
  }
}
