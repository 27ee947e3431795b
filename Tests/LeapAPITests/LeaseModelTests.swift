import Domain
import Glibc
import Store
import Testing
import Wire

/// Random histories of offers and leases on a real server beside ``LeaseModel``: both must agree after every step.
///
/// `STEELYARD_LEASE_OPERATIONS` is how many operations (1,500), `STEELYARD_LEASE_SEED` the first history's seed. A
/// failure names the history's seed and its last operations.
@Suite(.serialized) struct LeaseModelTests {
  private static func number(_ name: String) -> Int? { getenv(name).flatMap { Int(String(cString: $0)) } }

  @Test func randomHistoriesAgreeWithTheModel() async throws {
    var left = Self.number("STEELYARD_LEASE_OPERATIONS") ?? 1500
    var seed = UInt64(Self.number("STEELYARD_LEASE_SEED") ?? 1)
    var made: [String: Int] = [:]
    while left > 0 {
      var history = try await LeaseHistory(seed: seed)
      do {
        try await history.run(min(left, 1000))
      } catch {
        Issue.record("history \(seed): \(error)\n\(history.log.suffix(25).joined(separator: "\n"))")
        return
      }
      made.merge(history.made) { $0 + $1 }
      left -= 1000
      seed += 1
    }
    // What is never done is not tested.
    for kind in ["create", "offer", "claim", "extend", "cancel", "withdraw", "owner", "pass", "crash", "sub", "broken"]
    {
      #expect(made[kind, default: 0] > 0, "\(kind): \(made)")
    }
  }
}
