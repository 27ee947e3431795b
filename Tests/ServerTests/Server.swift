import AsyncHTTPClient
import Glibc
import NIOCore
import Processes
import Testing
import Wire

/// The whole server as it is installed, a process of its own, and a client of it.
struct Server: Sendable {
  let port: Int
  /// Its data folder, as the test sees it.
  let data: String

  static let program: String = {
    var buffer = [CChar](repeating: 0, count: 4096)
    let count = readlink("/proc/self/exe", &buffer, buffer.count)
    let path = String(decoding: buffer.prefix(max(count, 0)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
    return path.split(separator: "/").dropLast().reduce("") { $0 + "/" + $1 } + "/steelyard"
  }()

  /// Runs `body` while `program` runs, from when the API answers.
  /// - Throws: ``CommandError`` when the program ends before.
  func serve(
    _ body: @escaping @Sendable (Server) async throws -> Void,
    program: @escaping @Sendable () async throws -> CommandResult
  ) async throws {
    try await withThrowingTaskGroup(of: Void.self) { group in
      defer { group.cancelAll() }
      group.addTask {
        let result = try await program()
        throw CommandError(
          program: "steelyard", reason: .failed(status: result.status, detail: result.errorText + result.text))
      }
      group.addTask {
        let deadline = ContinuousClock.now + .seconds(20)
        while (try? await call("GET", "/identity/v3").status) != 200 {
          try #require(ContinuousClock.now < deadline, "the server does not answer")
          try await Task.sleep(for: .milliseconds(50))
        }
        try await body(self)
      }
      try await group.next()
    }
  }

  struct Answer {
    var status: Int
    var text: String
    var headers: [(String, String)]
    var json: JSON { (try? JSON(parsing: text)) ?? .null }
    func header(_ name: String) -> String? { headers.first { $0.0.lowercased() == name.lowercased() }?.1 }
  }
  func call(
    _ method: String, _ path: String, token: String? = nil, _ body: [UInt8]? = nil, type: String = "application/json"
  ) async throws -> Answer {
    var request = HTTPClientRequest(url: "http://127.0.0.1:\(port)\(path)")
    request.method = .init(rawValue: method)
    if let token { request.headers.add(name: "X-Auth-Token", value: token) }
    if path.hasPrefix("/baremetal") { request.headers.add(name: "X-OpenStack-Ironic-API-Version", value: "1.69") }
    if let body {
      request.headers.add(name: "Content-Type", value: type)
      request.body = .bytes(body)
    }
    let response = try await HTTPClient.shared.execute(request, timeout: .seconds(20))
    let bytes = try await response.body.collect(upTo: 4 << 20)
    return Answer(
      status: Int(response.status.code), text: String(buffer: bytes),
      headers: response.headers.map { ($0.name, $0.value) })
  }
  func send(_ method: String, _ path: String, token: String? = nil, _ json: JSON) async throws -> Answer {
    try await call(method, path, token: token, Array(json.description.utf8))
  }
  /// A token of the administrator that `init` has made.
  func logIn() async throws -> Answer {
    let clouds = try await runChecked("cat", ["\(data)/clouds.yaml"]).text
    let line = clouds.split(separator: "\n").first { $0.contains("password:") } ?? ""
    let password = line.drop { $0 != ":" }.dropFirst().filter { !"\" '".contains($0) }
    return try await send(
      "POST", "/identity/v3/auth/tokens",
      [
        "auth": [
          "identity": [
            "methods": ["password"],
            "password": [
              "user": ["name": "admin", "domain": ["id": "default"], "password": .string(String(password))]
            ],
          ],
          "scope": ["project": ["name": "admin", "domain": ["id": "default"]]],
        ]
      ])
  }
}

/// Ports of this machine that nobody listens on.
func freePorts(_ count: Int) throws -> [Int] {
  var open: [Int32] = []
  defer { for descriptor in open { close(descriptor) } }
  return try (0..<count).map { _ in
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    open.append(descriptor)
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    let isBound = withUnsafeMutablePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        bind(descriptor, $0, length) == 0 && getsockname(descriptor, $0, &length) == 0
      }
    }
    guard isBound else { throw CommandError(program: "bind", reason: .notStarted(errno)) }
    return Int(UInt16(bigEndian: address.sin_port))
  }
}
