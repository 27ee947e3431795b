import DriverInterfaces
import Processes

/// The OpenFlow rules of one bridge, through `ovs-ofctl` (ovs-ofctl(8)) on the bridge's management socket.
struct FlowTable: Sendable {
  /// `BRIDGE.mgmt` in the run folder of Open vSwitch.
  let path: String
  let limit: Duration

  struct Failure: Error, CustomStringConvertible { let description: String }

  /// The cookies of the rules that are missing, and of those that should not be there: none when the bridge has exactly
  /// `flows`.
  /// - Parameter flows: one rule a line.
  /// - Throws: ``Failure`` in words.
  func differences(from flows: [String]) async throws -> Set<UInt64> {
    let result = try await call(["diff-flows", "unix:\(path)", "/dev/stdin"], flows)
    switch result.status {
    case 0: return []
    case 2: return Self.cookies(result.text)
    default: throw Failure(description: "\(path): \(result.lastErrorLine)")
    }
  }
  /// Makes `flows` the bridge's only rules, all at once.
  func replace(with flows: [String]) async throws {
    let result = try await call(["--bundle", "replace-flows", "unix:\(path)", "-"], flows)
    guard result.status == 0 else { throw Failure(description: "\(path): \(result.lastErrorLine)") }
  }

  private func call(_ arguments: [String], _ flows: [String]) async throws -> CommandResult {
    let text = flows.map { $0 + "\n" }.joined()
    let seconds = max(1, Int(limit.components.seconds))
    return try await run(
      "ovs-ofctl", ["-O", "OpenFlow14", "--timeout=\(seconds)"] + arguments, input: Array(text.utf8),
      timeout: limit + .seconds(1), outputLimit: 64 << 20)
  }

  /// Of lines like `-table=1 priority=9,arp cookie=0x5a12 actions=drop`; a rule without a cookie has 0.
  static func cookies(_ text: String) -> Set<UInt64> {
    var cookies: Set<UInt64> = []
    for line in text.split(separator: "\n") where line.hasPrefix("+") || line.hasPrefix("-") {
      let word = line.split(separator: " ").first { $0.hasPrefix("cookie=0x") }
      cookies.insert(word.flatMap { UInt64($0.dropFirst(9), radix: 16) } ?? 0)
    }
    return cookies
  }
}
