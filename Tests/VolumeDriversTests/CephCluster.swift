import Glibc
import Processes
import Synchronization
import TestSupport
import Testing

/// A real Ceph cluster of one mon, one mgr and one osd, in a network namespace of its own.
final class CephCluster: Sendable {
  let namespace: String
  let configuration: String
  /// The cluster of the suite that runs.
  @TaskLocal static var current: CephCluster?
  /// Only when asked for, and with Ceph's programs there: it takes 15 s to come up.
  static var isWanted: Bool { getenv("STEELYARD_SLOW") != nil && access("/usr/bin/ceph-mon", X_OK) == 0 }

  private init(folder: String) {
    namespace = "vceph\(getpid())"
    configuration = "\(folder)/ceph.conf"
  }

  static func with(_ body: () async throws -> Void) async throws {
    try await withFolder("ceph") { folder in
      let cluster = CephCluster(folder: folder)
      let script = #filePath.split(separator: "/").dropLast(3).map { "/\($0)" }.joined() + "/scripts/lib/ceph-mini"
      try await runChecked("ip", ["netns", "add", cluster.namespace])
      do {
        try await runChecked("ip", ["-n", cluster.namespace, "link", "set", "lo", "up"])
        let start = ContinuousClock.now
        try await runChecked(script, ["up", folder], namespace: cluster.namespace, timeout: .seconds(180))
        print("rbd: the cluster is up after \(ContinuousClock.now - start)")
        try await $current.withValue(cluster) { try await body() }
      } catch {
        await cluster.end(script, folder)
        throw error
      }
      await cluster.end(script, folder)
    }
  }
  private static let pools = Mutex(0)
  /// A pool of the test's own.
  func makePool() async throws -> String {
    let name = Self.pools.withLock { pools in
      pools += 1
      return "pool-\(pools)"
    }
    for command in [["pool", "create", name, "1"], ["pool", "application", "enable", name, "rbd"]] {
      try await runChecked("ceph", ["--conf", configuration, "osd"] + command, namespace: namespace)
    }
    return name
  }
  private func end(_ script: String, _ folder: String) async {
    do { try await runChecked(script, ["down", folder]) } catch { Issue.record("the cluster's end: \(error)") }
    _ = try? await run("ip", ["netns", "del", namespace])
  }
}

/// One cluster for all tests of a suite.
struct CephTrait: SuiteTrait, TestScoping {
  func provideScope(
    for test: Test, testCase: Test.Case?, performing function: @Sendable () async throws -> Void
  ) async throws {
    guard CephCluster.isWanted else { return try await function() }
    try await CephCluster.with(function)
  }
}
extension SuiteTrait where Self == CephTrait {
  static var ceph: CephTrait { CephTrait() }
}
