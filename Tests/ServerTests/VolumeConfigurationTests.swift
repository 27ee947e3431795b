import Processes
import TestSupport
import Testing

/// What the configuration says of several volume backends, told in words before anything is started.
@Suite struct VolumeConfigurationTests {
  @Test(arguments: [
    ("[{name: a, driver: nfs}]", "a: there is no driver 'nfs'"),
    ("[{name: a, driver: local}, {name: a, driver: local}]", "a: the name is given twice"),
    ("[{name: a, driver: local, pool: p}]", "a: pool, ceph_configuration, user and namespace are for driver rbd"),
    ("[{name: a, driver: rbd, pool: p}]", "a: driver rbd needs pool and ceph_configuration"),
    ("[{name: a, driver: rbd, pool: p, ceph_configuration: /nowhere/c}]", "/nowhere/c is not there"),
    ("[{name: 'a b', driver: local}]", "'a b' is no name"),
    ("[{name: a, driver: local, pools: p}]", "'pools' is no key"),
    ("[]", "at least one is expected"),
    (
      "[{name: a, driver: local, portals: ['127.0.0.1:3261']}, {name: b, driver: local, portals: ['127.0.0.1:3261']}]",
      "a: a portal is another backend's"
    ),
  ])
  func whatCannotBeMeantIsRefused(_ backends: String, _ sentence: String) async throws {
    try await withFolder("vc") { folder in
      let result = try await doctor(folder, backends)
      #expect(result.status != 0)
      #expect((result.text + result.errorText).contains(sentence), "\(result.text) \(result.errorText)")
    }
  }

  @Test func twoBackendsOnThisMachineAreWell() async throws {
    try await withFolder("vc") { folder in
      let result = try await doctor(folder, "[{name: fast, driver: local}, {name: large, driver: local}]")
      #expect(result.status == 0, "\(result.text) \(result.errorText)")
    }
  }

  private func doctor(_ folder: String, _ backends: String) async throws -> CommandResult {
    // Told by `init` already, or by what reads the file next.
    let yaml = "volumes: {folder: \(folder)/v, backends: \(backends)}\n"
    _ = try await runChecked("sh", ["-c", "cat >\"$0\"", "\(folder)/site.yaml"], input: Array(yaml.utf8))
    let made = try await run(
      Server.program, ["init", "--data", "\(folder)/site", "--configuration", "\(folder)/site.yaml"])
    guard made.status == 0 else { return made }
    return try await run(Server.program, ["doctor", "--data", "\(folder)/site"])
  }
}
