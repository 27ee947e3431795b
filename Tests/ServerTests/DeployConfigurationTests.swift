import Processes
import TestSupport
import Testing

/// What the configuration says of deployments, told in words before anything is started.
@Suite struct DeployConfigurationTests {
  @Test(arguments: [
    ("{fast_track_hours: 0}", "deploy.fast_track_hours: 1 to 168 hours are expected"),
    ("{fast_track: true, fast_track_hours: 169}", "deploy.fast_track_hours: 1 to 168 hours are expected"),
    ("{fast: true}", "'deploy.fast' is no key"),
    ("{fast_track: 3}", "fast_track"),
  ])
  func whatCannotBeMeantIsRefused(_ deploy: String, _ sentence: String) async throws {
    try await withFolder("dc") { folder in
      let result = try await doctor(folder, deploy)
      #expect(result.status != 0)
      #expect((result.text + result.errorText).contains(sentence), "\(result.text) \(result.errorText)")
    }
  }

  @Test func fastTrackIsWell() async throws {
    try await withFolder("dc") { folder in
      let result = try await doctor(folder, "{fast_track: true, fast_track_hours: 2}")
      #expect(result.status == 0, "\(result.text) \(result.errorText)")
    }
  }

  private func doctor(_ folder: String, _ deploy: String) async throws -> CommandResult {
    // Told by `init` already, or by what reads the file next.
    _ = try await runChecked(
      "sh", ["-c", "cat >\"$0\"", "\(folder)/site.yaml"], input: Array("deploy: \(deploy)\n".utf8))
    let made = try await run(
      Server.program, ["init", "--data", "\(folder)/site", "--configuration", "\(folder)/site.yaml"])
    guard made.status == 0 else { return made }
    return try await run(Server.program, ["doctor", "--data", "\(folder)/site"])
  }
}
