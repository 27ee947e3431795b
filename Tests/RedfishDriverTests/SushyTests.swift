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

  /// Built next to the test bundle.
  static let simulator: String = {
    var buffer = [CChar](repeating: 0, count: 4096)
    let count = readlink("/proc/self/exe", &buffer, buffer.count)
    let path = String(decoding: buffer.prefix(max(count, 0)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
    return (path.split(separator: "/").dropLast().reduce("") { $0 + "/" + $1 }) + "/steelyard-simulator"
  }()

  @Test(.enabled(if: python != nil, "no python with sushy"), arguments: [false, true])
  func upstreamSushyPasses(tls: Bool) async throws {
    let python = try #require(Self.python)
    let script = "\(#filePath)".replacing("SushyTests.swift", with: "sushy_check.py")

    try await withProgram(["redfish", "--listen", "127.0.0.1:0", "--fake"] + (tls ? ["--tls"] : [])) { url in
      let result = try await run(
        python, [script, url, "admin"], environment: ["REDFISH_PASSWORD": "pa55-w0rd"], timeout: .seconds(90))
      #expect(result.status == 0, "\(result.text) \(result.errorText.suffix(2000))")
      #expect(result.text.contains("passed 45"))
    }
  }

  /// Starts the program, waits for its line "ready", gives the URL of its first controller, and ends it.
  private func withProgram(_ arguments: [String], _ body: (String) async throws -> Void) async throws {
    let program = try await Terminal.start(
      Self.simulator, arguments, environment: ["STEELYARD_SIMULATOR_PASSWORD": "pa55-w0rd"])
    var text = ""
    for await bytes in program.output {
      text += String(decoding: bytes, as: UTF8.self)
      if text.contains("ready") { break }
    }
    let url = try #require(
      text.split(whereSeparator: \.isWhitespace).first { $0.hasPrefix("http") }.map { String($0) }, "\(text)")
    defer { program.end() }
    try await body(url)
    program.end()
    #expect(await program.ending() == .exited(0), "SIGTERM ends it cleanly")
  }
}
