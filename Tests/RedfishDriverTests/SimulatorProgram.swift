import Glibc
import Processes
import Testing

/// The simulator as the program that the lab starts.
enum SimulatorProgram {
  /// Built next to the test bundle.
  private static let path: String = {
    var buffer = [CChar](repeating: 0, count: 4096)
    let count = readlink("/proc/self/exe", &buffer, buffer.count)
    let path = String(decoding: buffer.prefix(max(count, 0)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
    return (path.split(separator: "/").dropLast().reduce("") { $0 + "/" + $1 }) + "/steelyard-simulator"
  }()

  /// Starts the program, waits for its line "ready", gives the URL of its first controller, and ends it.
  static func run(_ arguments: [String], _ body: (String) async throws -> Void) async throws {
    let program = try await Terminal.start(
      path, arguments, environment: ["STEELYARD_SIMULATOR_PASSWORD": "pa55-w0rd"])
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
