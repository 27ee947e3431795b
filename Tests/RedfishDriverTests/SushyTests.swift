import Glibc
import Processes
import Testing

/// Upstream's own client against the simulator, as a program: what passes here is Redfish and not only our idea of it.
@Suite struct SushyTests {
  static let python: String? = {
    if let path = getenv("STEELYARD_SUSHY_PYTHON").map({ String(cString: $0) }) { return path }
    let home = getenv("HOME").map { String(cString: $0) } ?? "/root"
    let path = home + "/.cache/steelyard-sushy/bin/python"
    if access(path, X_OK) == 0 { return path }
    print("sushy is not checked: set STEELYARD_SUSHY_PYTHON to the python of a venv with sushy")
    return nil
  }()

  @Test(.enabled(if: python != nil, "no python with sushy"), arguments: [false, true])
  func upstreamSushyPasses(tls: Bool) async throws {
    let python = try #require(Self.python)
    let script = "\(#filePath)".replacing("SushyTests.swift", with: "sushy_check.py")

    try await SimulatorProgram.run(["redfish", "--listen", "127.0.0.1:0", "--fake"] + (tls ? ["--tls"] : [])) { url in
      let result = try await Processes.run(
        python, [script, url, "admin"], environment: ["REDFISH_PASSWORD": "pa55-w0rd"], timeout: .seconds(90))
      #expect(result.status == 0, "\(result.text) \(result.errorText.suffix(2000))")
      #expect(result.text.contains("passed 53"))
    }
  }
}
